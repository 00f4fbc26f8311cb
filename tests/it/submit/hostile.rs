//! Packets that somebody changed, and services that answer what they should not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::rt::{State, tracker};
use super::{answer, desk, files, manifest, receipt, states, submit, write_packet};
use crate::desk::Desk;
use crate::loopback::{Asked, Reply, Server};

fn rt(server: &Server) -> String {
    format!("packet --to rt --url {} --ticket 42", server.url())
}

fn zip(desk: &Desk, list: &[u8], files: &BTreeMap<String, Vec<u8>>) {
    let mut files = files.clone();
    files.insert("manifest.json".to_owned(), list.to_vec());
    desk.write("packet.zip", stage::packet::zip("packet", &files).unwrap());
}

fn listed(list: &Value) -> Vec<u8> {
    format!("{list}\n").into_bytes()
}

#[test]
fn nothing_is_sent_of_a_packet_that_was_changed() {
    let server = Server::new(|_: &Asked| Reply::status(500));
    let refused = |what: &str, code: &str, change: &dyn Fn(&Desk)| {
        let desk = desk();
        change(&desk);
        for words in [rt(&server), rt(&server).replace("packet ", "packet.zip ")] {
            let zip_only = words.contains("packet.zip");
            if zip_only && !what.contains("zip") {
                continue;
            }
            let ran = submit(&desk, &words);
            assert_eq!(ran.code, 4, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains(code), "{what}: {}", ran.stderr);
            assert!(!desk.path("packet.rt-42.receipt.json").exists(), "{what}");
        }
    };
    refused("other bytes", "packet-digest", &|desk| {
        let mut page = desk.read("packet/index.md");
        page[3] ^= 1;
        desk.write("packet/index.md", page);
    });
    refused("more bytes", "packet-format", &|desk| {
        let page = desk.read("packet/index.md");
        desk.write("packet/index.md", [page.as_slice(), b"x"].concat());
    });
    refused("a file too many", "packet-files", &|desk| {
        desk.write("packet/sbom/x.json", "{}");
    });
    refused("a file too few", "packet-files", &|desk| {
        std::fs::remove_file(desk.path("packet/controls.csv")).unwrap();
    });
    refused("no list", "packet-files", &|desk| {
        std::fs::remove_file(desk.path("packet/manifest.json")).unwrap();
    });
    refused("a link", "packet-files", &|desk| {
        desk.copy("packet/index.md", "elsewhere.md");
        std::fs::remove_file(desk.path("packet/index.md")).unwrap();
        std::os::unix::fs::symlink(desk.path("elsewhere.md"), desk.path("packet/index.md"))
            .unwrap();
    });
    refused("another packet beside it", "packet-format", &|desk| {
        let mut other = files();
        other.insert("more.csv".to_owned(), b"more".to_vec());
        write_packet(desk, "other", &other);
        desk.copy("other.zip", "packet.zip");
    });
    hostile_zips(&refused);
    assert!(server.asked().is_empty(), "nobody was asked");
}

/// Asserts that a packet is refused with this code after somebody changed it.
type Refused<'r> = dyn Fn(&str, &str, &dyn Fn(&Desk)) + 'r;

fn hostile_zips(refused: &Refused<'_>) {
    // Only the zip file is read in these.
    let alone = |desk: &Desk| std::fs::remove_dir_all(desk.path("packet")).unwrap();
    let with = |list: Value| move |desk: &Desk| zip(desk, &listed(&list), &files());
    let good = manifest(&files());
    let changed = |path: &str, value: Value| {
        let mut list = good.clone();
        *list.pointer_mut(path).unwrap() = value;
        list
    };
    let bad = [
        (
            "schema",
            changed("/schema", json!("stage/packet/v2")),
            "packet-format",
        ),
        (
            "channel",
            changed("/channel", json!("../x")),
            "packet-format",
        ),
        ("bundle", changed("/bundle", json!("none")), "packet-format"),
        (
            "path",
            changed("/files/0/path", json!("../../etc/passwd")),
            "packet-format",
        ),
        (
            "itself",
            changed("/files/0/path", json!("manifest.json")),
            "packet-format",
        ),
        (
            "size",
            changed("/files/0/size", json!(u64::MAX >> 12)),
            "packet-format",
        ),
        (
            "digest",
            changed("/files/0/sha256", json!("0".repeat(64))),
            "packet-digest",
        ),
        (
            "twice",
            changed("/files/1", good["files"][0].clone()),
            "packet-format",
        ),
    ];
    for (what, list, code) in bad {
        refused(&format!("{what} in the list of the zip"), code, &|desk| {
            with(list.clone())(desk);
            // The folder says the same, so that it is not what is refused.
            alone(desk);
            for (path, bytes) in files() {
                desk.write(&format!("packet/{path}"), bytes);
            }
            desk.write("packet/manifest.json", listed(&list));
        });
    }
    refused("spaces in the list of the zip", "packet-format", &|desk| {
        let spaced = serde_json::to_vec_pretty(&manifest(&files())).unwrap();
        desk.write("packet/manifest.json", &spaced);
        zip(desk, &spaced, &files());
    });
    refused("bytes after the zip", "packet-format", &|desk| {
        let bytes = desk.read("packet.zip");
        desk.write("packet.zip", [bytes.as_slice(), b"PK"].concat());
    });
    refused("a zip cut short", "packet-format", &|desk| {
        let bytes = desk.read("packet.zip");
        desk.write("packet.zip", &bytes[..bytes.len() / 2]);
    });
    refused(
        "a zip with a member outside its folder",
        "packet-files",
        &|desk| {
            let script = "import zipfile; z = zipfile.ZipFile('packet.zip', 'a'); z.writestr('x', 'x'); z.close()";
            desk.write("more.py", script);
            crate::desk::ran(desk.command("python3", "more.py")).ok();
        },
    );
}

