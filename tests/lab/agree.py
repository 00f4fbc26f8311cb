"""Judges the same bundles with `stage` and with the independent implementation and compares the error classes.

usage: agree.py LAB_DIR STAGE WORK_DIR RANDOM_COUNT          (run by scripts/lab)
"""
import json, os, pathlib, random, subprocess, sys

LAB, STAGE, WORK, COUNT = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4])
sys.path.insert(0, LAB)
import stagelab as lab
import cases_open
from random_bundles import NOW, sample

EXIT = {0: 0, 10: 1, 11: 1, 41: 5, 42: 5, 50: 3, 52: 3}


def run(*args, stdin=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_")}
    return subprocess.run([STAGE, *map(str, args)], input=stdin, capture_output=True, env=env)


def has(*command):
    return run(*command, "--help").returncode == 0


def judge(bundle, root, now=NOW, repo=None):
    """Class and exit code that `stage verify` gives."""
    path = WORK / "root.json"
    path.write_bytes(root if isinstance(root, bytes) else lab.cj(root))
    extra = ["--repo", repo] if repo else []
    done = run("verify", "-", "--trust", path, "--at", now, "--format", "json", *extra, stdin=bundle)
    if done.returncode not in (0, 1, 2, 3, 4, 5):
        return f"crash {done.returncode} {done.stderr[-300:]!r}", done.returncode
    report = json.loads(done.stdout)
    if done.returncode == 0:
        return 0, 0
    class_ = report["errors"][0]["class"]
    return (int(class_[1:]) if class_ else report["errors"][0]["code"]), done.returncode


def reference(bundle, root, **kw):
    try:
        lab.verify(bundle, root, **kw)
        return 0
    except lab.E as error:
        return error.code


bad, total = [], 0


def compare(name, got, code, want):
    global total
    total += 1
    if got != want or code != EXIT.get(want, 4):
        bad.append(f"{name}: expected {want} (exit {EXIT.get(want, 4)}), got {got} (exit {code})")


# ---------- the collection ----------
def repository(state, world):
    """A repository with this state, made by importing bundles of the independent builder."""
    repo = WORK / f"repo-{total}"
    root = WORK / "init-root.json"
    root.write_bytes(lab.cj(world.root))
    fingerprint = run("trust", "fingerprint", root).stdout.decode().strip()
    made = run("repo", "init", "--repo", repo, "--trust", root, "--fingerprint", fingerprint)
    assert made.returncode == 0, made.stderr
    bundles = []
    if "root_version" in state:
        newer = [lab.mkroot(v, world.all, world.roles) for v in range(2, state["root_version"] + 1)]
        roots = [lab.envelope(lab.cj(r), [world.ra, world.rb]) for r in newer]
        bundles.append(lab.build(world, {"files/other.txt": b"other"}, roots=roots))
    if "time_floor" in state:
        bundles.append(lab.build(world, {"files/other.txt": b"other"}, pred={"created": state["time_floor"]}))
    for channel, mark in state.items():
        if isinstance(mark, dict):
            files = mark.get("files", {"files/other.txt": b"other"})
            bundles.append(lab.build(world, files, serial=mark["serial"], pred={"channel": channel}))
    for bundle in bundles:
        path = WORK / "import.stage"
        path.write_bytes(bundle)
        extra = ["--allow-root"] if os.geteuid() == 0 else []
        done = run("import", path, "--repo", repo, *extra)
        assert done.returncode == 0, done.stderr
    return repo


def collection():
    world, skipped = lab.Lab(), 0
    with_repo = has("repo", "init") and has("import") and b"--repo" in run("verify", "--help").stdout
    for number, make in sorted(cases_open.CASES.items()):
        for variant, bundle, kw, want in make(world):
            kw = dict(kw)
            root, now, state = kw.pop("root", world.root), kw.pop("now", NOW), kw.pop("state", None)
            assert not kw, kw
            repo = None
            if state is not None:
                if not with_repo:
                    skipped += 1
                    continue
                if variant == "equal-same-idempotent":
                    state = {"prod": dict(state["prod"], files=None)}
                    repo = same(bundle, world)
                else:
                    repo = repository(state, world)
            compare(f"case {number} {variant}", *judge(bundle, root, now, repo), want)
    if skipped:
        print(f"lab: SKIPPED {skipped} cases that need `stage repo` and `stage import`", file=sys.stderr)


def same(bundle, world):
    repo = repository({}, world)
    path = WORK / "same.stage"
    path.write_bytes(bundle)
    extra = ["--allow-root"] if os.geteuid() == 0 else []
    done = run("import", path, "--repo", repo, *extra)
    assert done.returncode == 0, done.stderr
    return repo


# ---------- random corpus ----------
def corpus():
    seed = int(os.environ.get("STAGE_LAB_SEED", "1"))
    rng, world, seen, crashed = random.Random(seed), lab.Lab(), {}, 0
    for index in range(COUNT):
        try:
            kind, bundle, root, now = sample(rng, world)
            want = reference(bundle, root, now=now)
        except Exception:  # the builder or the reference fell over its own input: nothing to agree with
            crashed += 1
            continue
        seen[want] = seen.get(want, 0) + 1
        got, code = judge(bundle, root, now)
        before = len(bad)
        compare(f"random {seed}/{index} kind {kind}", got, code, want)
        if len(bad) > before and (keep := os.environ.get("STAGE_LAB_KEEP")):
            pathlib.Path(keep).mkdir(exist_ok=True)
            (pathlib.Path(keep) / f"{seed}-{index}.stage").write_bytes(bundle)
            (pathlib.Path(keep) / f"{seed}-{index}.root.json").write_bytes(lab.cj(root))
    classes = ", ".join(f"{'accepted' if c == 0 else f'E{c}'} {n}" for c, n in sorted(seen.items()))
    print(f"lab: random corpus, seed {seed}: {classes}; {crashed} unusable")


# ---------- what `stage` writes ----------
def other_direction():
    if not has("bundle"):
        print("lab: SKIPPED the other direction, there is no `stage bundle`", file=sys.stderr)
        return
    tree = WORK / "tree"
    for name, data in {"hello.txt": b"hello\n", "deep/er/x": b"", "same": b"hello\n", "big.bin": os.urandom(3 << 20)}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    for scheme in ("ed25519", "ecdsa-p384"):
        where = WORK / scheme
        where.mkdir()
        keys = {name: where / f"{name}.pem" for name in ("r", "a", "b")}
        for path in keys.values():
            assert run("key", "generate", "--scheme", scheme, "-o", path).returncode == 0
        public = {name: path.with_suffix(".pub") for name, path in keys.items()}
        root = where / "root.json"
        made = run("trust", "init", "--root", f"{public['r']}=rita", "--builder", f"{public['a']}=alice", "--releaser", f"{public['b']}=bob", "-o", root)
        assert made.returncode == 0, made.stderr
        bundle = where / "docs.stage"
        made = subprocess.run([STAGE, "bundle", "--plain", tree, "--channel", "docs", "--key", keys["a"], "--trust", root, "-o", bundle], cwd=where, capture_output=True)
        assert made.returncode == 0, made.stderr
        trusted = json.loads(root.read_bytes())
        now = json.loads(run("key", "inspect", keys["a"], "--format", "json").stdout) and lab.time.strftime("%Y-%m-%dT%H:%M:%SZ", lab.time.gmtime())
        want = reference(bundle.read_bytes(), trusted, now=now)
        compare(f"written by stage, one signature, {scheme}", *judge(bundle.read_bytes(), trusted, now), lab.SIG)
        assert want == lab.SIG, want
        made = run("sign", bundle, "--key", keys["b"], "--role", "releaser", "--trust", root)
        assert made.returncode == 0, made.stderr
        compare(f"written by stage, {scheme}", reference(bundle.read_bytes(), trusted, now=now), 0, 0)
        by_hand = subprocess.run(["bash", f"{LAB}/verify-by-hand.sh", bundle, public["a"], public["b"]], capture_output=True)
        compare(f"verify-by-hand.sh, {scheme}", by_hand.returncode, by_hand.returncode, 0)


collection()
corpus()
other_direction()
for line in bad:
    print("lab: DISAGREE", line)
print(f"lab: {total} comparisons, {len(bad)} disagreements")
sys.exit(1 if bad else 0)
