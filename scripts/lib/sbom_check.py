"""The judges of scripts/sbom-check. Usage: sbom_check.py FOLDER-OF-PROGRAMS FILE..."""

import csv
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

BIN = Path(sys.argv[1])
STRICT = JsonStrictValidator(SchemaVersion.V1_6)
PROFILES = ("cisa-2026-min", "ntia-min-elements", "bsi-tr-03183-v2.1")

UNKNOWN = "NOASSERTION"


def excuse(rule, bom, component):
    """Why a finding of a profile does not count, by what the document itself says; None: it counts."""
    if rule in ("cisa26-sbom-author-signature", "bsi-signed"):
        return "the signature is detached"
    if component is None:
        return None
    if rule.endswith("-supplier") and component["supplier"]["name"] == UNKNOWN:
        return "supplier declared as unknown"
    license = component["licenses"][0].get("license", {})
    if "-license" in rule and license.get("name") == UNKNOWN:
        return "license declared as unknown"
    if "-license" in rule and "name" in license:
        return "license in words, with its text" if "text" in license else "license in words, no text of it in the archive"
    if "-license" in rule and "LicenseRef-" in component["licenses"][0].get("expression", ""):
        return "a license of its own in the expression"
    properties = {p["name"]: p["value"] for p in component.get("properties", [])}
    if "-hash" in rule and "stage:bundled-in" in properties and not component.get("hashes"):
        return "a copy inside another component's archive"
    if rule == "bsi-component-version" and properties.get("stage:ecosystem") in ("debian", "file", "pypi"):
        return "a version that is right in its ecosystem and neither SemVer nor CalVer"
    return None


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def in_file(text, name):
    folder = tempfile.mkdtemp()
    path = Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return path


def cyclonedx(text):
    error = STRICT.validate_str(text)
    return None if error is None else str(error)


def spdx(text):
    path = in_file(text, "f.spdx.json")
    code, said = run(BIN / "pyspdxtools", "-i", path)
    if code != 0:
        return said[:2000]
    return None


def ntia(text):
    path = in_file(text, "f.spdx.json")
    out = path.with_suffix(".report")
    _, said = run(BIN / "sbomcheck", "-s", "spdx2", "-c", "ntia", "--output", "json", "--output-file", out, path)
    try:
        report = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return said[:2000]
    document = json.loads(text)
    unknown = {p["name"] for p in document["packages"] if p.get("supplier") == UNKNOWN}
    missing = report["componentSuppliers"]["nonconformantComponents"]
    EXCUSED["supplier declared as unknown"] = sum(name in unknown for name in missing)
    problems = [f"no supplier: {name}" for name in missing if name not in unknown]
    for key in ("Names", "Versions", "Identifiers"):
        problems += [f"no {key}: {name}" for name in report[f"component{key}"]["nonconformantComponents"]]
    for key in ("specVersion", "authorName", "timestamp", "dependencyRelationships"):
        if not report[f"{key}Provided"]:
            problems.append(f"no {key}")
    if report["graphValidation"]["floatingComponents"]["floatingComponentCount"]:
        problems.append("components outside the graph")
    return "\n  ".join(problems) or None


def table(text):
    rows = list(csv.reader(text.splitlines(keepends=True), strict=True))
    if len(rows) < 2:
        return "no rows"
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            return f"row {number} has {len(row)} cells"
        for cell in row:
            if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
                return f"a formula: {cell}"
    return None


EXCUSED = Counter()


def profile(name):
    def judge(text):
        path = in_file(text, "f.cdx.json")
        _, said = run(BIN / "ossbomer", "validate", "--profile", name, "--file", path, "--format", "json")
        EXCUSED.clear()
        try:
            [result] = json.loads(said)["results"]
        except ValueError:
            return said[:2000]
        bom = json.loads(text)
        if not result["findings"]:
            return "nothing was judged"
        counted = []
        for found in result["findings"]:
            if found["verdict"] == "PASS":
                continue
            at = re.match(r"components\[(\d+)\]", found["path"])
            component = bom["components"][int(at[1])] if at else None
            try:
                why = excuse(found["rule_id"], bom, component)
            except (KeyError, IndexError):
                why = None
            if why is None:
                counted.append(f"{found['rule_id']} {found['path']} {found['message']}")
            else:
                EXCUSED[why] += 1
        return "\n  ".join(counted) or None

    return judge


