"""The first corpora for fuzzing, from the independent implementation's cases and from small files made here.

usage: seeds.py FOLDER LAB
"""
import io, json, pathlib, sys, tarfile

from scene import Upstream

FOLDER, LAB = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def put(target, name, data):
    folder = FOLDER / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def members(bundle):
    """Content of each member of a bundle, as far as it can be read."""
    at = 0
    while at + 512 <= len(bundle):
        try:
            name, size = bundle[at:at + 100].rstrip(b"\0").decode(), int(bundle[at + 124:at + 135], 8)
        except (ValueError, UnicodeDecodeError):
            return
        yield name, bundle[at + 512:at + 512 + size]
        at += 512 + size + (-size % 512)


def deb():
    """A small .deb."""
    def tarred(name, body):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        return data.getvalue()

    out = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("control.tar.gz", tarred("./control", b"Package: demo\n")), ("data.tar.gz", tarred("./usr/x", b"x"))):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    return out


def from_lab():
    if not (LAB / "stagelab.py").exists():
        print("seeds: no independent implementation", file=sys.stderr)
        return
    sys.path.insert(0, str(LAB))
    import cases_open
    import stagelab

    world, number = stagelab.Lab(), 0
    for make in cases_open.CASES.values():
        for variant, bundle, kw, _want in make(world):
            number += 1
            if len(bundle) < 1 << 17:
                put("bundle", str(number), bundle)
            if "root" in kw:
                put("root", str(number), stagelab.cj(kw["root"]))
            for name, content in members(bundle):
                if not content or len(content) > 1 << 16:
                    continue
                which = {"manifest.json": 0, "roots.json": 1, "statement.json": 2}.get(name)
                if which is not None:
                    put("signed", f"{number}-{which}", bytes([which]) + content)
                    put("json", f"{number}-{which}", content)
                if name == "manifest.json":
                    put("manifest", str(number), content)
                if name == "roots.json" and content.startswith(b"[{"):
                    try:
                        for index, envelope in enumerate(json.loads(content)):
                            put("root", f"{number}-{index}", stagelab.cj(envelope))
                    except ValueError:
                        pass
    put("root", "first", stagelab.cj(world.root))


def made_here():
    with Upstream() as upstream:
        for path, data in upstream.files.items():
            kind = "packument" if path.startswith("/npm/") and "/-/" not in path else "tarball" if path.endswith(".tgz") else "simple" if "/simple/" in path else "wheel"
            put(kind, path.strip("/").replace("/", "_"), data)
            for lint in {"wheel": ["lint-zip"], "tarball": ["lint-tar", "lint-crate"]}.get(kind, []):
                put(lint, path.strip("/").replace("/", "_"), data)
    put("simple", "json", json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": [
        {"filename": "demo-1.0-py3-none-any.whl", "url": "demo-1.0-py3-none-any.whl", "hashes": {"sha256": "a" * 64}, "requires-python": ">=3.8", "yanked": False, "upload-time": "2026-01-01T00:00:00Z", "core-metadata": {"sha256": "b" * 64}}]}))
    put("path", "a", "a/b.txt\n@s/n/-/n-1.0.tgz\nA\nfiles/x%3ay\n../x")
    put("requirement", "a", "demo[extra]>=1.0,<2; python_version < '3.12' and sys_platform == 'linux'\na @ https://x.example/a.whl\nb~=1.4.2\nc==1.*\nd!=2.0rc1")
    put("python", "requirements", "-r other.txt\n-c c.txt\ndemo==1.0 \\\n    --hash=sha256:" + "a" * 64 + "\n--index-url https://x.example/simple\n")
    put("python", "uv", 'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "demo"\nversion = "1.0"\nsource = { registry = "https://x.example/simple" }\ndependencies = [{ name = "b", marker = "python_full_version < \'3.12\'" }]\nwheels = [{ url = "https://x.example/demo-1.0-py3-none-any.whl", hash = "sha256:' + "a" * 64 + '", size = 3 }]\n')
    put("python", "pylock", 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "demo"\nversion = "1.0"\n[[packages.wheels]]\nname = "demo-1.0-py3-none-any.whl"\nurl = "https://x.example/demo-1.0-py3-none-any.whl"\nhashes = {sha256 = "' + "a" * 64 + '"}\n')
    put("python", "metadata", "Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nRequires-Dist: b>=1; extra == 'x'\nProvides-Extra: x\nLicense-Expression: MIT\n\nText\n")
    put("debian", "stanza", "Package: demo\nVersion: 1:2.0-1~deb12u1+b1\nSource: demo (1.9-1)\nArchitecture: amd64\nDepends: libc6 (>= 2.36), a | b:any (<< 3~) [amd64 !i386], ${x}\nProvides: c (= 2)\nBreaks: d (<= 1)\nDescription: x\n y\n\nPackage: e\nVersion: 2\n")
    put("debian", "release", "Origin: x\nSuite: stable\nCodename: bookworm\nDate: Sat, 14 Nov 2026 10:00:00 UTC\nValid-Until: Sat, 21 Nov 2026 10:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n " + "a" * 64 + " 12 main/binary-amd64/Packages.xz\n")
    put("cleartext", "a", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: x\n- -dash\n-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQQ=\n=abcd\n-----END PGP SIGNATURE-----\n")
    for index, path in enumerate(sorted(pathlib.Path("/var/lib/apt/lists").glob("*InRelease"))[:3]):
        put("cleartext", f"host{index}", path.read_bytes()[:1 << 18])
    for index, path in enumerate(sorted(pathlib.Path("/usr/share/keyrings").glob("*.gpg"))[:3]):
        put("cleartext", f"ring{index}", path.read_bytes()[:1 << 16])
    put("crates", "index", json.dumps({"name": "demo", "vers": "1.0.0", "deps": [{"name": "b", "req": "^1", "features": [], "optional": False, "default_features": True, "target": None, "kind": "normal"}], "cksum": "a" * 64, "features": {}, "yanked": False}) + "\n")
    put("crates", "lock", 'version = 4\n\n[[package]]\nname = "demo"\nversion = "1.0.0"\nsource = "registry+https://x.example/index"\nchecksum = "' + "a" * 64 + '"\ndependencies = [\n "b",\n]\n')
    put("lock", "a", (pathlib.Path(__file__).parents[2] / "lockfiles/nanobot.lock").read_bytes()[:20000])
    for lock in sorted((pathlib.Path(__file__).parents[2] / "lockfiles").glob("*.lock")):
        text = lock.read_text()
        head, *packages = text.split("\n[[package]]\n")
        put("lock", lock.stem, head + "".join("\n[[package]]\n" + p for p in packages[:6]) + "\n")
    for index, path in enumerate(("/bin/true", "/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/x86_64-linux-gnu/libdl.so.2")):
        if pathlib.Path(path).exists():
            put("elf", str(index), pathlib.Path(path).read_bytes()[:1 << 16])


from_lab()
made_here()
put("lint-deb", "small", deb())
for folder in sorted(FOLDER.iterdir()):
    print(f"seeds: {folder.name} {len(list(folder.iterdir()))}", file=sys.stderr)
