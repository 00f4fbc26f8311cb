"""The judges of scripts/packet-check. Usage: packet_check.py ROOT FOLDER-OF-THE-CKLB-READER PACKET"""

import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import html5lib
import jsonschema
from markdown_it import MarkdownIt
from referencing import Registry, Resource

ROOT, READER, PACKET = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
BIN = Path(sys.executable).parent
# Loaded by the programs themselves, in scripts of their own.
ELSEWHERE = {
    "network": ("scripts/runtime-check", {
        "nftables.conf", "iptables.rules", "ip6tables.rules", "ufw.sh", "windows-firewall.ps1", "squid.conf", "proxychains.conf",
        "systemd-proxy.conf", "macos-networksetup.sh", "proxy.env", "staging-squid.conf"}),
    "permissions": ("scripts/runtime-check", {
        "tmpfiles.conf", "sysusers.conf", "ansible.yml", "puppet.pp", "acl.restore", "selinux.fc"}),
    "hids": ("scripts/hids-check", {
        "aide.conf", "aide-may-change.conf", "aide-may-change.db", "aide.db", "fapolicyd.trust", "wazuh-syscheck.xml", "osquery.pack.json", "SHA256SUMS"}),
    "ca": ("scripts/ca-check", None),
}
# Nothing reads these here: PowerShell is not in Debian.
UNREAD = {"network/windows-firewall.ps1"}


class Refused(Exception):
    """What a judge says of a file."""


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused((done.stderr or done.stdout).strip()[-400:])
    return done.stdout + done.stderr


def in_file(data, name):
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(data)
    return path


