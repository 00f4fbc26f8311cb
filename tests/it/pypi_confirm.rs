//! An index that lies about what a wheel needs while it is resolved, and sends the true wheel when it is fetched.

use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::loopback::{Asked, Reply, Server};
use crate::packages::Folder;

const WHEEL: &str = "aa-1.0-py3-none-any.whl";
const TRUE: &str =
    "Metadata-Version: 2.1\nName: aa\nVersion: 1.0\nRequires-Dist: careful\nSummary: x\n";
const LIE: &str =
    "Metadata-Version: 2.1\nName: aa\nVersion: 1.0\nSummary: this needs nothing......\n";

fn wheel(metadata: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    // More than the part that is asked for first.
    let filling = "x".repeat(100_000);
    for (path, text) in [
        ("aa.py", filling.as_str()),
        ("aa-1.0.dist-info/METADATA", metadata),
    ] {
        zip.start_file(path, stored).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// How the index tells what a wheel needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Ranges,
    File,
}

/// The last bytes of `file`, as asked for.
fn part(asked: &Asked, file: &[u8]) -> Option<Reply> {
    let length = asked.header("range")?.strip_prefix("bytes=-")?;
    let first = file.len() - length.parse::<usize>().unwrap();
    let reply = Reply {
        status: 206,
        ..Reply::ok(file[first..].to_vec())
    };
    let (last, total) = (file.len() - 1, file.len());
    Some(reply.with("Content-Range", format!("bytes {first}-{last}/{total}")))
}

struct Site {
    folder: Folder,
    lies: Arc<AtomicBool>,
    server: Server,
}

impl Site {
    fn new(name: &str, way: Way) -> Self {
        let lies = Arc::new(AtomicBool::new(true));
        let lying = lies.clone();
        let server = Server::new(move |asked| {
            let said = if lying.load(Ordering::SeqCst) {
                LIE
            } else {
                TRUE
            };
            let honest = wheel(TRUE);
            match asked.target.trim_start_matches('/') {
                "simple/aa/" => {
                    let mut file = json!({"filename": WHEEL, "url": format!("/files/{WHEEL}"),
                        "hashes": {"sha256": Digest::of(&honest).hex()}, "size": honest.len()});
                    if way == Way::File {
                        let sum = Digest::of(said.as_bytes()).hex();
                        file["core-metadata"] = json!({"sha256": sum});
                    }
                    let page =
                        json!({"meta": {"api-version": "1.1"}, "name": "aa", "files": [file]});
                    Reply::ok(page.to_string())
                        .with("Content-Type", "application/vnd.pypi.simple.v1+json")
                }
                "simple/careful/" => Reply::ok(
                    json!({"meta": {"api-version": "1.1"}, "name": "careful", "files": []})
                        .to_string(),
                )
                .with("Content-Type", "application/vnd.pypi.simple.v1+json"),
                target if target == format!("files/{WHEEL}.metadata") => Reply::ok(said),
                target if target == format!("files/{WHEEL}") => {
                    part(asked, &wheel(said)).unwrap_or_else(|| Reply::ok(honest))
                }
                _ => Reply::status(404),
            }
        });
        let folder = Folder::new(name);
        let manifest = format!(
            "[bundle]\nchannel = \"t\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\npython = \"3.11\"\n\
             [pypi]\nrequirements = [\"aa\"]\nindex = \"{}simple/\"\n",
            server.url()
        );
        std::fs::write(folder.join("stage.toml"), manifest).unwrap();
        Self {
            folder,
            lies,
            server,
        }
    }

    fn stage(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stage"))
            .args(arguments)
            .args(["--format", "json", "--cache", "cache"])
            .current_dir(&self.folder.0)
            .env_clear()
            .env("HOME", &self.folder.0)
            .env("STAGE_PASSPHRASE", "x")
            .output()
            .unwrap()
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_wheel_that_needs_other_things_than_its_index_said_is_refused() {
    for (name, way) in [("confirm-ranges", Way::Ranges), ("confirm-file", Way::File)] {
        assert_eq!(LIE.len(), TRUE.len(), "so that the sizes do not tell");
        let site = Site::new(name, way);
        let resolved = site.stage(&["resolve"]);
        assert_eq!(resolved.status.code(), Some(0), "{resolved:?}");
        let asked = site.server.asked();
        let parts = asked.iter().any(|a| a.header("range").is_some());
        assert_eq!(parts, way == Way::Ranges);

        // Whether the wheel comes now or was there already.
        for _ in 0..2 {
            let fetched = site.stage(&["fetch"]);
            assert_eq!(fetched.status.code(), Some(4), "{fetched:?}");
            let report = json(&fetched);
            let error = &report["errors"][0];
            assert_eq!(
                (&error["code"], &error["class"]),
                (&"pypi-metadata-mismatch".into(), &"E51".into()),
                "{report}"
            );
            assert_eq!(
                error["facts"]["difference"],
                "the wheel also requires \"careful\""
            );
            let message = error["message"].as_str().unwrap();
            assert!(
                message.starts_with(&format!(
                    "artifact `{WHEEL}` of pypi `aa@1.0` cannot be used"
                )),
                "{message}"
            );
            assert_eq!(report["failures"][0]["code"], "pypi-metadata-mismatch");
        }
        let explained = site.stage(&["explain", "pypi-metadata-mismatch"]);
        assert_eq!(explained.status.code(), Some(0), "{explained:?}");
    }
}

#[test]
fn no_bundle_is_made_of_a_lie_and_the_truth_goes_through() {
    let site = Site::new("confirm-bundle", Way::Ranges);
    let ok = |arguments: &[&str]| {
        let output = site.stage(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    ok(&["resolve"]);
    ok(&["key", "generate", "-o", "key.pem"]);
    ok(&["trust", "init", "--key", "key.pem", "-o", "root.json"]);
    let refused = site.stage(&["bundle", "--key", "key.pem", "-o", "b.stage"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert_eq!(
        json(&refused)["errors"][0]["code"],
        "pypi-metadata-mismatch"
    );
    for name in ["b.stage", "releases.toml"] {
        assert!(!site.folder.join(name).exists(), "{name}");
    }

    // The true metadata needs a project of which there is nothing: resolving is what says so.
    site.lies.store(false, Ordering::SeqCst);
    std::fs::remove_dir_all(site.folder.join("cache")).unwrap();
    let output = site.stage(&["resolve", "--upgrade"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(format!("{output:?}").contains("careful"), "{output:?}");
}
