"""Faults of the machine: killed before each system call that changes something, and at random moments; a disk that is
full, broken or over quota at each of them."""
import collections, random, re, signal, subprocess, time

from scene import listing, tree

# Every call that changes a file, a name or a directory; those that a run really makes are found by tracing one.
CALLS = ("openat openat2 creat write pwrite64 writev mkdir mkdirat rename renameat renameat2 link linkat symlink symlinkat "
         "unlink unlinkat rmdir fsync fdatasync sync_file_range chmod fchmod fchmodat fchmodat2 utimensat ftruncate truncate "
         "copy_file_range sendfile flock").split()
# Calls that a full or broken disk can make fail.
FAILING = set("openat openat2 write pwrite64 writev mkdir mkdirat rename renameat renameat2 link linkat symlink symlinkat fsync "
              "fdatasync ftruncate fchmod chmod fchmodat utimensat copy_file_range sendfile".split())
ERRORS = ("ENOSPC", "EIO", "EDQUOT")


def calls(scene, bundle, base):
    """How often the importing thread makes each call, from one traced run."""
    log = scene.work / "trace"
    repo = scene.copy(base, "traced")
    done = scene.run_import(bundle, repo, ["strace", "-f", "-o", str(log), "-e", "trace=" + ",".join("?" + c for c in CALLS)])
    assert done.returncode == 0, done.stderr
    counts = collections.defaultdict(collections.Counter)
    for line in log.read_text(errors="replace").splitlines():
        if (match := re.match(r"(\d+) +(\w+)\(", line)) is not None:
            counts[match[1]][match[2]] += 1
    return max(counts.values(), key=lambda c: sum(c.values()))


def inject(scene, bundle, repo, what):
    return scene.run_import(bundle, repo, ["strace", "-f", "-o", "/dev/null", "-e", "inject=" + what])


def kill_everywhere(scene, every, say):
    """Killed before the n-th call of each kind, for each n."""
    tried, bad = 0, []
    seen = collections.Counter()
    for base, name in ((scene.base, "over an older tree"), (scene.empty, "into an empty repository")):
        for call, count in sorted(calls(scene, scene.new, base).items()):
            for n in range(1, count + 1, every):
                repo = scene.copy(base, "trial")
                inject(scene, scene.new, repo, f"{call}:signal=KILL:when={n}")
                tried += 1
                shown = tree(repo)
                seen["nothing" if shown is None else "old" if shown == scene.old_tree else "new"] += 1
                wrong = judge(scene, repo, base)
                if wrong:
                    bad.append(f"killed before {call} {n} {name}: {', '.join(wrong)}")
        say(f"{name}: {tried} so far")
    return {"kill points": tried, "bad": bad, "shown afterwards": dict(seen)}


def judge(scene, repo, base):
    """As `Scene.judge`; a repository that was empty shows another generation number than one that had an old tree."""
    if base is scene.base:
        return scene.judge(repo)
    if not hasattr(scene, "first_tree"):
        first = scene.copy(scene.empty, "first")
        scene.first_tree = scene._import(first, scene.new)
    kept = scene.old_tree, scene.new_tree
    scene.old_tree, scene.new_tree = None, scene.first_tree
    try:
        return scene.judge(repo)
    finally:
        scene.old_tree, scene.new_tree = kept


def kill_at_random(scene, count, say, seed=1):
    """SIGKILL after a random time, `count` times."""
    rng, bad, seen = random.Random(seed), [], collections.Counter()
    started = time.monotonic()
    scene.run_import(scene.new, scene.copy(scene.base, "trial"))
    span = (time.monotonic() - started) * 1.1
    for index in range(count):
        repo = scene.copy(scene.base, "trial")
        process = subprocess.Popen(scene.import_command(scene.new, repo), cwd=scene.work, env=scene.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * span)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen["old" if tree(repo) == scene.old_tree else "new"] += 1
        bad += [f"random kill {index}: {w}" for w in scene.judge(repo)]
    return {"random kills": count, "bad": bad, "shown afterwards": dict(seen)}


def fail_everywhere(scene, every, say):
    """Each call that can fail, failing once and failing from then on, with each error."""
    tried, bad, undone = 0, [], 0
    counts = calls(scene, scene.new, scene.base)
    for call, count in sorted(counts.items()):
        if call not in FAILING:
            continue
        # Before its first look at the repository a process opens its own libraries; failing there is the loader's affair.
        for n in range(1, count + 1, every):
            for error in ERRORS:
                for onwards in ("", "+"):
                    repo = scene.copy(scene.base, "trial")
                    before = listing(repo)
                    done = inject(scene, scene.new, repo, f"{call}:error={error}:when={n}{onwards}")
                    tried += 1
                    where = f"{call} {n}{onwards} {error}"
                    shown = tree(repo)
                    if done.returncode not in (0, 1, 5, 127):
                        bad.append(f"{where}: exit {done.returncode}: {done.stderr.decode()[:200]}")
                    if done.returncode == 0 and shown != scene.new_tree:
                        bad.append(f"{where}: exit 0 and the tree is not the new one")
                    if done.returncode != 0 and shown == scene.old_tree:
                        after = listing(repo)
                        if after == before:
                            undone += 1
                        elif not onwards and len(repo.joinpath("state/journal.jsonl").read_bytes().splitlines()) == journal_lines(before, scene):
                            bad.append(f"{where}: not undone: {sorted(set(after) ^ set(before))[:4]}")
                    bad += [f"{where}: {w}" for w in scene.judge(repo)]
        say(f"{call}: {tried} so far")
    return {"faults injected": tried, "bad": bad, "left as if nothing had happened": undone}


def journal_lines(_before, scene):
    return len((scene.base / "state/journal.jsonl").read_bytes().splitlines())