def edit(change):
    def damage(text):
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return damage


def hashed(bom):
    return next(c for c in bom["components"] if c.get("hashes"))


CYCLONEDX = [
    edit(lambda bom: bom.update(bomFormat="SPDX")),
    edit(lambda bom: bom.update(unknownField=1)),
    edit(lambda bom: bom["components"][0].pop("name")),
    edit(lambda bom: hashed(bom)["hashes"][0].update(content="abc")),
    edit(lambda bom: bom.update(serialNumber="urn:uuid:1")),
    edit(lambda bom: bom["formulation"][0]["workflows"][0].pop("uid")),
    edit(lambda bom: bom["compositions"][0].update(aggregate="all")),
]
SPDX = [
    edit(lambda doc: doc["packages"][1].update(licenseDeclared="LicenseRef-nowhere")),
    edit(lambda doc: doc["packages"][1].update(SPDXID="SPDXRef-a b")),
    edit(lambda doc: doc["packages"][1].update(supplier="nobody")),
    edit(lambda doc: doc["relationships"][0].update(relatedSpdxElement="SPDXRef-nowhere")),
    edit(lambda doc: doc.update(documentNamespace="no address")),
    edit(lambda doc: next(p for p in doc["packages"] if "checksums" in p)["checksums"][0].update(checksumValue="00")),
]
NTIA = [
    edit(lambda doc: next(p for p in doc["packages"] if p["supplier"] != UNKNOWN).pop("supplier")),
    edit(lambda doc: doc["packages"][1].pop("versionInfo")),
    edit(lambda doc: doc["creationInfo"].update(creators=[])),
    edit(lambda doc: doc.update(relationships=[r for r in doc["relationships"] if r["relationshipType"] == "DESCRIBES"])),
]
TABLE = [
    lambda text: text + "=1+1" + "," * text.splitlines()[0].count(",") + "\r\n",
    lambda text: text + "one cell\r\n",
]
SUPPLIED = edit(lambda bom: next(c for c in bom["components"] if c["supplier"]["name"] != UNKNOWN).pop("supplier"))
CISA = [
    SUPPLIED,
    edit(lambda bom: bom["metadata"].pop("lifecycles")),
    edit(lambda bom: bom["metadata"].pop("timestamp")),
    edit(lambda bom: bom["components"][0].pop("licenses")),
]
NTIA_CDX = [SUPPLIED, edit(lambda bom: bom["metadata"].pop("timestamp"))]
BSI = [SUPPLIED, edit(lambda bom: bom["metadata"].pop("timestamp"))]


def judges(path, text):
    if path.endswith(".cdx.json") and "formulation" not in json.loads(text):
        # Not by `stage`: the SBOM of the program itself.
        return [("CycloneDX 1.6", cyclonedx, CYCLONEDX[:5])]
    if path.endswith(".cdx.json"):
        twins = dict(zip(PROFILES, (CISA, NTIA_CDX, BSI)))
        return [("CycloneDX 1.6", cyclonedx, CYCLONEDX)] + [(name, profile(name), twins[name]) for name in PROFILES]
    if path.endswith(".spdx.json"):
        return [("SPDX 2.3", spdx, SPDX), ("NTIA", ntia, NTIA)]
    return [("a table without formulas", table, TABLE)]


def main():
    bad = False
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        for name, judge, damages in judges(path, text):
            EXCUSED.clear()
            problem = judge(text)
            excused = ", ".join(f"{count} x {why}" for why, count in sorted(EXCUSED.items()) if count)
            EXCUSED.clear()
            if problem is not None:
                print(f"sbom-check: {path}: {name}: {problem}", file=sys.stderr)
                bad = True
                continue
            for number, damage in enumerate(damages):
                if judge(damage(text)) is None:
                    print(f"sbom-check: damaged copy {number} of {path} was accepted as {name}", file=sys.stderr)
                    bad = True
            excused = excused and f"; not counted: {excused}"
            print(f"sbom-check: {path}: {name}, and {len(damages)} damaged twins refused{excused}")
    sys.exit(1 if bad else 0)


main()
