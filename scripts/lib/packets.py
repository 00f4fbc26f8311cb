"""Whether rules of a packet filter do with packets what they say: a host and its peer in network namespaces of their own.

    unshare --net packets.py ACCOUNT OTHER COMMAND...

Each COMMAND loads the rules of one bundle, as runtime-check makes it: of the first ACCOUNT runs the runtime, of the second
OTHER. After each, and after the first again, every account of the host is tried, with empty neighbour tables. Exits with 1
and says which packets did what they must not.
"""

import os, pwd, socket, subprocess, sys, threading

TCP = (443, 3128, 5432, 7000, 8443)
# Bound to addresses of their own, or an answer comes from another one.
UDP = (("192.0.2.5", 53), ("2001:db8::53", 53), ("2001:db8::53", 7000))
# What the first bundle declares; everything else of EVERYTHING is not declared.
FIRST = {("tcp", "192.0.2.80", 443), ("tcp", "192.0.2.31", 3128), ("tcp", "192.0.2.5", 5432), ("udp", "2001:db8::53", 53),
         ("tcp", "192.0.2.99", 8443), ("tcp", "2001:db8::99", 8443)}
SECOND = {("tcp", "192.0.2.200", 7000)}
EVERYTHING = FIRST | SECOND | {("tcp", "192.0.2.80", 7000), ("tcp", "192.0.2.99", 443), ("tcp", "192.0.2.200", 5432),
                               ("tcp", "2001:db8::200", 8443), ("udp", "2001:db8::53", 7000), ("udp", "192.0.2.5", 53)}
# From where to which port of the host, and whether the first bundle declares it or its port is nobody's.
INTO = {("198.51.100.7", "198.51.100.1", 8080): True, ("192.0.2.200", "192.0.2.129", 8080): False,
        ("2001:db8::200", "2001:db8::1", 8080): False, ("192.0.2.200", "192.0.2.129", 8081): True,
        ("2001:db8::200", "2001:db8::1", 8081): True}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def reaches(kind, address, port, source=None):
    with socket.socket(family(address), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as end:
        end.settimeout(1.5)
        try:
            if source:
                end.bind((source, 0))
            end.connect((address, port))
            end.send(b"?")
            return end.recv(1) == b"!"
        except OSError:
            return False


def serve(tcp, udp):
    def answer(end):
        while True:
            other, _ = end.accept()
            other.recv(1), other.send(b"!"), other.close()

    def echo(end):
        while True:
            _, other = end.recvfrom(1)
            end.sendto(b"!", other)

    streams = [(address, port, socket.SOCK_STREAM, answer) for address in ("0.0.0.0", "::") for port in tcp]
    for address, port, kind, loop in streams + [(*at, socket.SOCK_DGRAM, echo) for at in udp]:
        end = socket.socket(family(address), kind)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family(address) == socket.AF_INET6:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        end.bind((address, port))
        if kind == socket.SOCK_STREAM:
            end.listen()
        threading.Thread(target=loop, args=(end,), daemon=True).start()


def run(*command):
    subprocess.run(command, check=True)


def interface(name, addresses):
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    run("ip", "link", "set", name, "up")


def peer():
    print("there", flush=True)
    sys.stdin.readline()
    four = [f"192.0.2.{n}/24" for n in (5, 31, 80, 99, 200)] + ["198.51.100.7/24"]
    interface("v1", four + [f"2001:db8::{n}/64" for n in (53, 99, 200)])
    serve(TCP, UDP)
    print("serves", flush=True)
    for line in sys.stdin:
        if line == "forget\n":
            subprocess.run(["ip", "-6", "neigh", "flush", "dev", "v1"], stderr=subprocess.DEVNULL)
            print("done", flush=True)
        else:
            source, address, port = line.split()
            print(reaches("tcp", address, int(port), source), flush=True)


def all_at_once(uid, flows):
    """Which of the flows an account gets through."""
    children = {}
    for flow in flows:
        child = os.fork()
        if child == 0:
            os.setgroups([]), os.setgid(uid), os.setuid(uid)
            os._exit(0 if reaches(*flow) else 1)
        children[child] = flow
    return {flow for child, flow in children.items() if os.waitpid(child, 0)[1] == 0}


def main(account, other, commands):
    there = subprocess.Popen(["unshare", "--net", sys.executable, __file__, "peer"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, bufsize=1)
    wrong = []

    def ask(line):
        print(line, file=there.stdin, flush=True)
        return there.stdout.readline().strip()

    def look(when, limits):
        subprocess.run(["ip", "-6", "neigh", "flush", "dev", "v0"], stderr=subprocess.DEVNULL)
        ask("forget")
        for name in ("root", account, other, "nobody"):
            allowed = limits.get(name, EVERYTHING)
            for flow in sorted(all_at_once(pwd.getpwnam(name).pw_uid, EVERYTHING) ^ allowed):
                wrong.append(f"{when}: {name} {'does not reach' if flow in allowed else 'reaches'} {flow}")
        for (source, address, port), fine in INTO.items():
            fine = fine or not limits
            if (ask(f"{source} {address} {port}") == "True") != fine:
                wrong.append(f"{when}: {source} {'does not reach' if fine else 'reaches'} port {port} of {address}")

    try:
        there.stdout.readline()
        run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(there.pid))
        interface("v0", ["192.0.2.129/24", "198.51.100.1/24", "2001:db8::1/64"])
        ask("go")
        serve((8080, 8081), ())
        look("without rules", {})
        limits = {}
        for command, name, allowed in zip(commands + commands[:1], (account, other, account), (FIRST, SECOND, FIRST)):
            run("sh", "-ec", command)
            limits[name] = allowed
            look(f"after {command}", limits)
    finally:
        there.kill()
        there.wait()
    print("\n".join(wrong))
    return 1 if wrong else 0


if sys.argv[1:] == ["peer"]:
    peer()
else:
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
