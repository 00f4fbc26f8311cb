//! `stage transfer-record`: what a scanner says is taken for what it is, by a scanner whose words the test decides. The real
//! one is in `scripts/clamav-check`.

use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::approvals::{openssl_verifies, payload};
use crate::closures::{Made, Only};
use crate::desk::{Desk, Ran, ran};
use crate::schemas::assert_valid;
use crate::world::World;

/// What people say.
const TOLD: [&str; 14] = [
    "--medium",
    "DVD-R",
    "--medium-serial",
    "0042",
    "--label",
    "UNCLASSIFIED <b>&",
    "--from",
    "build net",
    "--to",
    "enclave | x",
    "--operator",
    "Erin Vale",
    "--witness",
    "Sam Ode",
];

/// A scanner that says "OK" of each file, unless this shell says otherwise of `$file` whose bytes are in `$text`.
fn scanner(extra: &str, end: &str) -> String {
    format!(
        "#!/bin/sh\n\
        [ \"$1\" != --version ] || {{ echo 'ClamAV 1.4.6'; exit; }}\n\
        list=; for word; do last=$now; now=$word; [ \"$last\" != --file-list ] || list=$word\n\
        [ \"$last\" != --database ] || [ -d \"$word\" ] || {{ echo 'ERROR: no definitions'; exit 2; }}; done\n\
        code=0\n\
        while read -r file; do\n\
        text=$(head -c 300 \"$file\" | tr -d '\\000')\n\
        {extra}\n\
        echo \"$file: OK\"\n\
        done < \"$list\"\n\
        {end}\n\
        exit $code\n"
    )
}

/// In a file that begins so, it finds this.
fn says(text: &str, said: &str) -> String {
    let code = if said.ends_with("FOUND") {
        "code=1; "
    } else {
        ""
    };
    format!("case \"$text\" in \"{text}\"*) {code}echo \"$file: {said}\"; continue;; esac")
}

/// A desk with a plain bundle, a scanner and its definitions.
struct Media {
    desk: Desk,
}

impl Media {
    fn new() -> Self {
        let media = Self { desk: Desk::new() };
        let desk = &media.desk;
        desk.key("k");
        desk.stage("trust init --key k.pem -o root.json").ok();
        desk.write("docs/readme.txt", "readme\n");
        desk.write("docs/other.txt", "other\n");
        desk.write("docs/empty.txt", "");
        desk.stage("bundle --plain docs --channel docs --key k.pem -o x.stage")
            .ok();
        desk.write("db/own.ndb", "Own:0:*:00\n");
        desk.write("tmp/.keep", "");
        media.scanner(&scanner("", ""));
        media
    }

    fn scanner(&self, text: &str) {
        self.program("clamscan", text);
    }

    fn program(&self, name: &str, text: &str) {
        let name = format!("bin/{name}");
        self.desk.write(&name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.desk.path(&name), mode).unwrap();
    }

    fn command(&self, words: &str, told: &[&str]) -> Command {
        let bin = self.desk.path("bin");
        let mut command = self.desk.command(
            env!("CARGO_BIN_EXE_stage"),
            &format!("transfer-record {words} --trust root.json"),
        );
        command.args(told);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command.env("TMPDIR", self.desk.path("tmp"));
        command
    }

    fn run(&self, words: &str) -> Ran {
        let told: &[&str] = if words.contains("-o ") { &TOLD } else { &[] };
        let ran = ran(self.command(words, told));
        assert!(self.scratch().is_empty(), "something is left");
        ran
    }

    fn scan(&self, words: &str) -> Ran {
        self.run(&format!(
            "x.stage --scan clamav --database db -o rec {words}"
        ))
    }

    /// What is in the folder for temporary files.
    fn scratch(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.desk.path("tmp")).unwrap();
        let all = all.map(|entry| entry.unwrap().path());
        all.filter(|path| !path.ends_with(".keep")).collect()
    }

    fn record(&self, folder: &str) -> Value {
        let bytes = self.desk.read(&format!("{folder}/record.json"));
        let record = serde_json::from_slice(&bytes).unwrap();
        assert_valid("transfer-record.json", &record);
        record
    }

    fn has_record(&self) -> bool {
        self.desk.path("rec").exists()
    }
}

