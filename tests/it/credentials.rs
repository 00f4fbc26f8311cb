//! Registries that demand credentials, asked by the program: every way a host can be told one, and that it is shown to
//! its host alone and written nowhere.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::{Value, json};
use stage::base::digest::{Digest, UpstreamChecksum};

use crate::crates::Crate;
use crate::loopback::{Asked, Reply, Server};
use crate::packages::{Folder, tarball};

const SECRET: &str = "S3CR3T-of-the-host";

/// What a registry of this test has: path and bytes, made once its own address and that of its files are known.
pub(crate) type Shelf = Vec<(String, Vec<u8>)>;

/// A server that shows its shelf only to whoever shows it `authorization`; anything else is 401.
fn guarded(authorization: &str, fill: impl Fn(&str) -> Shelf + Send + Sync + 'static) -> Server {
    let wanted = authorization.to_owned();
    Server::new(move |asked| {
        if asked.header("authorization") != Some(&wanted) {
            return Reply::status(401);
        }
        serve(asked, &fill(&own(asked)))
    })
}

/// A server for everybody.
fn open(fill: impl Fn(&str) -> Shelf + Send + Sync + 'static) -> Server {
    Server::new(move |asked| serve(asked, &fill(&own(asked))))
}

/// The address under which it was asked.
pub(crate) fn own(asked: &Asked) -> String {
    format!("http://{}/", asked.header("host").unwrap())
}

pub(crate) fn serve(asked: &Asked, shelf: &Shelf) -> Reply {
    let path = asked.target.trim_start_matches('/').replace("%2f", "/");
    match shelf.iter().find(|(known, _)| *known == path) {
        Some((_, bytes)) if path.contains("simple/") => {
            Reply::ok(bytes.clone()).with("Content-Type", "application/vnd.pypi.simple.v1+json")
        }
        Some((_, bytes)) => Reply::ok(bytes.clone()),
        None => Reply::status(404),
    }
}

fn basic(user: &str) -> String {
    format!(
        "Basic {}",
        BASE64.encode(format!("{user}:{SECRET}").as_bytes())
    )
}

fn npm(base: &str) -> Shelf {
    npm_package(base, "npm/", "aa")
}

/// One release of a package, 1.0.0, of a registry below `prefix`.
pub(crate) fn npm_package(base: &str, prefix: &str, name: &str) -> Shelf {
    let manifest = json!({"name": name, "version": "1.0.0"}).to_string();
    let bytes = tarball(&[("package.json", &manifest)]);
    let digests = stage::base::digest::Digests::of(&bytes);
    let integrity = UpstreamChecksum::Sha512(digests.sha512).to_sri();
    let path = format!("{prefix}{}", stage::eco::npm::tarball_path(name, "1.0.0"));
    let version = json!({"name": name, "version": "1.0.0",
        "dist": {"tarball": format!("{base}{path}"), "integrity": integrity}});
    let packument = json!({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version},
        "time": {"1.0.0": "2026-01-01T00:00:00.000Z"}});
    vec![
        (
            format!("{prefix}{name}"),
            packument.to_string().into_bytes(),
        ),
        (path, bytes),
    ]
}

const WHEEL: &str = "aa-1.0-py3-none-any.whl";
const METADATA: &str = "Metadata-Version: 2.1\nName: aa\nVersion: 1.0\n";

