#!/usr/bin/env python3
"""Fills `expected` in scenarios.json: what the npm on this machine makes of each scenario, from a registry on loopback."""
import base64, hashlib, http.server, io, json, pathlib, subprocess, sys, tarfile, tempfile, threading, urllib.parse

FILE = pathlib.Path(__file__).with_name("scenarios.json")


def tarball(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, value in files.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"package/{path}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def registry(scenario, base):
    files = {}
    for name, versions in scenario["registry"].items():
        packument = {"name": name, "versions": {}, "dist-tags": scenario.get("tags", {}).get(name) or {"latest": list(versions)[-1]}}
        for version, fields in versions.items():
            inside = scenario.get("bundles", {}).get(f"{name}@{version}", {})
            manifest = {"name": name, "version": version, **fields}
            data = tarball({"package.json": manifest, **{f"{p}/package.json": m for p, m in inside.items()}})
            path = f"/{name}/-/{name.split('/')[-1]}-{version}.tgz"
            sri = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
            packument["versions"][version] = {**manifest, "dist": {"tarball": base + path, "integrity": sri}}
            files[path] = data
        if name in scenario.get("times", {}):
            packument["time"] = scenario["times"][name]
        files[f"/{name}"] = json.dumps(packument).encode()
    return files


def run(scenario):
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = files.get(urllib.parse.unquote(self.path))
            self.send_response(200 if data else 404)
            self.send_header("content-length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    files.update(registry(scenario, base))
    with tempfile.TemporaryDirectory() as home:
        wants = {}
        for text in scenario["requirements"]:
            at = text.find("@", 1)
            wants[text if at < 0 else text[:at]] = "*" if at < 0 else text[at + 1:]
        pathlib.Path(home, "package.json").write_text(json.dumps({"name": "the-project", "version": "1.0.0", "dependencies": wants}))
        command = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--registry", base + "/", "--cache", f"{home}/cache"]
        if "before" in scenario:
            command += ["--before", scenario["before"]]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True)
        server.shutdown()
        if done.returncode:
            codes = [line.split()[-1] for line in done.stderr.splitlines() if " code " in line]
            return codes[0] if codes else done.stderr[-200:]
        lock = json.loads(pathlib.Path(home, "package-lock.json").read_text())
    found = []
    for path, entry in lock["packages"].items():
        if path:
            name = entry.get("name") or path.split("node_modules/")[-1]
            flags = [f for f in ("dev", "optional", "devOptional", "peer", "extraneous", "inBundle", "link") if entry.get(f)]
            found.append(" ".join([path, f"{name}@{entry.get('version')}", *flags]))
    return sorted(found)


if __name__ == "__main__":
    scenarios = json.loads(FILE.read_text())
    for scenario in scenarios:
        scenario["expected"] = run(scenario)
        print(scenario["name"], "->", scenario["expected"], file=sys.stderr)
    FILE.write_text(json.dumps(scenarios, indent=1) + "\n")