#[test]
fn a_clean_medium_has_a_record_that_is_signed_and_checked_on_the_other_side() {
    let media = Media::new();
    let desk = &media.desk;
    let report = media.scan("--key k.pem --format json").ok().json();
    assert_valid("transfer-record-report.json", &report);
    assert_eq!(report["result"], "clean");
    let record = media.record("rec");
    let bytes = desk.read("x.stage");
    assert_eq!(record["files"][0]["digest"], Digest::of(&bytes).to_string());
    assert_eq!(record["files"][0]["size"], bytes.len());
    let beside = desk.read("x.stage.approvals.json");
    assert_eq!(
        record["files"][1]["digest"],
        Digest::of(&beside).to_string()
    );
    assert_eq!(record["blobs"].as_array().unwrap().len(), 3);
    assert_eq!(record["scanner"]["limits"]["max-recursion"], "20");
    assert_eq!(record["persons"]["witness"], "Sam Ode");
    assert_eq!(record["result"], "clean");
    assert_eq!(record["findings"], json!([]));

    // The pages say the same and obey nobody.
    let page = String::from_utf8(desk.read("rec/record.html")).unwrap();
    for shown in [
        "UNCLASSIFIED &lt;b&gt;&amp;",
        "0042",
        "Erin Vale",
        "readme.txt",
        "default-src 'none'",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("<b>") && !page.contains("<script"));
    let twin = String::from_utf8(desk.read("rec/record.md")).unwrap();
    assert!(twin.contains("enclave \\| x"));

    // Signed over all of them.
    let envelope: Value = serde_json::from_slice(&desk.read("rec/record.json.dsse")).unwrap();
    let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
    for (at, name) in ["record.json", "record.html", "record.md"]
        .iter()
        .enumerate()
    {
        let subject = &statement["subject"][at];
        let digest = Digest::of(&desk.read(&format!("rec/{name}"))).hex();
        assert_eq!(
            (&subject["name"], &subject["digest"]["sha256"]),
            (&json!(name), &json!(digest))
        );
    }
    openssl_verifies(desk, &envelope, "k").ok();

    let checked = media.run("x.stage --check rec --format json").ok().json();
    assert_valid("transfer-record-report.json", &checked);
    assert_eq!(
        (&checked["action"], &checked["signed_by"]),
        (&json!("checked"), &json!("owner"))
    );
    media
        .run("x.stage --check rec")
        .ok()
        .says(&["By Erin Vale, watched by Sam Ode", "Signed by owner"]);
    // Nothing is overwritten.
    media.scan("").refused(2, "is there already");
}

#[test]
fn what_was_found_is_named_and_there_is_no_record() {
    let media = Media::new();
    media.scanner(&scanner(&says("readme", "Some.Virus FOUND"), ""));
    let denied = media.scan("").refused(4, "transfer-found");
    assert!(
        denied.stderr.contains("readme.txt") && denied.stderr.contains("Some.Virus"),
        "{}",
        denied.stderr
    );
    assert!(!denied.stderr.contains("other.txt") && !media.has_record());
    media.scan("--keep-refused evidence").refused(4, "");
    assert!(!media.has_record());
    let kept: Value = serde_json::from_slice(&media.desk.read("evidence/REFUSED.json")).unwrap();
    assert_valid("transfer-record.json", &kept);
    assert_eq!(
        (&kept["schema"], &kept["result"]),
        (&json!("stage/transfer-refused/v1"), &json!("found"))
    );
    assert!(!media.desk.path("evidence/record.json").exists());
    // Under the name of a record it is none.
    media
        .desk
        .copy("evidence/REFUSED.json", "evidence/record.json");
    media
        .run("x.stage --check evidence")
        .refused(4, "transfer-record-format");
}

