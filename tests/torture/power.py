"""Power cuts: an import runs in an ext4 file system of its own whose image is copied while it runs; the copy is what
a disk holds after the cut. It is repaired as a machine would at its next start, mounted and judged."""
import os, pathlib, random, signal, subprocess, tempfile, time

from scene import tree

SIZE_MIB = 48


def available():
    """Why it cannot be done here; empty if it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    for program in ("mkfs.ext4", "e2fsck", "mount", "losetup"):
        if subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True).returncode:
            return f"{program} is missing"
    with tempfile.TemporaryDirectory() as folder:
        image, at = pathlib.Path(folder, "probe.img"), pathlib.Path(folder, "at")
        at.mkdir()
        run("truncate", "-s", "8M", image)
        if run("mkfs.ext4", "-q", image).returncode or run("mount", "-o", "loop", image, at).returncode:
            return "no file system can be made and mounted here"
        run("umount", at)
    return ""


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


class Mounted:
    """An image mounted below a folder, for the length of a block."""

    def __init__(self, image, at):
        self.image, self.at = image, pathlib.Path(at)

    def __enter__(self):
        self.at.mkdir(exist_ok=True)
        done = run("mount", "-o", "loop", self.image, self.at)
        if done.returncode:
            raise SystemExit(f"mount: {done.stderr}")
        return self.at

    def __exit__(self, *_):
        for _ in range(50):
            if run("umount", self.at).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit(f"cannot unmount {self.at}")


def cuts(scene, count, say, seed=1):
    """Cuts the power `count` times at random moments of an import over an older tree."""
    if why := available():
        return {"power cuts": 0, "SKIPPED": why, "bad": []}
    rng, bad, seen = random.Random(seed), [], {"old": 0, "new": 0}
    work = scene.work / "power"
    work.mkdir(exist_ok=True)
    blank = work / "base.img"
    blank.unlink(missing_ok=True)
    run("truncate", "-s", f"{SIZE_MIB}M", blank)
    made = run("mkfs.ext4", "-q", "-O", "^metadata_csum", blank)
    assert made.returncode == 0, made.stderr
    with Mounted(blank, work / "disk") as disk:
        os.chmod(disk, 0o755)
        run("rmdir", disk / "lost+found")
        run("cp", "-a", scene.base, disk / "repo")
        run("sync", "-f", disk)
    image, cut = work / "live.img", work / "cut.img"
    # Slowed down, so that the cut falls between the steps and not only before or after all of them.
    slow = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync,linkat,rename,symlink,mkdir,unlink:delay_exit=1500"]
    span = _span(scene, blank, image, work, slow)
    for index in range(count):
        run("cp", "--sparse=always", blank, image)
        with Mounted(image, work / "disk") as disk:
            process = subprocess.Popen([*slow, *scene.import_command(scene.new, disk / "repo")], cwd=scene.work, env=scene.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            time.sleep(rng.random() * span)
            # Everybody stands still while the disk is copied: a copy of one moment.
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(0.01)
            run("cp", "--sparse=always", image, cut)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        checked = run("e2fsck", "-fp", cut)
        if checked.returncode not in (0, 1):
            bad.append(f"cut {index}: e2fsck exits {checked.returncode}: {checked.stdout[:300]}")
            continue
        with Mounted(cut, work / "after") as after:
            seen["new" if tree(after / "repo") == scene.new_tree else "old"] += 1
            bad += [f"cut {index}: {w}" for w in scene.judge(after / "repo")]
        if index % 25 == 24:
            say(f"{index + 1} cuts")
    return {"power cuts": count, "shown afterwards": seen, "bad": bad}


def _span(scene, blank, image, work, slow):
    """Seconds that a slowed import takes."""
    run("cp", "--sparse=always", blank, image)
    with Mounted(image, work / "disk") as disk:
        started = time.monotonic()
        done = scene.run_import(scene.new, disk / "repo", slow)
        assert done.returncode == 0, done.stderr
        return (time.monotonic() - started) * 1.05
