//! Whatever comes from outside, nothing that moves the cursor, turns the direction of text or begins a line of its own
//! reaches a terminal. Every string of every kind of document is replaced by such text, one at a time.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stage::base::text::is_plain;
use stage::bundle::header::{self, BLOCK};
use stage::lock::format;

use crate::crates::Crate;
use crate::credentials::{self, Shelf, Site};
use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::debian_chain::{BOTH, debian};
use crate::fixture;
use crate::loopback::{Reply, Server};
use crate::wheels::Wheel;

/// ESC, BEL, right-to-left override, C1, zero width, line breaks, backspace, NUL.
const POISON: &str = "x\u{1b}]0;t\u{7}\u{1b}[31m\u{202e}\u{9b}2J\u{200b}\r\nFORGED\u{8}\u{0}";

/// The same without the zero byte, which no argument of a program has.
fn argument() -> String {
    POISON.replace('\0', "")
}

#[track_caller]
fn harmless(what: &str, output: &Output) {
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let bad = text.chars().find(|c| !is_plain(*c) && *c != '\n');
        assert_eq!(bad, None, "{what}, {name}: {text:?}");
        let forged = text
            .lines()
            .find(|line| line.trim_start().starts_with("FORGED"));
        assert_eq!(forged, None, "{what}, {name}: {text:?}");
    }
    let code = output.status.code();
    assert!(code.is_some_and(|code| code < 70), "{what}: {output:?}");
}