#[test]
fn the_member_of_the_wheel_is_named() {
    let media = Media::new();
    let world = World::new("transfer-wheel");
    let wheel = |text: &str| {
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in [("demo/good.py", "1"), ("demo/\u{1b}[31mevil.py", text)] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let bundle = |bytes: Vec<u8>, serial: u64| {
        let only = Only {
            name: "demo",
            version: "1.0",
            bytes,
        };
        let made = Made::wheels(&[only]);
        let path = world.bundle_of(&made.content(), "demo", serial);
        media
            .desk
            .write(&format!("{serial}.stage"), std::fs::read(path).unwrap());
    };
    bundle(wheel("evil words"), 1);
    bundle(wheel("good words"), 2);
    media
        .desk
        .write("root.json", std::fs::read(world.path("root.json")).unwrap());
    let inside = "if grep -q 'evil words' \"$file\"; then code=1; echo \"$file: Bad.One FOUND\"; continue; fi";
    media.scanner(&scanner(inside, ""));
    let words = "--scan clamav --database db -o rec";
    let refused = media
        .run(&format!("1.stage {words}"))
        .refused(4, "transfer-found");
    let found = "pypi demo@1.0: demo-1.0-py3-none-any.whl";
    assert!(refused.stderr.contains(found), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("Bad.One in") && refused.stderr.contains("evil.py"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("good.py") && !refused.stderr.contains('\u{1b}'));
    media.run(&format!("2.stage {words}")).ok();
    assert!(media.record("rec")["blobs"].to_string().contains(found));
}

#[test]
fn what_was_not_looked_at_whole_is_shown_and_not_called_clean() {
    let media = Media::new();
    for (said, result) in [
        ("Heuristics.Limits.Exceeded.MaxScanSize FOUND", "limit"),
        ("Heuristics.Encrypted.Zip FOUND", "encrypted"),
        ("Empty file", "unreadable"),
    ] {
        media.scanner(&scanner(&says("other", said), ""));
        media
            .scan("--key k.pem")
            .ok()
            .says(&["transfer-incomplete", "other.txt", result]);
        let record = media.record("rec");
        assert_eq!(record["result"], result);
        let blobs = record["blobs"].as_array().unwrap().iter();
        let of = |name: &str| {
            blobs.clone().find(|blob| blob["names"][0] == name).unwrap()["scan"]["result"].clone()
        };
        assert_eq!(
            (of("other.txt"), of("readme.txt")),
            (json!(result), json!("clean"))
        );
        assert_eq!(record["findings"][0]["subject"], "other.txt");
        let page = String::from_utf8(media.desk.read("rec/record.html")).unwrap();
        assert!(
            page.contains("1 of 5 files were not looked at whole"),
            "{page}"
        );
        media
            .run("x.stage --check rec")
            .ok()
            .says(&["transfer-incomplete"]);
        media
            .run("x.stage --check rec --require-whole")
            .refused(3, "transfer-incomplete");
        std::fs::remove_dir_all(media.desk.path("rec")).unwrap();
        media.scan("--require-whole").refused(3, "other.txt");
        assert!(!media.has_record());
    }
    // A find counts more than a limit.
    let both = format!(
        "{}\n{}",
        says("other", "Heuristics.Limits.Exceeded.MaxFiles FOUND"),
        says("readme", "Worm FOUND")
    );
    media.scanner(&scanner(&both, ""));
    media.scan("").refused(4, "Worm");
}

/// A zip file of one member; `size` is what its list of members says of it.
fn zipped(name: &str, text: &str, size: u32) -> Vec<u8> {
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, stored).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    let list = bytes
        .windows(4)
        .rposition(|four| four == b"PK\x01\x02")
        .unwrap();
    bytes[list + 24..list + 28].copy_from_slice(&size.to_le_bytes());
    bytes
}

#[test]
fn what_the_scanner_does_not_open_is_unpacked_for_it() {
    let media = Media::new();
    let desk = &media.desk;
    let world = World::new("transfer-closed");
    desk.write("root.json", std::fs::read(world.path("root.json")).unwrap());
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let broken = packed(&"long text that is not the same ".repeat(900));
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(10);
    header.set_cksum();
    tar.append_data(&mut header, "in/evil.txt", &b"evil words"[..])
        .unwrap();
    let tar = zstd::encode_all(tar.into_inner().unwrap().as_slice(), 3).unwrap();
    let deb = [b"!<arch>\n".as_slice(), b"not a member"].concat();
    let bundle = |serial: u64, files: &[(&str, &[u8])]| {
        let path = world.plain("closed", serial, files);
        desk.write(&format!("{serial}.stage"), std::fs::read(path).unwrap());
    };
    let evil = packed("evil words");
    bundle(1, &[("a.zst", &evil), ("b.tar.zst", &tar)]);
    let fine = packed("good words");
    bundle(
        2,
        &[
            ("fine.zst", &fine),
            ("broken.zst", &broken[..broken.len() - 9]),
            ("x.deb", &deb),
        ],
    );
    let large = zipped("huge.bin", "x", 2_100_000_000);
    let small = zipped("small.bin", "x", 1);
    bundle(
        3,
        &[
            ("large.whl", &large),
            ("small.whl", &small),
            ("cut.whl", &small[..60]),
        ],
    );

    media.scanner(&scanner(&says("evil", "Worm FOUND"), ""));
    let words = "--scan clamav --database db -o rec";
    let refused = media
        .run(&format!("1.stage {words}"))
        .refused(4, "transfer-found");
    assert!(
        refused.stderr.contains("what it unpacks to") && refused.stderr.contains("in/evil.txt"),
        "{}",
        refused.stderr
    );
    for (bundle, expected) in [
        (
            "2.stage",
            [
                ("fine.zst", "clean"),
                ("broken.zst", "unreadable"),
                ("x.deb", "unreadable"),
            ],
        ),
        (
            "3.stage",
            [
                ("small.whl", "clean"),
                ("large.whl", "limit"),
                ("cut.whl", "unreadable"),
            ],
        ),
    ] {
        media.run(&format!("{bundle} {words}")).ok();
        let record = media.record("rec");
        let blobs = record["blobs"].as_array().unwrap();
        for (name, result) in expected {
            let blob = blobs.iter().find(|blob| blob["names"][0] == name).unwrap();
            assert_eq!(blob["scan"]["result"], result, "{name}: {blob}");
        }
        std::fs::remove_dir_all(desk.path("rec")).unwrap();
    }
}

#[test]
fn a_scanner_that_does_not_do_its_work_has_done_nothing() {
    let media = Media::new();
    for (text, word) in [
        (
            "#!/bin/sh\necho nothing at all\n".to_owned(),
            "asked for its version",
        ),
        (scanner(&says("readme", "was skipped"), ""), "was skipped"),
        (
            scanner("[ \"$text\" != readme ] || continue", ""),
            "said nothing of 1 files",
        ),
        (scanner("", "echo '/etc/passwd: OK'"), "/etc/passwd"),
        (scanner("", "code=1"), "exit code 1"),
        (scanner("", "code=2; echo disk full >&2"), "disk full"),
        (scanner("", "kill -9 $$"), "killed"),
        (
            scanner(&says("readme", "Worm FOUND"), "code=0"),
            "exit code 0",
        ),
        (scanner("", "printf '\\033[31m: OK\\n'"), "\\u{1b}[31m"),
    ] {
        media.scanner(&text);
        media.scan("").refused(1, word);
        assert!(!media.has_record(), "{text}");
    }
    std::fs::remove_file(media.desk.path("bin/clamscan")).unwrap();
    let mut absent = media.command("x.stage --scan clamav --database db -o rec", &TOLD);
    absent.env("PATH", "/nowhere:/bin");
    if !PathBuf::from("/bin/clamscan").exists() {
        ran(absent).refused(1, "clamscan");
    }
    media.scanner(&scanner("", ""));
    std::fs::create_dir(media.desk.path("none")).unwrap();
    media
        .run("x.stage --scan clamav --database none -o rec")
        .refused(2, "no definitions");
}

#[test]
fn old_definitions_and_one_person_are_refused() {
    let media = Media::new();
    let touch = |words: &str| ran(media.desk.command("touch", words)).ok();
    touch("-d 2026-01-01 db/own.ndb");
    media.scan("").refused(3, "transfer-definitions-old");
    media.scan("--max-definitions-age 36500d").ok();
    std::fs::remove_dir_all(media.desk.path("rec")).unwrap();
    // What a file says of itself counts, and not when it was copied here.
    media.desk.write(
        "db/daily.cvd",
        "ClamAV-VDB:x:27500:1:90:x:y:builder:1600000000".to_owned() + &" ".repeat(460),
    );
    media.scan("").refused(3, "2020-09-13");
    assert!(!media.has_record());

    let mut told = TOLD;
    told[13] = "erin  VALE";
    let words = "x.stage --scan clamav --database db --max-definitions-age 36500d -o rec";
    ran(media.command(words, &told)).refused(2, "same person");
    for hidden in ["Sam\u{202e}Ode", "Sam\nOde", " "] {
        told[13] = hidden;
        ran(media.command(words, &told)).refused(2, "one line");
    }
    assert!(!media.has_record());
}

#[test]
fn nothing_is_scanned_of_a_bundle_that_cannot_be_trusted() {
    let media = Media::new();
    media.scanner(&scanner("", "touch /tmp/stage-transfer-never"));
    let mut bytes = media.desk.read("x.stage");
    let at = bytes.len() - 1500;
    bytes[at] ^= 1;
    media.desk.write("bad.stage", bytes);
    let words = "--scan clamav --database db -o rec";
    media.run(&format!("bad.stage {words}")).refused(4, "");
    media.run(&format!("docs {words}")).refused(2, "not a file");
    media.run(&format!("nowhere.stage {words}")).refused(2, "");
    assert!(!media.has_record());
}

#[test]
fn volumes_are_recorded_each_and_checked_each() {
    let media = Media::new();
    let desk = &media.desk;
    ran(desk.command("split", "-b 9000 -d x.stage x.stage.")).ok();
    let volumes = [
        "x.stage.00",
        "x.stage.01",
        "x.stage.02",
        "x.stage.03",
        "x.stage.04",
    ];
    let there: Vec<&str> = volumes
        .into_iter()
        .filter(|name| desk.path(name).exists())
        .collect();
    assert!(there.len() > 2, "{there:?}");
    let all = there.join(" ");
    media
        .run(&format!("{all} --scan clamav --database db -o rec"))
        .ok();
    let record = media.record("rec");
    for (at, name) in there.iter().enumerate() {
        let file = &record["files"][at];
        assert_eq!(
            (&file["name"], &file["kind"]),
            (&json!(name), &json!("volume"))
        );
        assert_eq!(file["digest"], Digest::of(&desk.read(name)).to_string());
    }
    media.run(&format!("{all} --check rec")).ok();
    media
        .run("x.stage --check rec")
        .refused(4, "transfer-record-differs");
    // Whatever the files are called, what is said of them is told apart, or they are not scanned.
    desk.copy("x.stage", "it: OK/x: OK");
    let mut odd = media.command("--scan clamav --database db -o odd", &TOLD);
    ran({
        odd.arg("it: OK/x: OK");
        odd
    })
    .ok();
    assert_eq!(media.record("odd")["files"][0]["name"], "x: OK");
    desk.copy("x.stage", "x\n.stage");
    let mut odd = media.command("--scan clamav --database db -o odder", &TOLD);
    ran({
        odd.arg("x\n.stage");
        odd
    })
    .refused(2, "cannot be handed");
    // In another order they are no bundle, and one too few are none.
    let back: Vec<&str> = there.iter().rev().copied().collect();
    media
        .run(&format!("{} --check rec", back.join(" ")))
        .refused(4, "");
    media
        .run(&format!("{} --check rec", there[..2].join(" ")))
        .refused(4, "");
}

#[test]
fn a_record_that_was_changed_or_is_of_another_medium_is_refused() {
    let media = Media::new();
    let desk = &media.desk;
    media.scan("--key k.pem").ok();
    let of = |name: &str| String::from_utf8(desk.read(&format!("rec/{name}"))).unwrap();
    let copy = |to: &str| {
        for name in [
            "record.json",
            "record.html",
            "record.md",
            "record.json.dsse",
        ] {
            desk.copy(&format!("rec/{name}"), &format!("{to}/{name}"));
        }
    };
    // Each of the files is signed.
    for (name, from, to) in [
        ("record.json", "Sam Ode", "Eve Ode"),
        ("record.html", "Sam Ode", "Eve Ode"),
        ("record.md", "DVD-R", "CD-ROM"),
    ] {
        copy("changed");
        desk.write(&format!("changed/{name}"), of(name).replace(from, to));
        media
            .run("x.stage --check changed")
            .refused(4, "transfer-record-differs");
    }
    // Without a signature, what it says must still be so.
    copy("unsigned");
    std::fs::remove_file(desk.path("unsigned/record.json.dsse")).unwrap();
    media
        .run("x.stage --check unsigned")
        .ok()
        .says(&["Not signed"]);
    let digest = Digest::of(&desk.read("x.stage")).to_string();
    for (from, to) in [
        (digest.as_str(), Digest::of(b"other").to_string().as_str()),
        ("\"witness\":\"Sam Ode\"", "\"witness\":\"ERIN VALE\""),
        ("\"result\":\"clean\"", "\"result\":\"found\""),
        ("\"tool\"", "\"zool\""),
    ] {
        let changed = of("record.json").replace(from, to);
        assert_ne!(changed, of("record.json"), "{from}");
        desk.write("unsigned/record.json", changed);
        let refused = media.run("x.stage --check unsigned");
        assert!([2, 4].contains(&refused.code), "{from}: {}", refused.stderr);
    }
    // A file beside the bundle that nobody scanned, or that is gone.
    let approvals = desk.read("x.stage.approvals.json");
    std::fs::remove_file(desk.path("x.stage.approvals.json")).unwrap();
    media
        .run("x.stage --check rec")
        .refused(4, "transfer-record-differs");
    desk.write("x.stage.approvals.json", approvals);
    // Another bundle, and a key that the root does not know.
    desk.write("docs/more.txt", "more");
    desk.stage("bundle --plain docs --channel docs --key k.pem -o y.stage")
        .ok();
    media
        .run("y.stage --check rec")
        .refused(4, "another bundle");
    desk.key("stranger");
    media
        .run("x.stage --scan clamav --database db -o foreign --key stranger.pem")
        .ok()
        .says(&["does not know"]);
    media
        .run("x.stage --check foreign")
        .refused(4, "transfer-record-signature");
    media
        .run("x.stage --check nowhere")
        .refused(2, "no record.json");
}

#[test]
fn where_the_root_names_transfer_keys_only_they_count() {
    let media = Media::new();
    let desk = &media.desk;
    desk.key("dta");
    desk.stage("trust add root.json --key dta.pub=dana --role transfer -o next.json")
        .ok();
    desk.stage("trust sign next.json --key k.pem").ok();
    desk.copy("next.json", "root.json");
    media
        .scan("--key k.pem")
        .refused(2, "does not have the role transfer");
    media.scan("").ok();
    media
        .run("x.stage --check rec")
        .refused(4, "transfer-record-signature");
    std::fs::remove_dir_all(desk.path("rec")).unwrap();
    media.scan("--key dta.pem").ok().says(&["Signed by dana"]);
    media
        .run("x.stage --check rec")
        .ok()
        .says(&["Signed by dana"]);
}

#[test]
fn another_scanner_is_believed_what_it_says_of_every_file() {
    let media = Media::new();
    let desk = &media.desk;
    media.run("x.stage --unpack out/blobs").ok();
    let mut files: Vec<Value> = std::fs::read_dir(desk.path("out/blobs"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(Digest::of(&std::fs::read(&path).unwrap()).hex(), name);
            json!({"path": format!("C:\\scan\\{name}"), "result": "clean"})
        })
        .collect();
    assert_eq!(files.len(), 3);
    let now = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    let now = String::from_utf8(now.stdout).unwrap().trim().to_owned();
    let report = |files: &[Value], limits: Value| {
        let report = json!({"schema": "stage/scan-report/v1", "started": "2026-01-01T00:00:00Z", "ended": now, "files": files,
            "scanner": {"name": "uvscan", "version": "7.0", "definitions": {"version": "10801", "date": now}, "limits": limits}});
        assert_valid("scan-report.json", &report);
        desk.write("report.json", report.to_string());
    };
    let scan = || media.run("x.stage --scan-report report.json -o rec");
    report(&files, json!({}));
    // The files of the medium are not in it.
    scan().refused(2, "x.stage.approvals.json");
    files.push(json!({"path": "E:\\x.stage", "result": "clean"}));
    files.push(json!({"path": "x.stage.approvals.json", "result": "clean"}));
    report(&files, json!({}));
    scan().ok().says(&["transfer-limits-not-told"]);
    let record = media.record("rec");
    assert_eq!(
        (&record["scanner"]["name"], &record["result"]),
        (&json!("uvscan"), &json!("clean"))
    );
    std::fs::remove_dir_all(desk.path("rec")).unwrap();
    report(&files, json!({"archive depth": "20"}));
    let said = scan().ok();
    assert!(!said.stderr.contains("limits"), "{}", said.stderr);
    std::fs::remove_dir_all(desk.path("rec")).unwrap();
    let missing = files.remove(0);
    report(&files, json!({}));
    scan().refused(
        2,
        missing["path"]
            .as_str()
            .unwrap()
            .rsplit('\\')
            .next()
            .unwrap(),
    );
    files.push(json!({"path": missing["path"], "result": "found", "detail": "Worm \u{1b}"}));
    report(&files, json!({}));
    let refused = scan().refused(4, "Worm");
    assert!(!refused.stderr.contains('\u{1b}'));
    files.push(files[0].clone());
    report(&files, json!({}));
    scan().refused(2, "two things");
    files.pop();
    report(&files, json!({}));
    let text = String::from_utf8(desk.read("report.json")).unwrap();
    desk.write("report.json", text.replace(&now, "2098-01-01T00:00:00Z"));
    scan().refused(2, "in the future");
    desk.write("report.json", "path,result\n");
    scan().refused(2, "transfer-report");
    assert!(!media.has_record());
}

/// Starts a scan that does not end, and waits until it runs.
fn started(media: &Media) -> (Child, PathBuf) {
    media.scanner(&scanner("", "touch running; sleep 600"));
    let words = "x.stage --scan clamav --database db -o rec";
    let mut command = media.command(words, &TOLD);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Scanning")));
    let folder = media.scratch().pop().unwrap();
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    wait(|| folder.join("running").exists());
    (child, folder)
}

#[track_caller]
fn wait(until: impl Fn() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process works in the folder.
fn works_in(folder: &PathBuf) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let folders = all.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    folders.into_iter().any(|cwd| cwd.starts_with(folder))
}

#[test]
fn an_interrupt_and_a_kill_leave_nothing() {
    let media = Media::new();
    for (signal, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(130)),
        (Signal::HUP, None),
        (Signal::KILL, None),
    ] {
        let (mut child, folder) = started(&media);
        assert!(works_in(&folder));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code, "{signal:?}");
        wait(|| !folder.exists() && !works_in(&folder));
        assert!(!media.has_record());
    }
}
