//! No secret of the host is in anything that the program says or writes: every command, as talkative as it gets, with
//! servers that refuse, break, hang up, redirect and send back what they were shown, and with a process that dies.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use stage::base::digest::Digest;

use crate::crates::Crate;
use crate::credentials::{self, Shelf, Site, files_below};
use crate::loopback::{Asked, Proxy, Reply, Server};

/// What [`Proxy`] wants to see.
const PROXY: &str = "S3CR3T";
const NPM_TOKEN: &str = "n0de-t0ken-7f3a";
const NPM_PASSWORD: &str = "n0de pa$s/7f";
const NPM_AUTH: &str = "n0de-auth+8e";
const INDEX: &str = "p1p-Pa:ss@42";
const NETRC: &str = "netrc-w0rd-91";
const CARGO: &str = "carg0-t0ken-33";
const BEARER: &str = "bearer-f1le-55";
const VARIABLE: &str = "by-var1able-66";
const PASSPHRASE: &str = "the pa55phrase of the builder";
/// In the query of an address that a server redirects to.
const SIGNATURE: &str = "pre-s1gned-77";

const ALL: [&str; 10] = [
    PROXY,
    NPM_TOKEN,
    NPM_PASSWORD,
    NPM_AUTH,
    INDEX,
    NETRC,
    CARGO,
    BEARER,
    VARIABLE,
    PASSPHRASE,
];

/// The forms in which a secret could be seen: as it is, as a URL has it, as it is sent and as `.npmrc` has it.
fn forms(secret: &str) -> Vec<String> {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let basic = |user: &str| BASE64.encode(format!("{user}:{secret}").as_bytes());
    vec![
        secret.to_owned(),
        percent.replace('+', "%20"),
        basic("me"),
        basic("u"),
        BASE64.encode(secret.as_bytes()),
    ]
}

/// Which of the secrets are in there.
fn seen(bytes: &[u8]) -> Vec<&'static str> {
    let has = |form: &String| {
        bytes
            .windows(form.len())
            .any(|part| part == form.as_bytes())
    };
    let all = ALL.into_iter().chain([SIGNATURE]);
    all.filter(|secret| forms(secret).iter().any(has)).collect()
}

fn clean(what: &str, bytes: &[u8]) {
    let found = seen(bytes);
    let text = String::from_utf8_lossy(bytes);
    assert!(found.is_empty(), "{what} has {found:?}: {text}");
}

#[test]
fn the_search_finds_every_form() {
    for secret in ALL.into_iter().chain([SIGNATURE]) {
        for form in forms(secret) {
            let text = format!("error: <http://{form}@registry.example>");
            assert_eq!(seen(text.as_bytes()), [secret], "{form}");
        }
    }
}

/// How the registries behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// They answer whoever shows the right secret.
    Good,
    /// They refuse, and send back what they were shown.
    Refusing,
    /// They fail, and send back what they were shown.
    Failing,
    /// They lead elsewhere, with what they were shown and a signature of their own in the address.
    Leading,
    /// They hang up in the middle of the answer.
    HangingUp,
    /// They say nothing for a long time.
    Silent,
}

/// What must be shown for a path.
fn wanted(path: &str) -> String {
    let basic =
        |secret: &str| format!("Basic {}", BASE64.encode(format!("me:{secret}").as_bytes()));
    let first = path.split('/').next().unwrap_or_default();
    match first {
        "npm" => format!("Bearer {NPM_TOKEN}"),
        "pw" => basic(NPM_PASSWORD),
        "au" => basic(NPM_AUTH),
        "pypi" | "files" => basic(INDEX),
        "index" | "dl" => CARGO.to_owned(),
        "netrc" => basic(NETRC),
        "bearer" => format!("Bearer {BEARER}"),
        "variable" => basic(VARIABLE),
        other => panic!("nobody asks for {other}"),
    }
}

fn shelf(base: &str) -> Shelf {
    let mut all = credentials::npm_package(base, "npm/", "aa");
    all.extend(credentials::npm_package(base, "pw/", "@pw/bb"));
    all.extend(credentials::npm_package(base, "au/", "@au/cc"));
    all.extend(credentials::pypi(&format!("{base}files/")));
    all.extend(credentials::files("files/"));
    all.extend(credentials::cargo(base));
    for folder in ["netrc", "bearer", "variable"] {
        all.push((format!("{folder}/x"), folder.as_bytes().to_vec()));
    }
    all
}

