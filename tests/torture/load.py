"""Many at once, many after each other, and media that are slow or change while they are read."""
import hashlib, os, pathlib, random, subprocess, threading, time

from scene import folder, remove, tree


def importers(scene, rounds, say, many=16):
    """`many` imports at once of the same and of different bundles: one wins, the others are told that it is locked."""
    bad, codes = [], {}
    for index in range(rounds):
        repo = scene.copy(scene.base, "crowd")
        bundles = [scene.new] * many if index % 2 == 0 else [scene.new, scene.old] * (many // 2)
        running = [subprocess.Popen([scene.program, "import", "--format", "json", "-q", "-q", str(b), "--repo", str(repo),
                                     *(["--allow-root"] if os.geteuid() == 0 else [])],
                                    cwd=scene.work, env=scene.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for b in bundles]
        for process, bundle in zip(running, bundles):
            said = process.communicate()[0].decode()
            code = process.returncode
            what = "0" if code == 0 else next((c for c in ("E11", "E32") if f'"{c}"' in said), f"exit {code}")
            codes[what] = codes.get(what, 0) + 1
            if what not in ("0", "E11") and not (what == "E32" and bundle == scene.old):
                bad.append(f"round {index}: {what}: {said[:200]}")
        if tree(repo) not in (scene.old_tree, scene.new_tree):
            bad.append(f"round {index}: torn tree")
        bad += [f"round {index}: {w}" for w in scene.judge(repo)]
    return {"importers": rounds * many, "answers": codes, "bad": bad}


def cycles(scene, count, say):
    """Import and roll back in turn, while a reader hashes what is published all the time: it only ever sees whole trees."""
    repo, bad = scene.copy(scene.base, "cycles"), []
    done = scene.run_import(scene.new, repo)
    assert done.returncode == 0, done.stderr
    whole, seen, stop = {}, [0], threading.Event()

    def content(root):
        """Names and digests, without what says which generation it is."""
        return hashlib.sha256(repr([f for f in folder(root) if f[0] != "repository.json"]).encode()).hexdigest()

    def read():
        while not stop.is_set():
            root = (repo / "current").resolve()
            try:
                found = content(root)
            except FileNotFoundError:
                if root.exists():
                    bad.append(f"a file of {root.name} went away")
                continue
            seen[0] += 1
            whole.setdefault(found, root.name)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for index in range(count):
            to = ["--to", "1"] if index % 2 == 0 else ["--to", "2"]
            back = scene.stage("repo", "rollback", "-q", "--repo", repo, "--channel", "demo", *to, check=False)
            if back.returncode:
                bad.append(f"cycle {index}: rollback exits {back.returncode}: {back.stderr.decode()[:200]}")
            again = scene.run_import(scene.new, repo)
            if again.returncode:
                bad.append(f"cycle {index}: import exits {again.returncode}: {again.stderr.decode()[:200]}")
            if index % 200 == 199:
                say(f"{index + 1} cycles, {seen[0]} readings")
    finally:
        stop.set()
        reader.join()
    if len(whole) != 2:
        bad.append(f"{len(whole)} different trees were read, not 2")
    return {"cycles": count, "readings": seen[0], "different trees read": len(whole), "bad": bad}


def media(scene, rounds, say, seed=1):
    """A FIFO, a slow pipe, a medium that ends early, and a file that changes under the reader."""
    rng, bad, answers = random.Random(seed), [], {}
    data = scene.new.read_bytes()

    def feed(path, chunks, pause):
        with open(path, "wb", buffering=0) as pipe:
            for chunk in chunks:
                try:
                    pipe.write(chunk)
                except BrokenPipeError:
                    return
                time.sleep(pause)

    for name, chunks, pause, want in (
        ("whole FIFO", [data], 0, 0),
        ("slow FIFO", [data[i:i + 4096] for i in range(0, len(data), 4096)], 0.02, 0),
        ("one byte at a time", [data[i:i + 1] for i in range(0, 3000)] + [data[3000:]], 0, 0),
        ("FIFO that ends early", [data[:len(data) // 2]], 0, 4),
        ("FIFO that goes on", [data, b"x"], 0, 4),
    ):
        repo, pipe = scene.copy(scene.base, "media"), scene.work / "fifo"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        writer = threading.Thread(target=feed, args=(pipe, chunks, pause))
        writer.start()
        done = scene.run_import(pipe, repo)
        writer.join()
        if done.returncode != want:
            bad.append(f"{name}: exit {done.returncode}: {done.stderr.decode()[:200]}")
        if tree(repo) != (scene.new_tree if want == 0 else scene.old_tree):
            bad.append(f"{name}: the wrong tree")
    big = big_bundle(scene)
    original = big.read_bytes()
    for index in range(rounds):
        repo = scene.copy(scene.empty, "media")
        changed = scene.work / "changing.stage"
        changed.write_bytes(original)
        process = subprocess.Popen(scene.import_command(changed, repo), cwd=scene.work, env=scene.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with open(changed, "r+b", buffering=0) as file:
            while process.poll() is None:
                file.seek(rng.randrange(len(original)))
                file.write(bytes([rng.randrange(256)]))
                time.sleep(rng.choice([0.002, 0.05, 0.3]))
        process.stderr.close()
        code = process.returncode
        answers[code] = answers.get(code, 0) + 1
        shown = tree(repo)
        if code == 4 and shown is not None or code == 0 and not carries(shown, scene.big_digests) or code not in (0, 4):
            bad.append(f"changed under the reader {index}: exit {code}")
    return {"media": 5, "files changed under the reader": rounds, "exit codes": answers, "bad": bad}


def big_bundle(scene):
    """A plain bundle of 24 MiB in another channel."""
    source = scene.work / "big"
    source.mkdir(exist_ok=True)
    scene.big_digests = set()
    for index in range(6):
        body = random.Random(index).randbytes(4 << 20)
        (source / f"part{index}.bin").write_bytes(body)
        scene.big_digests.add(hashlib.sha256(body).hexdigest())
    path = scene.work / "big.stage"
    path.unlink(missing_ok=True)
    scene.stage("bundle", "--plain", source, "--channel", "big", "--key", "k.pem", "-o", path)
    return path


def carries(shown, digests):
    return shown is not None and digests <= {what for _, _, what in shown}