#[test]
fn what_stage_ticket_writes_is_a_packet_and_nothing_else_of_it_is() {
    let desk = crate::packet::desk();
    desk.stage("ticket new.stage --trust root.json --previous old.stage --key k.pem -o out/packet")
        .ok();
    let words = "--to rt --url http://127.0.0.1:1 --ticket 42 --dry-run";
    let report = desk
        .stage(&format!("submit out/packet {words} --format json"))
        .ok()
        .json();
    assert_eq!(report["requests"].as_array().unwrap().len(), 6);
    desk.stage(&format!("submit out/packet.zip {words}")).ok();
    // Another signature beside the same list is another packet.
    let signature = desk.read("out/packet/manifest.json.dsse");
    desk.write(
        "out/packet/manifest.json.dsse",
        [signature.as_slice(), b" "].concat(),
    );
    desk.stage(&format!("submit out/packet {words}"))
        .refused(4, "packet-format");
    desk.write("out/packet/manifest.json.dsse", signature);
    for path in [
        "network/squid.conf",
        "permissions/tmpfiles.conf",
        "evidence/x.json",
        "index.html",
    ] {
        let before = std::fs::read(desk.path(&format!("out/packet/{path}"))).ok();
        desk.write(&format!("out/packet/{path}"), "changed");
        desk.stage(&format!("submit out/packet {words}"))
            .refused(4, "packet-");
        match before {
            Some(before) => desk.write(&format!("out/packet/{path}"), before),
            None => std::fs::remove_file(desk.path(&format!("out/packet/{path}"))).unwrap(),
        }
    }
    desk.stage(&format!("submit out/packet {words}")).ok();

    // Its verdicts are in the note.
    super::write_secret(&desk, "token", super::TOKEN);
    let state = Arc::<Mutex<State>>::default();
    let server = tracker(&state, format!("token {}", super::TOKEN));
    submit(
        &desk,
        &rt(&server)
            .replace("packet ", "out/packet ")
            .replace(" --ticket", "rt --ticket"),
    )
    .ok();
    let state = state.lock().unwrap();
    let note = state.comments[0]["Content"].as_str().unwrap();
    for verdict in [
        "\nOK: every check of the bundle passed; signed by ",
        "\nLook: no vulnerability database was given\n",
    ] {
        assert!(note.contains(verdict), "{note}");
    }
}

#[test]
fn a_packet_that_is_not_there_is_wrong_use() {
    let desk = desk();
    let words = "nowhere --to rt --url http://127.0.0.1:1 --ticket 42";
    submit(&desk, words).refused(2, "nowhere");
    std::fs::remove_file(desk.path("packet.zip")).unwrap();
    submit(&desk, &words.replace("nowhere", "packet")).refused(2, "packet.zip");
}

/// What a service answers to the first question.
fn refuses(reply: impl Fn() -> Reply + Send + Sync + 'static, code: &str, words: &[&str]) {
    let desk = desk();
    let server = Server::new(move |_: &Asked| reply());
    submit(&desk, &rt(&server)).refused(1, code).says(words);
    assert_eq!(
        states(&receipt(&desk, "packet.rt-42.receipt.json")),
        ["waiting"; 3]
    );
    assert!(server.asked().iter().all(|asked| asked.method == "GET"));
}

#[test]
fn answers_are_not_trusted() {
    refuses(|| Reply::ok("<html>Sign in</html>"), "submit-answer", &[]);
    refuses(|| Reply::ok("[".repeat(100_000)), "submit-answer", &[]);
    refuses(
        || answer(200, &json!({"id": "4/../2"})),
        "submit-answer",
        &[],
    );
    refuses(|| answer(200, &json!({"id": {}})), "submit-answer", &[]);
    refuses(
        || Reply::ok(vec![b' '; 17 << 20]),
        "submit-failed",
        &["more than the allowed"],
    );
    let control = json!({"message": "a\u{1b}]0;x\u{7}b\u{202e}".repeat(50)});
    refuses(
        move || answer(403, &control),
        "submit-refused",
        &["may not do this", "\\u{1b}]0;x\\u{7}b\\u{202e}"],
    );
    refuses(|| Reply::status(451), "submit-refused", &["451"]);
    let elsewhere = Server::new(|_: &Asked| Reply::status(200));
    let to = format!("{}REST", elsewhere.url());
    let said = to.clone();
    let redirect = move || Reply::status(302).with("Location", said.clone());
    refuses(redirect, "submit-refused", &["it redirects", &to]);
    assert!(
        elsewhere.asked().is_empty(),
        "a token is for its own address"
    );
}

#[test]
fn the_receipt_of_something_else_stays() {
    let desk = desk();
    let server = Server::new(|_: &Asked| Reply::status(403));
    submit(&desk, &format!("{} --receipt r.json", rt(&server))).refused(1, "submit-refused");
    let before = desk.read("r.json");
    let other = format!(
        "{} --receipt r.json",
        rt(&server).replace("--ticket 42", "--ticket 43")
    );
    submit(&desk, &other).refused(2, "submit-receipt");
    assert_eq!(desk.read("r.json"), before);
    desk.write("note.txt", "not a receipt");
    let words = format!("{} --receipt note.txt", rt(&server));
    let asked = server.asked().len();
    submit(&desk, &words).refused(2, "submit-receipt");
    assert_eq!(
        (desk.read("note.txt"), server.asked().len()),
        (b"not a receipt".to_vec(), asked)
    );
    let nowhere = format!("{} --receipt no/such/r.json", rt(&server));
    submit(&desk, &nowhere).refused(1, "r.json");
    assert_eq!(
        server.asked().len(),
        asked,
        "what cannot be put down is not done"
    );
}
