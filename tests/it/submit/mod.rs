//! `stage submit` against services that hold it to their documented contract, and against some that do not keep it.

mod dependency_track;
mod hostile;
mod jira;
mod rt;
mod servicenow;
mod transport;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::desk::{Desk, Ran, ran};
use crate::loopback::{Asked, Reply};
use crate::schemas::assert_valid;

/// The token of every test: it may be printed nowhere.
pub(super) const TOKEN: &str = "T0PS3CR3T-token";

/// A desk with a packet, `packet` and `packet.zip`, and a token in `token`.
pub(super) fn desk() -> Desk {
    let desk = Desk::new();
    write_packet(&desk, "packet", &files());
    write_secret(&desk, "token", TOKEN);
    desk
}

pub(super) fn write_secret(desk: &Desk, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    desk.write(name, text);
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(desk.path(name), mode).unwrap();
}

pub(super) fn files() -> BTreeMap<String, Vec<u8>> {
    let page = "# demo 7: change packet\n\n**OK:** every check passed\n**Look:** [~admin] {color:red} <b>x</b>\n";
    let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1});
    BTreeMap::from([
        ("index.md".to_owned(), page.as_bytes().to_vec()),
        (
            "sbom/bundle.cdx.json".to_owned(),
            sbom.to_string().into_bytes(),
        ),
        ("controls.csv".to_owned(), b"a,b\n".to_vec()),
    ])
}

/// The list of these files.
pub(super) fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Value {
    let listed: Vec<Value> = files
        .iter()
        .map(|(path, bytes)| {
            json!({"path": path, "sha256": Digest::of(bytes).hex(), "size": bytes.len()})
        })
        .collect();
    json!({
        "schema": "stage/packet/v1", "bundle": Digest::of(b"bundle").to_string(),
        "channel": "demo", "serial": 7, "tool": "stage test", "files": listed,
    })
}

/// Writes a packet as `stage ticket` does: the folder, and the zip file beside it.
pub(super) fn write_packet(desk: &Desk, name: &str, files: &BTreeMap<String, Vec<u8>>) {
    let mut files = files.clone();
    let list = format!("{}\n", manifest(&files));
    files.insert("manifest.json".to_owned(), list.into_bytes());
    for (path, bytes) in &files {
        desk.write(&format!("{name}/{path}"), bytes);
    }
    let zip = stage::packet::zip(name, &files).unwrap();
    desk.write(&format!("{name}.zip"), zip);
}

/// `stage submit` with the token in a file; nothing it prints or writes holds the token.
pub(super) fn submit(desk: &Desk, words: &str) -> Ran {
    submit_by(desk, words, |_| ())
}

pub(super) fn submit_by(
    desk: &Desk,
    words: &str,
    more: impl FnOnce(&mut std::process::Command),
) -> Ran {
    let words = format!("submit --token-file token {words}");
    let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), &words);
    more(&mut command);
    let ran = ran(command);
    let encoded = data_encoding::BASE64.encode(format!("svc:{TOKEN}").as_bytes());
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(TOKEN) && !text.contains(&encoded), "{text}");
        let control = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{text:?}");
    }
    for entry in std::fs::read_dir(desk.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("receipt.json") {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(!text.contains(TOKEN), "{text}");
        }
    }
    ran
}

/// The receipt in a file, valid and canonical.
pub(super) fn receipt(desk: &Desk, name: &str) -> Value {
    let bytes = desk.read(name);
    let receipt: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(format!("{receipt}\n").into_bytes(), bytes, "canonical");
    assert_valid("submit-receipt.json", &receipt);
    receipt
}

/// How far each file of a receipt is, in its order: zip file, SBOM, page.
pub(super) fn states(receipt: &Value) -> Vec<&str> {
    let files = receipt["files"].as_array().unwrap().iter();
    files
        .map(|file| file["sent"]["state"].as_str().unwrap())
        .collect()
}

/// What is to arrive: name and content of zip file, SBOM and page.
pub(super) fn expected(desk: &Desk) -> Vec<(String, Vec<u8>)> {
    let file = |path: &str, extension: &str| {
        let bytes = desk.read(path);
        let digits = &Digest::of(&bytes).hex()[..12];
        (format!("demo-7-{digits}.{extension}"), bytes)
    };
    vec![
        file("packet.zip", "zip"),
        file("packet/sbom/bundle.cdx.json", "cdx.json"),
        file("packet/index.md", "md"),
    ]
}

/// One field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) file: Option<String>,
    pub(super) media: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// Reads `multipart/form-data` strictly.
pub(super) fn form(asked: &Asked) -> Vec<Field> {
    let media = asked.header("content-type").unwrap();
    let boundary = media
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    assert!((1..=70).contains(&boundary.len()), "RFC 2046");
    let delimiter = format!("--{boundary}");
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    let mut rest = asked.body.strip_prefix(delimiter.as_bytes()).unwrap();
    let mut out = Vec::new();
    loop {
        if rest == b"--\r\n" {
            return out;
        }
        rest = rest.strip_prefix(b"\r\n").unwrap();
        let head = find(rest, b"\r\n\r\n").unwrap();
        let text = std::str::from_utf8(&rest[..head]).unwrap();
        rest = &rest[head + 4..];
        let end = find(rest, format!("\r\n{delimiter}").as_bytes()).unwrap();
        let mut field = Field {
            name: String::new(),
            file: None,
            media: None,
            bytes: rest[..end].to_vec(),
        };
        for line in text.split("\r\n") {
            let (header, value) = line.split_once(": ").unwrap();
            match header {
                "Content-Type" => field.media = Some(value.to_owned()),
                "Content-Disposition" => {
                    for part in value.strip_prefix("form-data; ").unwrap().split("; ") {
                        let (key, quoted) = part.split_once('=').unwrap();
                        let text = quoted.trim_matches('"').to_owned();
                        match key {
                            "name" => field.name = text,
                            "filename" => field.file = Some(text),
                            other => panic!("{other}"),
                        }
                    }
                }
                other => panic!("{other}"),
            }
        }
        out.push(field);
        rest = &rest[end + 2 + delimiter.len()..];
    }
}

/// An answer of JSON.
pub(super) fn answer(status: u16, document: &Value) -> Reply {
    Reply {
        status,
        ..Reply::ok(document.to_string())
    }
    .with("Content-Type", "application/json")
}

/// The path of a target and its query, decoded.
pub(super) fn target(asked: &Asked) -> (String, BTreeMap<String, String>) {
    let url = url::Url::parse(&format!("http://x{}", asked.target)).unwrap();
    let query = url.query_pairs().into_owned().collect();
    (url.path().to_owned(), query)
}

/// Whether what stands in a note is the packet's digest, and nothing of its page can be markup.
pub(super) fn is_note(desk: &Desk, text: &str) {
    let digest = Digest::of(&desk.read("packet/manifest.json")).to_string();
    for word in [
        digest.as_str(),
        "demo 7",
        "OK: every check passed",
        "Look: admin color:red bx/b",
    ] {
        assert!(text.contains(word), "{word} not in {text}");
    }
    assert!(!text.contains("[~") && !text.contains("<b>"), "{text}");
}

/// What happens to the next calls that add something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It is done, and the connection breaks before the answer.
    LostAnswer,
    /// The connection breaks before anything is done.
    LostCall,
    /// This status, and nothing is done.
    Status(u16),
}
