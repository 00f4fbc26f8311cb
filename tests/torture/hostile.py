"""Hostile bundles: how long each takes and how much memory, and whether a socket is ever opened."""
import os, pathlib, re, subprocess, sys, time

MOST_MEMORY_KIB = 64 << 10
MOST_SECONDS = 2.0


def inputs(scene, lab):
    """Every case of the independent implementation's collection, and a few files that are no bundles at all."""
    sys.path.insert(0, str(lab))
    import cases_open
    import stagelab

    world = stagelab.Lab()
    for number, make in sorted(cases_open.CASES.items()):
        for variant, bundle, kw, want in make(world):
            yield f"case {number} {variant}", bundle, stagelab.cj(kw.get("root", world.root)), want


def resources(scene, lab, say):
    """Peak memory and time of `verify` and of `import` on each."""
    if not (pathlib.Path(lab) / "stagelab.py").exists():
        return {"hostile inputs": 0, "SKIPPED": f"no independent implementation at {lab}", "bad": []}
    bad, tried, peak, longest = [], 0, 0, 0.0
    bundle_path, root_path = scene.work / "hostile.stage", scene.work / "hostile.root"
    for name, bundle, root, _want in inputs(scene, lab):
        bundle_path.write_bytes(bundle)
        root_path.write_bytes(root)
        commands = [[scene.program, "verify", "-q", "-q", str(bundle_path), "--trust", str(root_path)],
                    scene.import_command(bundle_path, scene.base), [scene.program, "inspect", str(bundle_path)]]
        for command in commands:
            code, memory, seconds = measure(scene, command)
            tried, peak, longest = tried + 1, max(peak, memory), max(longest, seconds)
            if memory > MOST_MEMORY_KIB or seconds > MOST_SECONDS or code not in (0, 1, 2, 3, 4, 5):
                bad.append(f"{name}: {command[1]}: exit {code}, {memory >> 10} MiB, {seconds:.2f} s")
    for source in ("/dev/zero", "/dev/urandom", str(scene.work)):
        code, memory, seconds = measure(scene, [scene.program, "verify", "-q", "-q", source, "--trust", str(scene.root)])
        tried, peak, longest = tried + 1, max(peak, memory), max(longest, seconds)
        if memory > MOST_MEMORY_KIB or seconds > MOST_SECONDS or code not in (1, 2, 4):
            bad.append(f"{source}: exit {code}, {memory >> 10} MiB, {seconds:.2f} s")
    return {"hostile inputs": tried, "peak MiB": round(peak / 1024, 1), "longest seconds": round(longest, 2), "bad": bad}


def measure(scene, command):
    """Exit code, peak memory in KiB and seconds of a command."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=scene.work, env=scene.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss, time.monotonic() - started


def sockets(scene, say):
    """System calls about the network that verify, import and the repository's commands make."""
    bad, calls, opened = [], 0, 0
    repo = scene.copy(scene.base, "sockets")
    root = ["--allow-root"] if os.geteuid() == 0 else []
    for command in (["verify", scene.new, "--trust", scene.root], ["import", scene.new, "--repo", repo, *root], ["repo", "status", "--repo", repo],
                    ["repo", "list", "--repo", repo], ["repo", "rollback", "--repo", repo, "--channel", "demo", "--to", "1"], ["inspect", scene.new]):
        log = scene.work / "net"
        done = subprocess.run(["strace", "-f", "-o", str(log), "-e", "trace=network", scene.program, *map(str, command)], cwd=scene.work, env=scene.env, capture_output=True)
        text = log.read_text(errors="replace")
        calls += 1
        found = re.findall(r"socket\(AF_(INET6?|PACKET|NETLINK)", text)
        opened += len(found)
        if found or done.returncode:
            bad.append(f"{command[0]}: exit {done.returncode}, sockets {found}: {done.stderr.decode()[:200]}")
    return {"commands traced": calls, "internet sockets": opened, "bad": bad}


def by_hand(scene, lab, count, say, seed=2):
    """Random bundles given to openssl and sha256sum (`verify-by-hand.sh`) and to `stage`: what the first refuses, the
    second refuses as well. It may refuse more, since the script looks neither at headers nor at rules of the root."""
    import random

    script = pathlib.Path(lab) / "verify-by-hand.sh"
    if not script.exists():
        return {"bundles by hand": 0, "SKIPPED": f"no script at {lab}", "bad": []}
    sys.path[:0] = [str(lab), str(pathlib.Path(__file__).parents[1] / "lab")]
    import random_bundles
    import stagelab
    from cryptography.hazmat.primitives import serialization

    rng, world, bad, agreed, stricter, unusable = random.Random(seed), stagelab.Lab(), [], 0, 0, 0
    world.roles = dict(world.roles, builder=([world.b], 1), releaser=([world.r], 1))
    world.root = stagelab.mkroot(1, world.all, world.roles)
    pems = []
    for name, key in (("builder", world.b), ("releaser", world.r)):
        path = scene.work / f"{name}.pem"
        path.write_bytes(key.k.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        pems.append(path)
    root, bundle = scene.work / "hand.root", scene.work / "hand.stage"
    while agreed + stricter + len(bad) < count:
        try:
            _kind, data, judged_by, now = random_bundles.sample(rng, world)
        except Exception:
            unusable += 1
            continue
        bundle.write_bytes(data)
        root.write_bytes(stagelab.cj(judged_by))
        hand = subprocess.run(["bash", script, bundle, *pems], cwd=scene.work, capture_output=True).returncode
        ours = scene.stage("verify", "-q", "-q", bundle, "--trust", root, "--at", now, check=False).returncode
        if hand != 0 and ours == 0:
            bad.append("refused by hand and accepted by stage")
        elif (hand == 0) == (ours == 0):
            agreed += 1
        else:
            stricter += 1
    return {"bundles by hand": count, "same verdict": agreed, "stage stricter": stricter, "bad": bad}