def html(data):
    """HTML 5 without an error, and nothing that is fetched or runs."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    try:
        tree = parser.parse(data.decode())
    except html5lib.html5parser.ParseError as error:
        raise Refused(str(error)) from error
    for element in tree.iter():
        name = element.tag if isinstance(element.tag, str) else ""
        if name.rsplit("}")[-1] in ("script", "img", "iframe", "object", "link", "form", "base"):
            raise Refused(f"<{name}>")
        for key, value in element.attrib.items():
            key = key if isinstance(key, str) else key[-1]
            if key in ("src", "href", "action") and not re.fullmatch(r"#[a-z]+|[a-z][a-z0-9./-]*", value):
                raise Refused(f"{key}={value}")
            if key.startswith("on"):
                raise Refused(key)
    if tree.find(".//h1") is None or not all(table.find("caption") is not None for table in tree.iter("table")):
        raise Refused("a heading or a caption is missing")


def markdown(data):
    """CommonMark with tables: no HTML, no link, every row as wide as its head."""
    tokens = MarkdownIt("commonmark").enable("table").parse(data.decode())
    inline = [child for token in tokens for child in token.children or []]
    for token in tokens + inline:
        if token.type.startswith("html") or token.type in ("link_open", "image"):
            raise Refused(f"{token.type}: {token.content[:80]}")
    if not any(token.type == "heading_open" for token in tokens):
        raise Refused("no heading")
    for block in re.findall(r"(?:^\|.*\n)+", data.decode(), re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        if len(widths) != 1:
            raise Refused(f"rows of {sorted(widths)} cells: {block[:80]}")


def table(data):
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    if not rows or {len(row) for row in rows} != {len(rows[0])} or len(set(rows[0])) != len(rows[0]):
        raise Refused("rows of different lengths, or two columns of one name")
    for cell in (cell for row in rows for cell in row):
        if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
            raise Refused(f"a formula: {cell[:40]}")


def svg(data):
    run("xmllint", "--noout", "--nonet", in_file(data, "it.svg"))


def graph(data):
    run("dot", "-Tcanon", "-o", "/dev/null", in_file(data, "it.dot"))


def checklist(data):
    run("node", READER / "cklb.mjs", in_file(data, "it.cklb"))


def oscal(data):
    folder = Path(tempfile.mkdtemp())
    trestle = [BIN / "trestle"]
    run(*trestle, "init", "--trestle-root", folder)
    file = in_file(data, "component.json")
    run(*trestle, "import", "--trestle-root", folder, "-f", file, "-o", "it")
    said = run(*trestle, "validate", "--trestle-root", folder, "-t", "component-definition", "-n", "it")
    if "VALID" not in said or "INVALID" in said:
        raise Refused(said[-400:])


def registry():
    schemas = [json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.json")]
    return Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in schemas])


REGISTRY = registry()


def document(schema, part=None):
    """JSON by one of our schemas, or by that of one of its properties."""
    def judge(data):
        text = json.loads((ROOT / "schemas" / schema).read_text())
        if part:
            text = {"$id": text["$id"], "$defs": text.get("$defs", {}), **text["properties"][part]}
        try:
            jsonschema.Draft202012Validator(text, registry=REGISTRY).validate(json.loads(data))
        except (jsonschema.ValidationError, ValueError) as error:
            raise Refused(str(error)[:400]) from error
    return judge


def archive(data):
    try:
        bad = zipfile.ZipFile(io.BytesIO(data)).testzip()
    except (zipfile.BadZipFile, zlib.error, ValueError) as error:
        raise Refused(str(error)) from error
    if bad:
        raise Refused(bad)


def manifest(data):
    """Every file is listed with its digest, and no other is there."""
    listed = {file["path"]: (file["sha256"], file["size"]) for file in json.loads(data)["files"]}
    found = {}
    for path in sorted(PACKET.rglob("*")):
        name = str(path.relative_to(PACKET))
        if path.is_file() and name not in ("manifest.json", "manifest.json.dsse"):
            content = path.read_bytes()
            found[name] = (hashlib.sha256(content).hexdigest(), len(content))
    if listed != found:
        raise Refused(f"differs: {sorted(set(listed.items()) ^ set(found.items()))[:3]}")


def sums(data):
    """sha256sum finds every file as listed, and only manifest.json and its signature are not listed."""
    run("sh", "-c", 'cd "$1" && sha256sum --quiet --strict -c "$2"', "sh", PACKET, in_file(data, "sums"))
    listed = {line[66:] for line in data.decode().splitlines()}
    found = {str(path.relative_to(PACKET)) for path in PACKET.rglob("*") if path.is_file()}
    if found - listed != {"SHA256SUMS", "manifest.json"} | (found & {"manifest.json.dsse"}):
        raise Refused(f"not listed: {sorted(found - listed)}")


def signature(data):
    """DSSE over a statement about the list, verified by openssl."""
    envelope = json.loads(data)
    payload = base64.b64decode(envelope["payload"], validate=True)
    subject = json.loads(payload)["subject"][0]
    if subject["digest"]["sha256"] != hashlib.sha256((PACKET / "manifest.json").read_bytes()).hexdigest():
        raise Refused("it is about another list")
    key = PACKET.parent / "k.pub"
    kind = envelope["payloadType"].encode()
    signed = in_file(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload), "signed")
    made = in_file(base64.b64decode(envelope["signatures"][0]["sig"], validate=True), "signature")
    run("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", signed, "-sigfile", made,
        *(["-digest", "sha384"] if "EC" in run("openssl", "pkey", "-pubin", "-in", key, "-text", "-noout").upper()
          and "ED25519" not in run("openssl", "pkey", "-pubin", "-in", key, "-text", "-noout").upper() else []))


def other_script(script):
    """A script with damaged twins of its own."""
    def judge(data, name):
        run(ROOT / "scripts" / script, in_file(data, name))
    return judge


def cut(data):
    return data[: len(data) * 2 // 3]


def swap(old, new):
    def damage(data):
        return data.replace(old, new, 1)
    return damage


def another_row(data):
    return data + b"one cell alone\r\n"


def another(name, value):
    """The document with another value of this name."""
    def damage(data):
        document = json.loads(data)
        document[name] = value
        return json.dumps(document).encode()
    return damage


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1:]


def other_uuid(data):
    document = json.loads(data)
    document["component-definition"]["uuid"] = "00000000-0000-8000-8000-000000000000"
    return json.dumps(document).encode()


def unsigned(data):
    envelope = json.loads(data)
    made = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    made[-1] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(made)).decode()
    return json.dumps(envelope).encode()


EVIDENCE = {
    "approved.json": "approved-evidence.json", "findings.json": "findings-evidence.json",
    "install-scripts.json": "install-scripts-evidence.json",
    "licenses.json": "licenses-evidence.json", "policy.json": "policy-evidence.json", "prove.json": "prove.json",
    "runtime.json": "runtime.json", "vulnerabilities.json": "vulnerabilities.json",
}
OURS = "jsonschema, schemas/"


def rule(name):
    """Who reads a file, as (name, judge, damage); None: nobody."""
    base, top = name.rsplit("/", 1)[-1], name.split("/", 1)[0]
    if name == "index.html":
        return "html5lib, strictly", html, swap(b"</section>", b"</sect>")
    if base.endswith(".md") and top != "ca":
        return "markdown-it", markdown, swap(b"\n", b"\n\n<b>bold</b>\n\n")
    if name == "checklist.cklb":
        return "STIG Manager's reader", checklist, swap(b'"host_name"', b'"hostname"')
    if name == "oscal/component-definition.json":
        return "compliance-trestle", oscal, other_uuid
    if name == "SHA256SUMS":
        return "sha256sum", sums, swap(b"  index.md", b"  index.html")
    if name == "manifest.json":
        return "sha256 of every file", manifest, swap(b'"sha256":"', b'"sha256":"0')
    if name == "manifest.json.dsse":
        return "openssl pkeyutl", signature, unsigned
    if base.endswith(".csv"):
        return "csv, strictly", table, another_row
    if base.endswith(".svg"):
        return "xmllint", svg, cut
    if base.endswith(".dot"):
        return "graphviz", graph, swap(b'"', b"")
    if name in ("sbom/bundle.cdx.json", "sbom/bundle.spdx.json"):
        return "scripts/sbom-check", other_script("sbom-check"), None
    if name in ("vex/openvex.json", "vex/vex.cdx.json"):
        return "scripts/vex-check", other_script("vex-check"), None
    if name == "proof/proof.json":
        return OURS + "proof.json", document("proof.json", "predicate"), another("result", "perfect")
    if top == "evidence" and base in EVIDENCE:
        return OURS + EVIDENCE[base], document(EVIDENCE[base]), another("schema", "stage/other/v1")
    if top == "evidence":
        return "as the bundle has it", None, None
    script, names = ELSEWHERE.get(top, (None, set()))
    if name in UNREAD:
        return "NOT READ by its program here", None, None
    if names is None or base in names:
        return script, None, None
    return None


def judged(name, data):
    """A row of the table."""
    who = rule(name)
    if who is None:
        sys.exit(f"{name}: nothing checks it")
    said, judge, damage = who
    if judge is None:
        return [name, said, "", ""]
    arguments = (data, name.rsplit("/", 1)[-1]) if damage is None else (data,)
    try:
        judge(*arguments)
    except Refused as error:
        sys.exit(f"{said} refuses {name}: {error}")
    if damage is None:
        return [name, said, "accepted", "refused"]
    bad = damage(data)
    if bad == data:
        sys.exit(f"the damage to {name} changed nothing")
    try:
        judge(bad)
    except Refused:
        return [name, said, "accepted", "refused"]
    sys.exit(f"{said} accepts a damaged {name}")


def main():
    rows = [["file", "read by", "it", "its damaged twin"]]
    files = [path for path in sorted(PACKET.rglob("*")) if path.is_file()]
    for path in files:
        rows.append(judged(str(path.relative_to(PACKET)), path.read_bytes()))
    whole = PACKET.with_name(PACKET.name + ".zip")
    if whole.exists():
        archive(whole.read_bytes())
        try:
            archive(flipped(whole.read_bytes()))
            sys.exit("zipfile accepts a damaged archive")
        except Refused:
            rows.append([whole.name, "zipfile", "accepted", "refused"])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    read = sum(1 for row in rows[1:] if row[2])
    print(f"{len(rows) - 1} files, {read} accepted here and {read} damaged twins refused")


main()