/// Each document that differs from `value` in one string or one key; the place is named.
fn poisoned(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    match value {
        Value::String(text) => {
            all.push((String::new(), POISON.into()));
            all.push((" (end)".to_owned(), format!("{text}{POISON}").into()));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                for (place, bad) in poisoned(item) {
                    let mut copy = items.clone();
                    copy[at] = bad;
                    all.push((format!("/{at}{place}"), copy.into()));
                }
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                for (place, bad) in poisoned(item) {
                    let mut copy = map.clone();
                    copy[key] = bad;
                    all.push((format!("/{key}{place}"), copy.into()));
                }
                let mut copy = map.clone();
                copy.remove(key);
                copy.insert(format!("{key}{POISON}"), item.clone());
                all.push((format!("/{key} (key)"), copy.into()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    all
}

/// As TOML; the format's version stands first, where readers look for it.
fn toml_of(value: &Value) -> String {
    let mut value = value.clone();
    let map = value.as_object_mut().unwrap();
    let version = map.get("version").filter(|v| v.is_u64()).cloned();
    let Some(version) = version else {
        return toml::to_string(&value).unwrap();
    };
    map.remove("version");
    format!("version = {version}\n{}", toml::to_string(&value).unwrap())
}

/// A folder to work in, whose registry shows whatever it holds at the time.
struct Bench {
    site: Site,
    server: Server,
    shelf: Arc<Mutex<Shelf>>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let shelf: Arc<Mutex<Shelf>> = Arc::default();
        let shown = Arc::clone(&shelf);
        Self {
            site: Site::new(name),
            server: Server::new(move |asked| credentials::serve(asked, &shown.lock().unwrap())),
            shelf,
        }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage"));
        command
            .args(words.split_whitespace())
            .current_dir(self.site.folder.join("project"))
            .env_clear()
            .env("HOME", self.site.folder.join("home"))
            .env("STAGE_CACHE", self.site.folder.join("cache"))
            .env("STAGE_ALLOW_ROOT", "1");
        command
    }

    /// Runs it and looks at what it says.
    #[track_caller]
    fn run(&self, what: &str, words: &str) -> Output {
        let output = self.command(words).arg("-vvv").output().unwrap();
        harmless(&format!("{words}, {what}"), &output);
        output
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.site.folder.join("project").join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.site.folder.join("project").join(name)).unwrap()
    }

    /// Resolves from nothing, and looks at what came of it.
    #[track_caller]
    fn walk(&self, what: &str) -> bool {
        for name in ["cache", "project/stage.records"] {
            std::fs::remove_dir_all(self.site.folder.join(name)).unwrap_or_default();
        }
        std::fs::remove_file(self.site.folder.join("project/stage.lock")).unwrap_or_default();
        if self.run(what, "resolve").status.code() != Some(0) {
            return false;
        }
        for words in [
            "fetch",
            "inspect stage.lock",
            "resolve --why aa",
            "inspect stage.lock --format purl",
        ] {
            self.run(what, words);
        }
        true
    }

    /// The same, of a package of an archive with these suites.
    fn walk_archive(&self, what: &str, suites: &[Suite]) -> bool {
        self.write("archive.asc", key(1).armored_certificate().unwrap());
        let archive = Archive::new(suites, &key(1));
        self.site.manifest(&format!(
            "[debian]\npackages = [\"aa\"]\n[[debian.source]]\nuri = \"{}\"\nsuites = [{BOTH}]\ncomponents = [\"main\"]\n\
             signed-by = \"archive.asc\"\n",
            archive.server.url()
        ));
        self.walk(what)
    }

    /// One document of the registry after the other is poisoned; the others stay.
    fn each(&self, at: usize, lines: bool) -> usize {
        let good = self.shelf.lock().unwrap()[at].1.clone();
        let value: Value = serde_json::from_slice(&good).unwrap();
        assert!(self.walk("good"));
        let all = poisoned(&value);
        for (place, bad) in &all {
            let end = if lines { "\n" } else { "" };
            self.shelf.lock().unwrap()[at].1 = format!("{bad}{end}").into_bytes();
            self.walk(place);
        }
        self.shelf.lock().unwrap()[at].1 = good;
        all.len()
    }
}

#[test]
fn packuments() {
    let bench = Bench::new("escapes-npm");
    let base = bench.server.url();
    bench.site.manifest(&format!(
        "[npm]\npackages = [\"aa@*\"]\nregistry = \"{base}npm/\"\n"
    ));
    let mut shelf = credentials::npm_package(&base, "npm/", "aa");
    let mut packument: Value = serde_json::from_slice(&shelf[0].1).unwrap();
    let version = &mut packument["versions"]["1.0.0"];
    version["deprecated"] = "use b".into();
    version["license"] = "MIT".into();
    version["engines"] = json!({"node": ">=99"});
    version["scripts"] = json!({"postinstall": "node x.js"});
    version["hasInstallScript"] = true.into();
    version["os"] = json!(["linux"]);
    version["optionalDependencies"] = json!({"gone": "^1"});
    version["peerDependencies"] = json!({"peer": "^1"});
    version["peerDependenciesMeta"] = json!({"peer": {"optional": true}});
    shelf[0].1 = packument.to_string().into_bytes();
    *bench.shelf.lock().unwrap() = shelf;
    assert!(bench.each(0, false) > 40);
}

#[test]
fn pages_and_metadata_of_python_packages() {
    let bench = Bench::new("escapes-pypi");
    let base = bench.server.url();
    bench.site.manifest(&format!(
        "[pypi]\nrequirements = [\"aa\"]\nindex = \"{base}pypi/simple/\"\n"
    ));
    let mut shelf = credentials::pypi(&format!("{base}files/"));
    let mut page: Value = serde_json::from_slice(&shelf[0].1).unwrap();
    page["files"][0]["requires-python"] = ">=3.8".into();
    let mut yanked = page["files"][0].clone();
    yanked["filename"] = "aa-2.0-py3-none-any.whl".into();
    yanked["yanked"] = "broken".into();
    page["files"].as_array_mut().unwrap().push(yanked);
    shelf[0].1 = page.to_string().into_bytes();
    shelf.extend(credentials::files("files/"));
    *bench.shelf.lock().unwrap() = shelf;
    assert!(bench.each(0, false) > 20);
    // Core metadata, whose digest the page states.
    for line in [
        format!("Name: {POISON}"),
        format!("License: {}", POISON.replace("\r\n", " ")),
        format!("License-Expression: {}", POISON.replace("\r\n", " ")),
        format!("Requires-Dist: {}", POISON.replace("\r\n", " ")),
        format!(
            "Requires-Dist: bb ; extra == '{}'",
            POISON.replace("\r\n", " ")
        ),
        format!("Requires-Python: {}", POISON.replace("\r\n", " ")),
        format!("Provides-Extra: {}", POISON.replace("\r\n", " ")),
        format!("Summary: {}", POISON.replace("\r\n", " ")),
    ] {
        let wheel = Wheel::new("aa", "1.0").header(&line);
        let file = wheel.file();
        let url = format!("{base}files/{file}");
        let entry = json!({"filename": file, "url": url, "hashes": {"sha256": sha256(&wheel.pack())},
            "core-metadata": {"sha256": sha256(wheel.metadata().as_bytes())}, "size": wheel.pack().len()});
        let page = json!({"meta": {"api-version": "1.1"}, "name": "aa", "versions": ["1.0"], "files": [entry]});
        *bench.shelf.lock().unwrap() = vec![
            ("pypi/simple/aa/".to_owned(), page.to_string().into_bytes()),
            (format!("files/{file}"), wheel.pack()),
            (
                format!("files/{file}.metadata"),
                wheel.metadata().into_bytes(),
            ),
        ];
        bench.walk(&line);
    }
}

fn sha256(bytes: &[u8]) -> String {
    stage::base::digest::Digest::of(bytes).hex()
}

#[test]
fn indexes_of_crates() {
    let bench = Bench::new("escapes-cargo");
    let base = bench.server.url();
    bench.site.manifest(&format!(
        "[cargo]\nlockfile = \"Cargo.lock\"\nindex = \"{base}index/\"\n"
    ));
    let one = Crate::new("aa", "1.0.0").needs("bb", "^1", "dev", None);
    let lock = format!("version = 4\n\n{}", one.locked(&[]));
    bench.write("Cargo.lock", &lock);
    let mut shelf = credentials::cargo(&base);
    shelf[0].1 = json!({"dl": format!("{base}dl/{{crate}}-{{version}}")})
        .to_string()
        .into_bytes();
    shelf[1].1 = one.line().into_bytes();
    shelf[2].1 = one.pack();
    *bench.shelf.lock().unwrap() = shelf;
    assert!(bench.each(0, false) > 2 && bench.each(1, true) > 10);
    // The lock file itself.
    let value: Value = toml::from_str(&lock).unwrap();
    for (place, bad) in poisoned(&value) {
        bench.write("Cargo.lock", toml_of(&bad));
        bench.walk(&place);
    }
}

#[test]
fn stanzas_of_debian_packages() {
    let bench = Bench::new("escapes-debian");
    let line = POISON.replace("\r\n", " ").replace('\0', "");
    for name in [
        "Section",
        "Depends",
        "Recommends",
        "Breaks",
        "Multi-Arch",
        "Essential",
        "Homepage",
        "Provides",
        "Phased-Update-Percentage",
        "Installed-Size",
        "Source",
    ] {
        let [main, security] = debian();
        let deb = Deb::new("aa", "1-1", "amd64").field(name, &line);
        bench.walk_archive(name, &[main.with("main", &[deb]), security]);
    }
}

#[test]
fn fields_of_signed_releases() {
    let bench = Bench::new("escapes-release");
    let line = POISON.replace("\r\n", " ").replace('\0', "");
    for name in [
        "Suite",
        "Codename",
        "Label",
        "Version",
        "Description",
        "Valid-Until",
        "Acquire-By-Hash",
        "No-Support-for-Architecture-all",
        "NotAutomatic",
        "ButAutomaticUpgrades",
        "Changelogs",
    ] {
        let [mut main, security] = debian();
        let others = main.fields.lines().filter(|field| !field.starts_with(name));
        let others: String = others.flat_map(|field| [field, "\n"]).collect();
        main.fields = format!("{others}{name}: {line}\n");
        let deb = Deb::new("aa", "1-1", "amd64");
        bench.walk_archive(name, &[main.with("main", &[deb]), security]);
    }
}

#[test]
fn what_servers_say() {
    let bench = Bench::new("escapes-server");
    let line = POISON.replace("\r\n", " ").replace('\0', "");
    for (status, headers) in [
        (301, vec![("Location", line.clone())]),
        (302, vec![("Location", format!("http://{line}/"))]),
        (302, vec![("Location", format!("/{line}?{line}#{line}"))]),
        (
            302,
            vec![("Location", format!("http://127.0.0.1:1/{line}"))],
        ),
        (400, vec![("Content-Type", line.clone())]),
        (401, vec![("WWW-Authenticate", line.clone())]),
        (404, Vec::new()),
        (
            429,
            vec![("Retry-After", "0".to_owned()), ("Warning", line.clone())],
        ),
    ] {
        let (answer, said) = (headers.clone(), line.clone());
        let server = Server::new(move |_| {
            let start = Reply {
                body: POISON.into(),
                reason: Some(said.clone()),
                ..Reply::status(status)
            };
            let mut answers = answer.iter();
            answers.by_ref().fold(start, |reply, (name, value)| {
                reply.with(name, value.clone())
            })
        });
        bench.site.manifest(&format!(
            "[npm]\npackages = [\"aa@*\"]\nregistry = \"{}\"\n",
            server.url()
        ));
        assert!(!bench.walk(&format!("{status} {headers:?}")));
    }
}

#[test]
fn locks_manifests_and_configurations() {
    let bench = Bench::new("escapes-files");
    bench
        .site
        .manifest("[npm]\npackages = [\"aa@1.0.0\"]\nregistry = \"http://127.0.0.1:1/\"\n");
    let lock = String::from_utf8(format::write(&fixture::lock())).unwrap();
    let good: Value = toml::from_str(&lock).unwrap();
    bench.write("good.lock", &lock);
    let mut read = 0;
    for (place, bad) in poisoned(&good) {
        bench.write("bad.lock", toml_of(&bad));
        for words in [
            "inspect bad.lock",
            "inspect bad.lock --format purl",
            "diff good.lock bad.lock",
            "diff bad.lock good.lock",
        ] {
            read += usize::from(bench.run(&place, words).status.success());
        }
    }
    assert!(read > 100, "some fields take any text: {read}");
    let manifest = String::from_utf8(bench.read("stage.toml")).unwrap();
    let value: Value = toml::from_str(&manifest).unwrap();
    for (place, bad) in poisoned(&value) {
        bench.write("stage.toml", toml_of(&bad));
        bench.run(&place, "resolve --offline");
    }
    bench.write("stage.toml", manifest);
    for (file, text) in [
        (
            "home/.npmrc",
            format!("registry=http://{POISON}/\n//x/:_authToken={POISON}\n{POISON}\n"),
        ),
        (
            "home/.netrc",
            format!("machine {POISON} login {POISON} password {POISON}\n"),
        ),
        (
            "home/.cargo/config.toml",
            format!("[registries.\"{POISON}\"]\nindex = {POISON}\n"),
        ),
        (
            "home/.config/pip/pip.conf",
            format!("[global]\nindex-url = {POISON}\n[{POISON}\n"),
        ),
        (
            "project/releases.toml",
            format!("version = 1\n{POISON} = \"{POISON}\"\n"),
        ),
    ] {
        bench.site.write(file, &text);
        bench.run(file, "resolve");
        bench.run(file, "bundle --key k.pem -o x.stage");
        std::fs::remove_file(bench.site.folder.join(file)).unwrap();
    }
}

/// The members of a bundle before its blobs, by name.
fn members(bundle: &[u8]) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    let (mut found, mut at) = (Vec::new(), 0);
    while found.len() < 5 {
        let block = &bundle[at..at + BLOCK];
        let name = String::from_utf8(block[..100].to_vec()).unwrap();
        let size = String::from_utf8(block[124..135].to_vec()).unwrap();
        let size = usize::from_str_radix(&size, 8).unwrap();
        let bytes = bundle[at + BLOCK..at + BLOCK + size].to_vec();
        found.push((name.trim_end_matches('\0').to_owned(), bytes));
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    (found, bundle[at..].to_vec())
}

#[test]
fn bundles_that_nobody_signed_and_trust_roots() {
    let bench = Bench::new("escapes-bundle");
    let lock = format::write(&fixture::lock());
    let good = fixture::unsigned_bundle(&[("lock/stage.lock", &lock)]);
    bench.write("good.stage", &good);
    let root = std::fs::read(fixture::trust_root("escapes/root.json")).unwrap();
    bench.write("root.json", &root);
    bench.run("key", "key generate -o k.pem");
    let look = |what: &str| {
        for words in [
            "inspect bad.stage",
            "inspect bad.stage --trust root.json",
            "verify bad.stage --trust root.json",
            "diff good.stage bad.stage",
            "head bad.stage -o bad.head",
            "sign bad.stage --key k.pem",
            "sign bad.stage --key k.pem --trust root.json",
        ] {
            bench.run(what, words);
        }
    };
    let (parts, blobs) = members(&good);
    let put = |changed: &str, bytes: &[u8]| {
        let mut out = Vec::new();
        for (name, content) in &parts {
            let content = if name == changed { bytes } else { content };
            header::write_member(&mut out, name, content).unwrap();
        }
        bench.write("bad.stage", [out.as_slice(), &blobs].concat());
    };
    for name in ["statement.json", "manifest.json"] {
        let (_, bytes) = parts.iter().find(|(known, _)| known == name).unwrap();
        for (place, bad) in poisoned(&serde_json::from_slice(bytes).unwrap()) {
            put(name, &stage::base::json::canonical(&bad));
            look(&format!("{name}{place}"));
        }
    }
    // Signatures stand in a slot of fixed size.
    let slot = parts
        .iter()
        .find(|(name, _)| name == "signatures.json")
        .unwrap();
    let entry = json!([{"keyid": POISON, "sig": POISON}]).to_string();
    let mut padded = entry.into_bytes();
    padded.resize(slot.1.len() - 1, b' ');
    padded.push(b'\n');
    put("signatures.json", &padded);
    look("signatures.json");
    put(
        "roots.json",
        &stage::base::json::canonical(&json!([{"payload": POISON, "payloadType": POISON}])),
    );
    look("roots.json");

    for (place, bad) in poisoned(&serde_json::from_slice(&root).unwrap()) {
        bench.write("bad.json", stage::base::json::canonical(&bad));
        for words in [
            "trust inspect bad.json",
            "trust fingerprint bad.json",
            "trust diff root.json bad.json",
            "trust rotate bad.json -o next.json",
            "verify good.stage --trust bad.json",
            "repo init --repo r --trust bad.json --accept-unchecked-root",
        ] {
            bench.run(&place, words);
        }
    }
}

#[test]
fn arguments() {
    let bench = Bench::new("escapes-arguments");
    bench
        .site
        .manifest("[npm]\npackages = [\"aa@1.0.0\"]\nregistry = \"http://127.0.0.1:1/\"\n");
    bench.run("key", "key generate -o k.pem");
    bench.run("root", "trust init --key k.pem -o root.json");
    bench.run(
        "repo",
        "repo init --repo repo --trust root.json --accept-unchecked-root",
    );
    std::fs::create_dir_all(bench.site.folder.join("project/plain")).unwrap();
    bench.write("plain/a.txt", "a");
    bench.run(
        "bundle",
        "bundle --plain plain --channel docs --key k.pem -o one.stage",
    );
    bench.run("import", "import one.stage --repo repo");
    bench.write("good.lock", format::write(&fixture::lock()));
    let odd = OsString::from_vec([argument().as_bytes(), b"\xff\xfe"].concat());
    // What is written is written under the name that was given, so these come last in their own folder.
    for words in [
        "inspect",
        "diff good.lock",
        "verify",
        "verify one.stage --trust",
        "import --repo repo",
        "import one.stage --repo",
        "resolve -f",
        "resolve --why",
        "fetch -f",
        "bundle --key k.pem -o x.stage --plain",
        "bundle --key k.pem --channel",
        "bundle --plain plain --channel docs --key k.pem -o",
        "bundle --plain plain --channel docs -o x.stage --key",
        "head one.stage -o",
        "head",
        "sign one.stage --key",
        "sign --key k.pem",
        "key generate -o",
        "key public --key",
        "key inspect",
        "key public --key k.pem --output",
        "trust init --key k.pem --person",
        "trust init --key k.pem -o",
        "trust inspect",
        "trust add root.json -o next.json --role releaser --key",
        "trust remove root.json -o n.json --person",
        "trust rotate root.json -o",
        "trust rotate root.json -o n.json --epoch",
        "repo status --repo",
        "repo query --repo repo",
        "repo block pkg:npm/aa --repo repo --reason",
        "repo rollback --repo repo --to 1 --channel",
        "repo remove --repo repo",
        "repo init --repo repo --trust root.json --base-url",
        "repo init --trust root.json --accept-unchecked-root --repo",
        "repo init --repo repo2 --trust root.json --fingerprint",
        "repo status --repo repo --max-age",
        "import one.stage --repo repo --allow-expired",
        "import one.stage --repo repo --lint --accept-archive",
        "export good.lock --as",
        "export good.lock --as package-lock --output",
        "export --as package-lock",
        "explain",
        "generate man -o",
        "generate completions",
        "init --from",
        "init --runtime",
        "init -o",
        "--cache",
        "--format",
        "--color",
        "--jobs",
        "nonsense",
        "-f",
        "repo client-config --repo repo --for",
        "repo serve --repo repo --listen",
    ] {
        for last in [OsString::from(argument()), odd.clone()] {
            let output = bench.command(words).arg(&last).arg("-v").output().unwrap();
            harmless(words, &output);
        }
    }
    for words in [
        "repo status --repo repo",
        "repo list --repo repo",
        "repo audit --repo repo",
        "repo gc --repo repo",
    ] {
        bench.run("after", words);
    }
    // A folder of files with such names.
    let name = argument().replace('/', "");
    bench.write(&format!("plain/{name}"), "x");
    bench.run(
        "names",
        "bundle --plain plain --channel docs --key k.pem -o two.stage",
    );
    std::fs::write(bench.site.folder.join("project/repo").join(&name), "x").unwrap();
    bench.run("stray", "repo audit --repo repo");
}