fn registry(mood: &Arc<Mutex<Mood>>) -> Server {
    let mood = Arc::clone(mood);
    Server::new(move |asked| {
        let shown: Vec<&str> = asked
            .headers
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        let echo = shown.join(" ");
        let now = *mood.lock().unwrap();
        match now {
            Mood::Good => answer(asked),
            Mood::Refusing => Reply {
                body: echo.clone().into_bytes(),
                ..Reply::status(401)
            }
            .with("WWW-Authenticate", format!("Basic realm=\"{echo}\"")),
            Mood::Failing => Reply {
                body: echo.into_bytes(),
                ..Reply::status(500)
            },
            Mood::Leading => {
                let word = asked.header("authorization").unwrap_or_default();
                let word = word.rsplit(' ').next().unwrap_or_default();
                let place =
                    format!("http://me:{word}@127.0.0.1:1/x?token={word}&signature={SIGNATURE}");
                Reply::status(302).with("Location", place)
            }
            Mood::HangingUp => Reply {
                cut: Some(echo.len() / 2),
                ..Reply::ok(echo)
            },
            Mood::Silent => Reply {
                delay: 20_000,
                ..Reply::status(200)
            },
        }
    })
}

fn answer(asked: &Asked) -> Reply {
    let path = asked.target.trim_start_matches('/');
    if asked.header("authorization") != Some(&wanted(path)) {
        return Reply::status(401);
    }
    credentials::serve(asked, &shelf(&credentials::own(asked)))
}

/// A host with every kind of secret, registries that want them, and a proxy that wants one too.
struct Host {
    site: Site,
    registry: Server,
    /// Under another name and another port, since those have other credentials.
    named: Server,
    ported: Server,
    crates: Server,
    proxy: Proxy,
    mood: Arc<Mutex<Mood>>,
    runs: Mutex<usize>,
}

