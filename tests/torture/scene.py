"""What the attacks play on: two bundles of one channel, the second newer, made by `stage` from registries on loopback,
and repositories that know none or the first of them."""
import base64, hashlib, http.server, io, json, os, pathlib, shutil, subprocess, tarfile, threading, zipfile

QUIET = ["-q", "-q"]
AS_ROOT = ["--allow-root"] if os.geteuid() == 0 else []


class Scene:
    """Keys, root, the bundles `old.stage` and `new.stage`, and the trees that a repository shows with each."""

    def __init__(self, stage, work):
        self.program, self.work = str(stage), pathlib.Path(work)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_")}
        self.env["STAGE_CACHE"] = str(self.work / "cache")
        self.work.mkdir(parents=True, exist_ok=True)
        self.stage("key", "generate", "-o", "k.pem")
        self.stage("trust", "init", "--key", "k.pem", "-o", "root.json")
        self.fingerprint = self.stage("trust", "fingerprint", "root.json").stdout.decode().strip()
        self.root = self.work / "root.json"
        self.old, self.new = self._bundles()
        self.empty, self.base = self.work / "repo-empty", self.work / "repo-old"
        self.init(self.empty)
        self.init(self.base)
        self.old_tree = self._import(self.base, self.old)
        whole = self.copy(self.base, "whole")
        self.new_tree = self._import(whole, self.new)
        assert self.old_tree and self.new_tree and self.old_tree != self.new_tree

    def stage(self, *args, check=True, **kw):
        done = subprocess.run([self.program, *map(str, args)], cwd=self.work, env=self.env, capture_output=True, **kw)
        if check and done.returncode:
            raise SystemExit(f"stage {args}: exit {done.returncode}\n{done.stderr.decode()}")
        return done

    def init(self, repo):
        self.stage("repo", "init", "--repo", repo, "--trust", self.root, "--fingerprint", self.fingerprint)

    def import_command(self, bundle, repo):
        return [self.program, "import", *QUIET, str(bundle), "--repo", str(repo), *AS_ROOT]

    def run_import(self, bundle, repo, prefix=(), **kw):
        return subprocess.run([*prefix, *self.import_command(bundle, repo)], cwd=self.work, env=self.env, capture_output=True, **kw)

    def _import(self, repo, bundle):
        done = self.run_import(bundle, repo)
        assert done.returncode == 0, done.stderr
        return tree(repo)

    def copy(self, repo, name):
        """A copy of a repository; its hard links stay hard links."""
        target = self.work / name
        remove(target)
        subprocess.run(["cp", "-a", str(repo), str(target)], check=True)
        return target

    def judge(self, repo, new=None):
        """What is wrong with a repository after a fault, as a list of words; empty if nothing is."""
        wrong = []
        shown = tree(repo)
        if shown not in (self.old_tree, self.new_tree):
            wrong.append("torn tree")
        again = self.run_import(new or self.new, repo)
        if again.returncode != 0:
            return wrong + [f"next import exits {again.returncode}: {again.stderr.decode()[:300]}"]
        if tree(repo) != self.new_tree:
            wrong.append("the next import is not whole")
        if list((repo / "incoming").iterdir()):
            wrong.append("quarantine is left behind")
        left = [str(p.relative_to(repo)) for p in repo.rglob("*") if ".tmp" in p.name or p.name.startswith("next")]
        if left:
            wrong.append(f"left behind: {left[:3]}")
        return wrong

    # ---------- bundles ----------
    def _bundles(self):
        with Upstream() as upstream:
            made = []
            for serial, version in ((1, "1.0.0"), (2, "1.1.0")):
                blob = f"model {version}\n".encode() * 900
                upstream.files["/files/model.bin"] = blob
                (self.work / "stage.toml").write_text(f"""
[bundle]
channel = "demo"
[target]
python = "3.11"
glibc = "2.36"
[npm]
packages = ["demo-app@{version}"]
registry = "{upstream.url}/npm/"
[pypi]
requirements = ["demo-lib=={version}"]
index = "{upstream.url}/simple/"
[[file]]
url = "{upstream.url}/files/model.bin"
sha256 = "{hashlib.sha256(blob).hexdigest()}"
path = "models/model.bin"
""")
                for old in ("stage.lock",):
                    (self.work / old).unlink(missing_ok=True)
                shutil.rmtree(self.work / "stage.records", ignore_errors=True)
                shutil.rmtree(self.work / "cache", ignore_errors=True)
                self.stage("resolve")
                name = self.work / f"{serial}.stage"
                self.stage("bundle", "--key", "k.pem", "-o", name)
                made.append(name)
        return made


