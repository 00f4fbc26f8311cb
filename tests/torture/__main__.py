"""Attacks on `stage` that take long; run by scripts/torture, which says what they are.

usage: torture STAGE WORK LAB PART...        STAGE_TORTURE=short: the short form
"""
import collections, json, os, pathlib, re, subprocess, sys, time

import faults, hostile, load, power
from scene import Scene

STAGE, WORK, LAB, *PARTS = sys.argv[1:]
SHORT = os.environ.get("STAGE_TORTURE") == "short"


def say(text):
    print(f"   {text}", file=sys.stderr, flush=True)


def parts(scene):
    return {
        "kill": lambda: faults.kill_everywhere(scene, 9 if SHORT else 1, say),
        "random": lambda: faults.kill_at_random(scene, 10 if SHORT else 200, say),
        "fail": lambda: faults.fail_everywhere(scene, 23 if SHORT else 1, say),
        "power": lambda: power.cuts(scene, 4 if SHORT else 100, say),
        "importers": lambda: load.importers(scene, 2 if SHORT else 20, say),
        "cycles": lambda: load.cycles(scene, 10 if SHORT else 1000, say),
        "media": lambda: load.media(scene, 2 if SHORT else 20, say),
        "resources": lambda: hostile.resources(scene, LAB, say),
        "hand": lambda: hostile.by_hand(scene, LAB, 20 if SHORT else 500, say),
        "sockets": lambda: hostile.sockets(scene, say),
    }


def untraceable():
    """Why no process can be traced here; empty if it can."""
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return tried.stderr.strip()[:200] or "strace fails" if tried.returncode else ""


def main():
    scene, figures, failed = Scene(STAGE, pathlib.Path(WORK)), {}, 0
    run = parts(scene)
    for part in PARTS or run:
        print(f"== {part}", file=sys.stderr, flush=True)
        started = time.monotonic()
        why = untraceable() if part in ("kill", "fail", "power", "sockets") else ""
        figures[part] = found = {"SKIPPED": f"no process can be traced here: {why}", "bad": []} if why else run[part]()
        bad = found.pop("bad")
        found |= {"failures": len(bad), "seconds": round(time.monotonic() - started)}
        pathlib.Path(WORK, f"{part}.failures").write_text("".join(f"{line}\n" for line in bad))
        kinds = collections.Counter(re.sub(r"\d+|\[.*\]|'.*'", "#", line) for line in bad)
        for line, count in kinds.most_common(15):
            print(f"FAILED {part}: {count} times: {line}")
        failed += len(bad)
        print(f"{part}: " + ", ".join(f"{k} {v}" for k, v in found.items()), flush=True)
    pathlib.Path(WORK, "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(1 if failed else 0)


main()