impl Host {
    fn new(name: &str) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Good));
        let host = Self {
            site: Site::new(name),
            registry: registry(&mood),
            named: registry(&mood),
            ported: registry(&mood),
            crates: registry(&mood),
            proxy: Proxy::new(),
            mood,
            runs: Mutex::new(0),
        };
        host.configure();
        host
    }

    fn configure(&self) {
        let (port, crates) = (self.registry.port, self.crates.port);
        let (named, ported) = (self.named.port, self.ported.port);
        let encoded = BASE64.encode(NPM_PASSWORD.as_bytes());
        let both = BASE64.encode(format!("me:{NPM_AUTH}").as_bytes());
        let at = format!("//127.0.0.1:{port}");
        self.site.write(
            "home/.npmrc",
            &format!(
                "{at}/npm/:_authToken=${{NPM_TOKEN}}\n@pw:registry=http:{at}/pw/\n{at}/pw/:username=me\n\
                 {at}/pw/:_password={encoded}\n@au:registry=http:{at}/au/\n{at}/au/:_auth={both}\n"
            ),
        );
        self.site.write(
            "home/.netrc",
            &format!("machine localhost login me password {NETRC}\n"),
        );
        self.site.write("home/bearer", &format!("{BEARER}\n"));
        self.site
            .write("home/passphrase", &format!("{PASSPHRASE}\n"));
        let file = |url: &str, folder: &str| {
            format!(
                "[[file]]\nurl = \"http://{url}/{folder}/x\"\nsha256 = \"{}\"\npath = \"tools/{folder}\"\n",
                Digest::of(folder.as_bytes()).hex()
            )
        };
        self.site.manifest(&format!(
            "[npm]\npackages = [\"aa@1.0.0\", \"@pw/bb@1.0.0\", \"@au/cc@1.0.0\"]\nregistry = \"http:{at}/npm/\"\n\
             [pypi]\nrequirements = [\"aa\"]\n[cargo]\nlockfile = \"Cargo.lock\"\nindex = \"http://127.0.0.1:{crates}/index/\"\n\
             {}{}{}[network]\ncredentials = [{{ host = \"127.0.0.1:{named}\", token-file = \"../home/bearer\" }},\n\
             {{ host = \"127.0.0.1:{ported}\", user = \"me\", password-env = \"WORD\" }}]\n",
            file(&format!("localhost:{named}"), "netrc"),
            file(&format!("127.0.0.1:{named}"), "bearer"),
            file(&format!("127.0.0.1:{ported}"), "variable"),
        ));
        let lock = format!("version = 4\n\n{}", Crate::new("aa", "1.0.0").locked(&[]));
        self.site.write("project/Cargo.lock", &lock);
    }

    fn command(&self, words: &str, proxy: &str) -> Command {
        let login: String = url::form_urlencoded::byte_serialize(INDEX.as_bytes()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage"));
        command
            .args(words.split_whitespace())
            .current_dir(self.site.folder.join("project"))
            .env_clear()
            .env("HOME", self.site.folder.join("home"))
            .env("PATH", "/usr/bin:/bin")
            .env("STAGE_CACHE", self.site.folder.join("cache"))
            .env("STAGE_ALLOW_ROOT", "1")
            .env("HTTP_PROXY", proxy)
            .env("HTTPS_PROXY", proxy)
            .env("NPM_TOKEN", NPM_TOKEN)
            .env(
                "PIP_INDEX_URL",
                format!(
                    "http://me:{login}@127.0.0.1:{}/pypi/simple",
                    self.registry.port
                ),
            )
            .env("CARGO_REGISTRY_TOKEN", CARGO)
            .env("WORD", VARIABLE)
            .env("STAGE_KEY_PASSPHRASE", PASSPHRASE);
        command
    }

    fn proxy(&self) -> String {
        format!("http://u:{PROXY}@127.0.0.1:{}", self.proxy.port)
    }

    /// Runs it for people and for programs; nothing it says has a secret.
    fn run(&self, words: &str, code: i32) {
        for (digit, more) in [("0", "-vvv"), ("1", "-vvv --format json")] {
            let words = words.replace('%', digit);
            let output = self
                .command(&format!("{words} {more}"), &self.proxy())
                .output()
                .unwrap();
            self.said(&words, &output);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{words} {more}: {text}");
        }
    }

    fn said(&self, words: &str, output: &Output) {
        clean(words, &output.stdout);
        clean(words, &output.stderr);
        *self.runs.lock().unwrap() += 1;
    }

    /// Forgets what was resolved and downloaded, so that everything is asked for again.
    fn forget(&self) {
        for name in ["cache", "project/stage.records"] {
            std::fs::remove_dir_all(self.site.folder.join(name)).unwrap_or_default();
        }
        std::fs::remove_file(self.site.folder.join("project/stage.lock")).unwrap_or_default();
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Nothing that was written has a secret: caches, store, lock, records, bundles, receipts, the repository.
    fn written(&self) -> usize {
        let mut count = 0;
        for name in ["cache", "project"] {
            let folder = self.site.folder.join(name);
            if !folder.exists() {
                continue;
            }
            for path in files_below(&folder) {
                clean(&path.to_string_lossy(), &std::fs::read(&path).unwrap());
                count += 1;
            }
        }
        count
    }
}

/// The way through every command; each is right, so that each comes to its end. `%` is another digit in each run.
const WALK: &[&str] = &[
    "resolve",
    "resolve --plan",
    "resolve --why aa",
    "fetch",
    "key generate -o k%.pem --passphrase-file ../home/passphrase",
    "key public --key k0.pem",
    "key inspect k0.pub",
    "trust init --key k0.pem -o root%.json",
    "trust inspect root0.json",
    "trust fingerprint root0.json",
    "bundle --key k0.pem --trust root0.json -o t%.stage --accept-archive pypi:aa@1.0",
    "head t0.stage -o t%.head",
    "inspect t0.stage",
    "inspect stage.lock",
    "diff stage.lock t0.stage",
    "export stage.lock --as requirements",
    "verify t0.stage --trust root0.json --receipt v.json --receipt-key k0.pem",
    "repo init --repo repo --trust root0.json --accept-unchecked-root",
    "import t0.stage --repo repo --lint --accept-archive pypi:aa@1.0 --receipt i.json --receipt-key k0.pem",
    "import t0.stage --repo repo --dry-run",
    "repo status --repo repo --print-mark",
    "repo list --repo repo",
    "repo audit --repo repo",
    "repo query pkg:npm/aa --repo repo",
    "repo client-config --repo repo",
    "repo gc --repo repo",
    "explain",
    "bundle --help",
];

#[test]
fn no_command_says_or_keeps_a_secret() {
    let host = Host::new("secrets-walk");
    for words in WALK {
        host.run(words, 0);
    }
    // All of it was asked for with the secrets, through the proxy.
    let asked = host.registry.asked();
    let asked = [asked, host.crates.asked()].concat();
    for folder in ["/npm/", "/pw/", "/au/", "/pypi/", "/index/", "/dl/"] {
        assert!(
            asked.iter().any(|a| a.target.starts_with(folder)),
            "{folder}"
        );
    }
    assert!(host.proxy.seen().len() > 10);
    assert!(host.named.asked().len() > 1 && !host.ported.asked().is_empty());
    // Wrong words for keys that are there.
    for (words, passphrase) in [
        ("key public --key k0.pem", "wr0ng words"),
        ("sign t0.stage --key k0.pem", "wr0ng words"),
    ] {
        let mut command = host.command(words, "");
        let output = command.env("STAGE_KEY_PASSPHRASE", passphrase).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        host.said(words, &output);
        assert!(!format!("{output:?}").contains("wr0ng"), "{output:?}");
    }
    let mut command = host.command("key public --key k0.pem --passphrase-fd 0 -vvv", "");
    let file = std::fs::File::open(host.site.folder.join("home/passphrase")).unwrap();
    let output = command.stdin(Stdio::from(file)).output().unwrap();
    assert!(output.status.success());
    host.said("--passphrase-fd", &output);
    assert!(host.written() > 60, "{}", host.written());
    assert!(*host.runs.lock().unwrap() > 50);
}

#[test]
fn servers_that_send_secrets_back_are_not_repeated() {
    let host = Host::new("secrets-servers");
    for mood in [
        Mood::Refusing,
        Mood::Leading,
        Mood::HangingUp,
        Mood::Failing,
    ] {
        host.forget();
        host.be(mood);
        host.run("resolve", 1);
        assert!(!host.registry.asked().is_empty(), "{mood:?}");
        host.written();
    }
    // Resolved, and then every artifact is refused.
    host.forget();
    host.be(Mood::Good);
    host.run("resolve", 0);
    std::fs::remove_dir_all(host.site.folder.join("cache/store")).unwrap();
    for mood in [Mood::Refusing, Mood::Leading] {
        host.be(mood);
        host.run("fetch", 1);
        host.written();
    }
    // A proxy that refuses, and one that is not there.
    host.forget();
    host.be(Mood::Good);
    for port in [host.proxy.port, crate::loopback::dead_port()] {
        let proxy = format!("http://me:{INDEX}-wrong@127.0.0.1:{port}").replace("@42", "%4042");
        let output = host.command("resolve -vvv", &proxy).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        host.said("resolve", &output);
    }
    for bad in [
        format!("socks5://u:{PROXY}@127.0.0.1:1"),
        format!("http://u:{PROXY}@[127.0.0.1"),
    ] {
        let output = host.command("resolve -vvv", &bad).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        host.said("resolve", &output);
    }
}

#[test]
fn a_process_that_dies_leaves_no_secret_behind() {
    let host = Host::new("secrets-dying");
    let shell = |host: &Host, limits: &str, words: &str| {
        let program = host.command(words, &host.proxy());
        let mut command = Command::new("/bin/sh");
        let core = "ulimit -S -c $(ulimit -H -c)";
        command
            .args(["-c", &format!("{core}; {limits} \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(program.get_current_dir().unwrap())
            .env_clear()
            .envs(
                program
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            );
        command
    };
    // Too little memory, at many places: an allocation fails, or a thread cannot start.
    let mut died = 0;
    for megabytes in (40..100).step_by(3) {
        host.forget();
        // A program without memory for its threads may also wait for them.
        let limit = format!("ulimit -v {}; exec timeout -s KILL 10 ", megabytes * 1024);
        let output = shell(&host, &limit, "resolve -vvv").output().unwrap();
        host.said("resolve", &output);
        // The system may have ended it while it was loaded, before it could do anything about that.
        let _core = std::fs::remove_file(host.site.folder.join("project/core"));
        died += usize::from(output.status.code().is_none_or(|code| code > 70));
    }
    assert!(died > 0, "no limit made it die");
    host.written();
    // Killed with a core dump while it waits for answers. A registry of its own: a question of a process that died above
    // may be noted late, and this one would be killed before it began.
    let host = Host::new("secrets-killed");
    host.be(Mood::Silent);
    let child = shell(&host, "exec", "resolve -vvv")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while host.registry.asked().is_empty() && start.elapsed() < Duration::from_secs(15) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    let killed = Command::new("/bin/kill").args(["-ABRT", &pid]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), None);
    host.said("resolve", &output);
    let cores: Vec<PathBuf> = files_below(&host.site.folder.join("project"));
    let is_core = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("core"))
    };
    assert!(!cores.iter().any(is_core), "{cores:?}");
    host.written();
}