class Upstream:
    """An npm registry and a Python index on loopback, with two versions of everything."""

    def __init__(self):
        self.files = {}
        for version in ("1.0.0", "1.1.0"):
            self._wheel(version)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = outer.files.get(self.path.split("?")[0])
                self.send_response(200 if body is not None else 404)
                kind = "application/json" if self.path.startswith("/npm") else "text/html" if "/simple/" in self.path and self.path.endswith("/") else "application/octet-stream"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that hangs up early is no news

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._npm()
        self._simple()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def _npm(self):
        for name in ("demo-app", "demo-dep"):
            versions, times = {}, {}
            for version in ("1.0.0", "1.1.0"):
                manifest = {"name": name, "version": version, "license": "MIT"}
                if name == "demo-app":
                    manifest["dependencies"] = {"demo-dep": version}
                data = io.BytesIO()
                with tarfile.open(fileobj=data, mode="w:gz") as tar:
                    for path, body in (("package/package.json", json.dumps(manifest).encode()), ("package/index.js", b"module.exports = 1;\n" * 50)):
                        info = tarfile.TarInfo(path)
                        info.size = len(body)
                        tar.addfile(info, io.BytesIO(body))
                path = f"/npm/{name}/-/{name}-{version}.tgz"
                self.files[path] = data.getvalue()
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(data.getvalue()).digest()).decode()
                versions[version] = {**manifest, "dist": {"tarball": self.url + path, "integrity": integrity, "shasum": hashlib.sha1(data.getvalue()).hexdigest()}}
                times[version] = "2026-01-01T00:00:00.000Z"
            self.files[f"/npm/{name}"] = json.dumps({"name": name, "dist-tags": {"latest": "1.1.0"}, "versions": versions, "time": times}).encode()

    def _wheel(self, version):
        data = io.BytesIO()
        info = f"demo_lib-{version}.dist-info"
        members = {
            "demo_lib.py": f"version = '{version}'\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: demo-lib\nVersion: {version}\nRequires-Python: >=3.8\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        digest = lambda body: base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest()).rstrip(b"=").decode()
        rows = [f"{path},sha256={digest(body)},{len(body)}\n" for path, body in members.items()]
        members[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
        with zipfile.ZipFile(data, "w") as wheel:
            for path, body in members.items():
                wheel.writestr(path, body)
        self.files[f"/wheels/demo_lib-{version}-py3-none-any.whl"] = data.getvalue()

    def _simple(self):
        rows = []
        for version in ("1.0.0", "1.1.0"):
            path = f"/wheels/demo_lib-{version}-py3-none-any.whl"
            rows.append(f'<a href="{path}#sha256={hashlib.sha256(self.files[path]).hexdigest()}" data-requires-python="&gt;=3.8">{path.rsplit("/", 1)[1]}</a>')
        self.files["/simple/demo-lib/"] = ("<!DOCTYPE html><html><body>" + "".join(rows) + "</body></html>").encode()


def tree(repo):
    """What the published generation shows: path, mode and digest of every file, hashed now. None: nothing published."""
    current = pathlib.Path(repo) / "current"
    if not current.is_symlink():
        return None
    return folder(current.resolve())


def folder(root):
    found = []
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        what = "dir" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found.append((str(path.relative_to(root)), state.st_mode & 0o7777, what))
    return tuple(found)


def listing(repo):
    """Every name of a repository with size and mode."""
    found = []
    for path in sorted(pathlib.Path(repo).rglob("*")):
        state = path.lstat()
        found.append((str(path.relative_to(repo)), state.st_mode, 0 if path.is_dir() else state.st_size))
    return tuple(found)


def remove(path):
    if path.is_dir():
        subprocess.run(["chmod", "-R", "u+w", str(path)], check=True)
        shutil.rmtree(path)