fn wheel() -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("aa-1.0.dist-info/METADATA", options)
        .unwrap();
    zip.write_all(METADATA.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

/// An index below `pypi/simple/` whose files are below `files`.
pub(crate) fn pypi(files: &str) -> Shelf {
    let metadata = Digest::of(METADATA.as_bytes()).hex();
    let file = json!({"filename": WHEEL, "url": format!("{files}{WHEEL}"),
        "hashes": {"sha256": Digest::of(&wheel()).hex()}, "core-metadata": {"sha256": metadata},
        "upload-time": "2026-01-01T00:00:00Z", "size": wheel().len()});
    let page =
        json!({"meta": {"api-version": "1.1"}, "name": "aa", "versions": ["1.0"], "files": [file]});
    vec![("pypi/simple/aa/".to_owned(), page.to_string().into_bytes())]
}

pub(crate) fn files(prefix: &str) -> Shelf {
    vec![
        (format!("{prefix}{WHEEL}"), wheel()),
        (
            format!("{prefix}{WHEEL}.metadata"),
            METADATA.as_bytes().to_vec(),
        ),
    ]
}

pub(crate) fn cargo(base: &str) -> Shelf {
    let one = Crate::new("aa", "1.0.0");
    let config = json!({"dl": format!("{base}dl/{{crate}}-{{version}}"), "auth-required": true});
    vec![
        (
            "index/config.json".to_owned(),
            config.to_string().into_bytes(),
        ),
        ("index/2/aa".to_owned(), one.line().into_bytes()),
        ("dl/aa-1.0.0".to_owned(), one.pack()),
    ]
}

/// A project and a home of one test.
pub(crate) struct Site {
    pub(crate) folder: Folder,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        for sub in ["project", "home", "cache"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        Self { folder }
    }

    /// Writes a file of the home or the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn manifest(&self, tables: &str) {
        let head = "[bundle]\nchannel = \"t\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\npython = \
                    \"3.11\"\nnode = \"24.21.0\"\n";
        self.write("project/stage.toml", &format!("{head}{tables}"));
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stage"))
            .args(arguments)
            .args(["-vv", "--format", "json", "--cache", "../cache"])
            .current_dir(self.folder.join("project"))
            .env_clear()
            .env("HOME", self.folder.join("home"))
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// Resolves and fetches from nothing; nothing says or keeps the secret.
    fn walk(&self, variables: &[(&str, &str)]) -> Value {
        for sub in ["cache", "project/stage.records"] {
            if self.folder.join(sub).exists() {
                std::fs::remove_dir_all(self.folder.join(sub)).unwrap();
            }
        }
        std::fs::remove_file(self.folder.join("project/stage.lock")).unwrap_or_default();
        let resolved = self.run(&["resolve"], variables);
        assert_eq!(resolved.status.code(), Some(0), "{resolved:?}");
        let fetched = self.run(&["fetch"], variables);
        assert_eq!(fetched.status.code(), Some(0), "{fetched:?}");
        for output in [&resolved, &fetched] {
            clean("output", &output.stdout);
            clean("output", &output.stderr);
        }
        self.nothing_kept();
        serde_json::from_slice(&fetched.stdout).unwrap()
    }

    fn nothing_kept(&self) {
        let mut seen = 0;
        for sub in ["cache", "project"] {
            for path in files_below(&self.folder.join(sub)) {
                clean(&path.to_string_lossy(), &std::fs::read(&path).unwrap());
                seen += 1;
            }
        }
        assert!(
            seen > 4,
            "the lock, its records and the cache were looked at"
        );
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// No part of it is the secret, as it is or as it is sent.
fn clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for form in [
        SECRET.to_owned(),
        BASE64.encode(format!("me:{SECRET}").as_bytes()),
    ] {
        assert!(!text.contains(&form), "{what} has the secret");
    }
}

#[test]
fn every_way_to_tell_an_index_of_python_packages_works_and_leaves_no_trace() {
    let server = guarded(&basic("me"), |base| {
        let mut all = pypi(&format!("{base}files/"));
        all.extend(files("files/"));
        all
    });
    let (url, port) = (server.url(), server.port);
    let index = format!("{url}pypi/simple");
    let with_login = index.replace("http://", &format!("http://me:{SECRET}@"));
    let plain = "[pypi]\nrequirements = [\"aa\"]\n";
    let named = format!("{plain}index = \"{index}\"\n");
    let site = Site::new("credentials-pypi");
    site.manifest(plain);
    site.walk(&[("PIP_INDEX_URL", &with_login)]);
    site.walk(&[
        ("UV_DEFAULT_INDEX", &format!("our-own={index}")),
        ("UV_INDEX_OUR_OWN_USERNAME", "me"),
        ("UV_INDEX_OUR_OWN_PASSWORD", SECRET),
    ]);
    site.write(
        "home/pip.conf",
        &format!("[global]\nindex-url = {with_login}\n"),
    );
    let conf = site.folder.join("home/pip.conf");
    let conf = conf.to_str().unwrap();
    site.walk(&[("PIP_CONFIG_FILE", conf)]);
    // The manifest says where, the host's configuration of the same index says how.
    site.manifest(&named);
    site.walk(&[("PIP_CONFIG_FILE", conf)]);
    site.write(
        "home/.netrc",
        &format!("machine 127.0.0.1 login me password {SECRET}\n"),
    );
    site.walk(&[]);
    std::fs::remove_file(site.folder.join("home/.netrc")).unwrap();
    let refused = site.run(&["fetch"], &[]);
    assert_eq!(
        refused.status.code(),
        Some(0),
        "all of it is in the store: {refused:?}"
    );
    site.manifest(&format!(
        "{named}[network]\ncredentials = [{{ host = \"127.0.0.1:{port}\", user = \"me\", password-env = \"WORD\" }}]\n"
    ));
    site.walk(&[("WORD", SECRET)]);
    let unset = site.run(&["resolve"], &[]);
    assert_eq!(unset.status.code(), Some(2), "{unset:?}");
    assert!(String::from_utf8_lossy(&unset.stdout).contains("WORD"));
    let wrong = site.run(&["resolve", "--upgrade"], &[("WORD", "WR0NG-secret")]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("WR0NG"), "{wrong:?}");
}

#[test]
fn a_host_that_keeps_the_files_of_an_index_is_not_shown_its_credential() {
    let elsewhere = open(|_| files(""));
    let address = elsewhere.url();
    let server = guarded(&format!("Bearer {SECRET}"), move |_| pypi(&address));
    let site = Site::new("credentials-elsewhere");
    site.manifest(&format!(
        "[pypi]\nrequirements = [\"aa\"]\nindex = \"{}pypi/simple/\"\n[network]\ncredentials = [{{ host = \
         \"127.0.0.1:{}\", token-file = \"../home/token\" }}]\n",
        server.url(),
        server.port
    ));
    site.write("home/token", &format!("{SECRET}\n"));
    let report = site.walk(&[]);
    let asked = elsewhere.asked();
    assert!(asked.iter().any(|a| a.target.contains(WHEEL)), "{asked:?}");
    assert!(
        asked.iter().all(|a| a.header("authorization").is_none()),
        "{asked:?}"
    );
    assert_eq!(report["egress"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn npm_tokens_stay_with_their_registry_through_redirects() {
    let shelf = Arc::new(npm("http://unused.example/"));
    let away = shelf.clone();
    let elsewhere = open(move |_| away.to_vec());
    let target = format!("{}npm/aa/-/aa-1.0.0.tgz", elsewhere.url());
    let wanted = format!("Bearer {SECRET}");
    let server = Server::new(move |asked| {
        if asked.header("authorization") != Some(&wanted) {
            return Reply::status(401);
        }
        if asked.target.contains("/-/") {
            return Reply::status(302).with("Location", target.clone());
        }
        serve(asked, &shelf)
    });
    let site = Site::new("credentials-npm");
    let registry = format!("{}npm/", server.url());
    site.manifest(&format!(
        "[npm]\npackages = [\"aa@1.0.0\"]\nregistry = \"{registry}\"\n"
    ));
    let host = registry.trim_start_matches("http:");
    site.write("home/.npmrc", &format!("{host}:_authToken=${{TOKEN}}\n"));
    site.walk(&[("TOKEN", SECRET)]);
    let asked = elsewhere.asked();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|a| a.header("authorization").is_none()),
        "{asked:?}"
    );
    // The manifest's own way stands over a token of the client that does not work.
    let port = server.port;
    site.manifest(&format!(
        "[npm]\npackages = [\"aa@1.0.0\"]\nregistry = \"{registry}\"\n[network]\ncredentials = [{{ host = \
         \"127.0.0.1:{port}\", token-env = \"OURS\" }}]\n"
    ));
    site.walk(&[("TOKEN", "old"), ("OURS", SECRET)]);
}

#[test]
fn cargo_tokens_open_index_and_downloads_of_a_registry_that_demands_them() {
    let server = guarded(SECRET, cargo);
    let one = Crate::new("aa", "1.0.0");
    let site = Site::new("credentials-cargo");
    let index = format!("{}index/", server.url());
    site.manifest(&format!(
        "[cargo]\nlockfile = \"Cargo.lock\"\nindex = \"{index}\"\n"
    ));
    site.write(
        "project/Cargo.lock",
        &format!("version = 4\n\n{}", one.locked(&[])),
    );
    site.walk(&[("CARGO_REGISTRY_TOKEN", SECRET)]);
    site.write(
        "home/.cargo/config.toml",
        &format!("[registries.our-own]\nindex = \"sparse+{index}\"\n"),
    );
    site.walk(&[("CARGO_REGISTRIES_OUR_OWN_TOKEN", SECRET)]);
    site.write(
        "home/.cargo/credentials.toml",
        &format!("[registries.our-own]\ntoken = \"{SECRET}\"\n"),
    );
    site.walk(&[]);
    // A file that is not what cargo writes is not quoted from.
    site.write(
        "home/.cargo/credentials.toml",
        &format!("registries = \"{SECRET}\"\n"),
    );
    let broken = site.run(&["resolve"], &[]);
    assert_eq!(broken.status.code(), Some(2), "{broken:?}");
    clean("output", &broken.stdout);
    clean("output", &broken.stderr);
}

#[test]
fn a_secret_in_the_manifest_is_refused_and_not_repeated() {
    let site = Site::new("credentials-manifest");
    let cases = [
        format!("[npm]\npackages = [\"a\"]\nregistry = \"https://me:{SECRET}@npm.example/\"\n"),
        format!("[network]\ncredentials = [{{ host = \"npm.example\", token = \"{SECRET}\" }}]\n"),
        format!("[network]\ncredentials = [{{ host = \"me:{SECRET}@npm.example\", token-env = \"T\" }}]\n"),
        "[network]\ncredentials = [{ host = \"npm.example\", user = \"me\" }]\n".to_owned(),
        "[network]\ncredentials = [{ host = \"npm.example\", token-env = \"A\", token-file = \"b\" }]\n".to_owned(),
    ];
    for case in cases {
        let npm = if case.starts_with("[npm]") {
            ""
        } else {
            "[npm]\npackages = [\"a\"]\n"
        };
        site.manifest(&format!("{npm}{case}"));
        let output = site.run(&["resolve"], &[("T", "token")]);
        assert_eq!(output.status.code(), Some(2), "{case} {output:?}");
        clean("output", &output.stdout);
        clean("output", &output.stderr);
    }
}

#[test]
fn mirrors_are_asked_in_order_and_must_have_the_same_bytes() {
    let (dead, broken) = (
        crate::loopback::dead_port(),
        Server::new(|_| Reply::status(503)),
    );
    let mirror = open(npm);
    let site = Site::new("mirrors");
    let manifest = |first: &str, mirrors: &[&str]| {
        let list: Vec<String> = mirrors.iter().map(|m| format!("\"{m}npm/\"")).collect();
        site.manifest(&format!(
            "[npm]\npackages = [\"aa@1.0.0\"]\nregistry = \"{first}npm/\"\nmirror = [{}]\n",
            list.join(", ")
        ));
    };
    let nobody = format!("http://127.0.0.1:{dead}/");
    for first in [nobody.as_str(), &broken.url()] {
        manifest(first, &[&nobody, &mirror.url()]);
        site.walk(&[]);
        // What delivered an artifact is written down with it.
        let index = files_below(&site.folder.join("cache/store/index"));
        let text = std::fs::read_to_string(&index[0]).unwrap();
        assert!(
            text.contains(&format!("127.0.0.1:{}", mirror.port)),
            "{text}"
        );
        assert!(
            !text.contains(&format!("127.0.0.1:{}\"", broken.port)),
            "{text}"
        );
    }
    // A registry that lacks only the artifact.
    let lacking = open(|base| npm(base)[..1].to_vec());
    manifest(&lacking.url(), &[&mirror.url()]);
    site.walk(&[]);
    // Other bytes are refused, and the next mirror is not asked for better ones.
    let evil = open(|base| {
        let mut shelf = npm(base);
        shelf[1].1 = b"evil".to_vec();
        shelf
    });
    let last = open(npm);
    let resolved = site.run(&["resolve"], &[]);
    assert_eq!(resolved.status.code(), Some(0), "{resolved:?}");
    std::fs::remove_dir_all(site.folder.join("cache/store")).unwrap();
    manifest(&lacking.url(), &[&evil.url(), &last.url()]);
    let output = site.run(&["fetch"], &[]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"][0]["code"], "fetch-digest-mismatch");
    assert!(last.asked().is_empty());
    // Nobody answers: all of them are named.
    manifest(
        &nobody,
        &[&format!(
            "http://127.0.0.1:{}/",
            crate::loopback::dead_port()
        )],
    );
    let output = site.run(&["resolve"], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"][0]["code"], "upstream-unreachable");
}

#[test]
fn an_index_of_python_packages_has_mirrors_too() {
    let broken = Server::new(|_| Reply::status(503));
    let mirror = guarded(&basic("me"), |_| {
        let mut all = pypi("../../../files/");
        all.extend(files("files/"));
        all
    });
    let site = Site::new("mirrors-pypi");
    site.manifest(&format!(
        "[pypi]\nrequirements = [\"aa\"]\nindex = \"{}pypi/simple/\"\nmirror = [\"{}pypi/simple/\"]\n[network]\n\
         credentials = [{{ host = \"127.0.0.1:{}\", user = \"me\", password-env = \"WORD\" }}]\n",
        broken.url(),
        mirror.url(),
        mirror.port
    ));
    site.walk(&[("WORD", SECRET)]);
    let asked = broken.asked();
    assert!(
        asked.iter().all(|a| a.header("authorization").is_none()),
        "{asked:?}"
    );
}
