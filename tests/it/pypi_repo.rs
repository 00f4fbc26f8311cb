//! The rendered Python index against the real pip and uv: over loopback from `stage repo serve` and from a server that
//! knows nothing but files, and in a namespace without network.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use stage::base::platform::Platform;
use stage::eco::pypi::{
    PyPi, clients, foreign, pins, pylock, records, repo, requirements_txt, uv_lock,
};
use stage::eco::{EcoError, Ecosystem as _, ExportRequest, RepoContent, RepoFile, RepoView};

use crate::packages::Folder;
use crate::served::{Served, split};
use crate::wheels::{Shelf, Wheel, world};
use crate::world::{Content, World};

/// A base that nobody listens at: what serves the tree must put its own address in its place.
const BASE: &str = "http://repo.example:8080";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

fn render(shelves: &[Shelf], base: &str) -> Result<Vec<RepoFile>, EcoError> {
    let bundles: Vec<_> = shelves
        .iter()
        .zip(1..)
        .map(|(shelf, serial)| shelf.view(serial))
        .collect();
    let view = RepoView {
        bundles: &bundles,
        base_url: base,
    };
    let mut files = repo::render(&view)?;
    for bundle in &bundles {
        files.extend(pins::pins(bundle, base)?.into_iter().map(|file| RepoFile {
            path: format!("pins/python/{}/{}", bundle.serial, file.path),
            content: file.content,
        }));
    }
    files.extend(PyPi.bootstrap(&view)?.into_iter().map(|file| RepoFile {
        path: format!("bootstrap/{}", file.path),
        content: file.content,
    }));
    Ok(files)
}

/// Writes the tree as generation 1 of a repository that has nothing else.
fn publish(shelves: &[Shelf], root: &Path, base: &str) {
    for file in render(shelves, base).unwrap() {
        let path = root.join("gen/1").join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = match file.content {
            RepoContent::Bytes(bytes) => bytes,
            RepoContent::Blob(digest) => shelves
                .iter()
                .find_map(|shelf| shelf.blob(&digest))
                .unwrap()
                .clone(),
            RepoContent::Joined { .. } => panic!(),
        };
        std::fs::write(path, bytes).unwrap();
    }
    let about = json!({"base_url": base}).to_string();
    std::fs::write(root.join("gen/1/repository.json"), about).unwrap();
    std::os::unix::fs::symlink("gen/1", root.join("current")).unwrap();
}

#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing here says so"
)]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// A program of the environment that `scripts/test` makes below the target directory: `python` (with pip) or `uv`.
fn tool(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_stage"))
        .ancestors()
        .nth(2)
        .unwrap();
    let program = target.join("venv/uv/bin").join(name);
    let found = program.exists().then_some(program);
    if found.is_none() {
        skip("scripts/test makes an environment with pip and uv, which is not there");
    }
    found
}

/// A client with an empty home, and of this process's environment the search path only.
fn client(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", home)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("NO_COLOR", "1");
    command
}

fn pip(python: &Path, home: &Path, arguments: &[&str]) -> Output {
    let mut command = client(python, home);
    command
        .args(["-m", "pip"])
        .args(arguments)
        .output()
        .unwrap()
}

fn uv(uv: &Path, home: &Path, arguments: &[&str]) -> Output {
    let python = uv.with_file_name("python");
    let mut command = client(uv, home);
    command
        .args(arguments)
        .arg("--python")
        .arg(python)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ok(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out + &err
}

fn fails(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success(), "{out}\n{err}");
    out + &err
}

/// A fresh home with the clients' configuration for a repository at `url`.
fn home(folder: &Folder, name: &str, url: &str) -> PathBuf {
    let home = folder.join(name);
    for file in clients::client_files(url) {
        let path = home.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.text).unwrap();
    }
    home
}

/// What the installed application says.
fn run_app(python: &Path, home: &Path, target: &str) -> String {
    let mut command = client(python, home);
    command
        .env("PYTHONPATH", home.join(target))
        .args(["-c", "import app"]);
    ok(&command.output().unwrap())
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = all
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `python3 -m http.server` behind `current/`.
struct Plain {
    child: Child,
    url: String,
}

impl Plain {
    fn start(python: &Path, root: &Path) -> Self {
        let mut command = Command::new(python);
        command.args([
            "-u",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            "0",
            "--directory",
        ]);
        command.arg(root.join("current"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .split_once('(')
            .unwrap()
            .1
            .split_once("/)")
            .unwrap()
            .0
            .to_owned();
        Self { child, url }
    }

    /// Ends it; what it was asked for.
    fn log(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        log
    }
}

#[test]
fn pip_installs_what_is_pinned_and_downloads_the_same_bytes() {
    let Some(python) = tool("python") else { return };
    let folder = Folder::new("pypi-pip");
    publish(&[Shelf::new(&world())], &folder.0, BASE);
    let served = Served::start(&folder.0, 8);
    let home = home(&folder, "home", &served.url());

    let machine = if cfg!(target_arch = "x86_64") {
        "linux-amd64"
    } else {
        "linux-arm64"
    };
    let (status, _, pinned) =
        served.get(&format!("/pins/python/1/pypi/{machine}/requirements.txt"));
    assert_eq!(status, 200);
    std::fs::write(home.join("requirements.txt"), pinned).unwrap();
    ok(&pip(
        &python,
        &home,
        &[
            "install",
            "--target",
            "pinned",
            "--require-hashes",
            "-r",
            "requirements.txt",
        ],
    ));
    assert_eq!(run_app(&python, &home, "pinned"), "app 1.0 1.0+local.1\n");

    // A newer release that was taken back, or is for another Python, is not what an open range means.
    ok(&pip(
        &python,
        &home,
        &["install", "--target", "open", "App[fast]"],
    ));
    assert_eq!(run_app(&python, &home, "open"), "app 1.0 1.0+local.1\n");
    let said = ok(&pip(
        &python,
        &home,
        &["install", "--target", "yanked", "lib==2.0"],
    ));
    assert!(said.contains("broken & \"bad\" <b>"), "{said}");
    fails(&pip(
        &python,
        &home,
        &["install", "--target", "newer", "lib==3.0"],
    ));

    ok(&pip(
        &python,
        &home,
        &["download", "--no-deps", "--dest", "d", "App", "zope_thing"],
    ));
    for wheel in &world()[..1] {
        assert_eq!(
            std::fs::read(home.join("d").join(wheel.file())).unwrap(),
            wheel.pack()
        );
    }
    let other = [
        "download",
        "--no-deps",
        "--dest",
        "d",
        "--only-binary=:all:",
        "--platform",
        "manylinux2014_aarch64",
        "plat",
    ];
    ok(&pip(&python, &home, &other));
    let wanted = [
        "app-1.0-py3-none-any.whl",
        "plat-1.0-py3-none-manylinux2014_aarch64.whl",
        "zope_thing-1.0+local.1-py3-none-any.whl",
    ];
    assert_eq!(names(&home.join("d")), wanted);

    let changed = std::fs::read_to_string(home.join("requirements.txt")).unwrap();
    let sum = changed.split("sha256:").nth(1).unwrap()[..64].to_owned();
    std::fs::write(
        home.join("requirements.txt"),
        changed.replace(&sum, &"0".repeat(64)),
    )
    .unwrap();
    let refused = pip(
        &python,
        &home,
        &[
            "install",
            "--target",
            "bad",
            "--require-hashes",
            "-r",
            "requirements.txt",
        ],
    );
    assert!(fails(&refused).contains("DO NOT MATCH"));
}

#[test]
fn uv_installs_pins_in_both_forms() {
    let Some(program) = tool("uv") else { return };
    let python = program.with_file_name("python");
    let folder = Folder::new("pypi-uv");
    // The pins are for the minor version that the lock is for.
    let mut shelf = Shelf::new(&world());
    let mut version = client(&python, &folder.0);
    version.args(["-c", "import platform; print(platform.python_version())"]);
    shelf.lock.target.python = Some(ok(&version.output().unwrap()).trim().to_owned());
    publish(&[shelf], &folder.0, BASE);
    let served = Served::start(&folder.0, 8);
    let home = home(&folder, "home", &served.url());
    let machine = if cfg!(target_arch = "x86_64") {
        "linux-amd64"
    } else {
        "linux-arm64"
    };
    for name in ["requirements.txt", "pylock.toml"] {
        let (status, _, pinned) = served.get(&format!("/pins/python/1/pypi/{machine}/{name}"));
        assert_eq!(status, 200);
        std::fs::write(home.join(name), pinned).unwrap();
    }
    let pylock = std::fs::read_to_string(home.join("pylock.toml")).unwrap();
    assert!(
        pylock.contains(&served.url()) && !pylock.contains(BASE),
        "{pylock}"
    );

    ok(&uv(
        &program,
        &home,
        &["pip", "install", "--target", "open", "app[fast]"],
    ));
    assert_eq!(run_app(&python, &home, "open"), "app 1.0 1.0+local.1\n");
    ok(&uv(
        &program,
        &home,
        &[
            "pip",
            "install",
            "--target",
            "pinned",
            "--require-hashes",
            "-r",
            "requirements.txt",
        ],
    ));
    assert_eq!(run_app(&python, &home, "pinned"), "app 1.0 1.0+local.1\n");
    ok(&uv(
        &program,
        &home,
        &["pip", "sync", "--target", "synced", "pylock.toml"],
    ));
    assert_eq!(run_app(&python, &home, "synced"), "app 1.0 1.0+local.1\n");
    ok(&uv(
        &program,
        &home,
        &["pip", "install", "--target", "locked", "-r", "pylock.toml"],
    ));
    assert_eq!(run_app(&python, &home, "locked"), "app 1.0 1.0+local.1\n");

    let later = pylock.replace("requires-python = \"==3.", "requires-python = \"==9.");
    assert_ne!(later, pylock);
    std::fs::write(home.join("pylock.toml"), later).unwrap();
    fails(&uv(
        &program,
        &home,
        &["pip", "sync", "--target", "later", "pylock.toml"],
    ));

    let other = if machine == "linux-amd64" {
        "linux-arm64"
    } else {
        "linux-amd64"
    };
    let (_, _, pinned) = served.get(&format!("/pins/python/1/pypi/{other}/pylock.toml"));
    std::fs::write(home.join("pylock.toml"), pinned).unwrap();
    fails(&uv(
        &program,
        &home,
        &[
            "pip",
            "sync",
            "--no-cache",
            "--target",
            "other",
            "pylock.toml",
        ],
    ));
    // Our reader and uv agree about the document.
    let read = pylock::parse("pylock.toml", pylock.as_bytes()).unwrap();
    assert_eq!(read.lock.packages.len(), 4);
}

#[test]
fn any_web_server_is_enough_and_metadata_spares_pip_the_wheels() {
    let Some(python) = tool("python") else { return };
    let folder = Folder::new("pypi-static");
    // The newest `back` does not go together with the application: pip finds out without its wheel.
    let mut wheels = world();
    wheels.push(Wheel::new("back", "1.0"));
    wheels.push(Wheel::new("back", "2.0").header("Requires-Dist: lib<1"));
    publish(&[Shelf::new(&wheels)], &folder.0, BASE);
    let plain = Plain::start(&python, &folder.0);
    let home = home(&folder, "home", &plain.url);
    ok(&pip(
        &python,
        &home,
        &["install", "--target", "open", "App[fast]", "back"],
    ));
    assert_eq!(run_app(&python, &home, "open"), "app 1.0 1.0+local.1\n");
    let log = plain.log();
    let asked = |file: &str| log.contains(&format!("GET /pypi/files/back/{file} "));
    assert!(asked("back-2.0-py3-none-any.whl.metadata"), "{log}");
    assert!(!asked("back-2.0-py3-none-any.whl"), "{log}");
    assert!(asked("back-1.0-py3-none-any.whl"), "{log}");

    let plain = Plain::start(&python, &folder.0);
    let home = self::home(&folder, "other", &plain.url);
    let program = tool("uv").unwrap();
    ok(&uv(
        &program,
        &home,
        &["pip", "install", "--target", "uv", "app[fast]"],
    ));
    assert_eq!(run_app(&python, &home, "uv"), "app 1.0 1.0+local.1\n");
    plain.log();
}

#[test]
fn pip_and_uv_install_in_a_namespace_without_network() {
    let (Some(python), Some(uv)) = (tool("python"), tool("uv")) else {
        return;
    };
    let probe = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", "ip link set lo up"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        skip("this host gives no network namespace");
        return;
    }
    let folder = Folder::new("pypi-alone");
    // An address that pip does not trust unless its configuration says so.
    let url = "http://10.9.8.7:8080";
    publish(&[Shelf::new(&world())], &folder.join("repo"), url);
    let home = home(&folder, "home", url);
    let script = "set -eu; ip link set lo up; ip address add 10.9.8.7/32 dev lo
        \"$1\" repo serve --repo ../repo --listen 10.9.8.7:8080 2>served & server=$!
        trap 'kill $server' EXIT
        for i in 1 2 3 4 5 6 7 8 9 10; do test -s served && break; sleep 0.2; done
        \"$2\" -m pip install --target pip 'App[fast]' >&2
        \"$3\" pip install --python \"$2\" --target uv 'App[fast]' >&2
        PYTHONPATH=pip \"$2\" -c 'import app'; PYTHONPATH=uv \"$2\" -c 'import app'";
    let mut alone = client(Path::new("unshare"), &home);
    alone.args(["--map-root-user", "--net", "sh", "-c", script, "sh"]);
    alone.arg(env!("CARGO_BIN_EXE_stage")).arg(python).arg(uv);
    let output = alone.output().unwrap();
    ok(&output);
    assert_eq!(
        text(&output.stdout),
        "app 1.0 1.0+local.1\napp 1.0 1.0+local.1\n"
    );
}

/// A pip that only installs what its test asks of it cannot be made here: the real one's wheel, from its own package.
fn pip_wheel(python: &Path, folder: &Folder) -> Option<(String, Vec<u8>)> {
    let script = "import base64, hashlib, importlib.metadata as m, sys, zipfile
d = m.distribution('pip')
name = f'pip-{d.version}-py3-none-any.whl'
with zipfile.ZipFile(sys.argv[1] + '/' + name, 'w') as z:
    for f in d.files:
        if f.parts[0] != '..' and '__pycache__' not in f.parts and f.name not in ('INSTALLER', 'REQUESTED', 'direct_url.json'):
            data = f.locate().read_bytes()
            if f.name == 'RECORD':
                data = ''.join(l + '\\n' for l in data.decode().splitlines() if not l.startswith('../') and '__pycache__' not in l and 'INSTALLER' not in l and 'REQUESTED' not in l).encode()
            z.writestr(str(f), data)
print(d.version)";
    let mut command = client(python, &folder.0);
    command.args(["-c", script]).arg(&folder.0);
    let version = ok(&command.output().unwrap()).trim().to_owned();
    let bytes = std::fs::read(folder.join(format!("pip-{version}-py3-none-any.whl"))).ok()?;
    Some((version, bytes))
}

#[test]
fn a_host_whose_python_has_no_pip_gets_it_from_the_repository() {
    let Some(python) = tool("python") else { return };
    let folder = Folder::new("pypi-bootstrap");
    let (version, bytes) = pip_wheel(&python, &folder).unwrap();
    let sum = stage::base::digest::Digest::of(&bytes).hex();
    let mut wheels = world();
    wheels.push(Wheel::ready("pip", version.leak(), bytes));
    publish(&[Shelf::new(&wheels)], &folder.join("repo"), BASE);
    let served = Served::start(&folder.join("repo"), 8);
    let (status, _, script) = served.get("/bootstrap/python.sh");
    assert_eq!(status, 200);
    let home = folder.join("bare");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("python.sh"), &script).unwrap();
    let run = || {
        let mut command = client(Path::new("sh"), &home);
        command
            .arg("python.sh")
            .env("PYTHON", &python)
            .output()
            .unwrap()
    };
    let said = ok(&run());
    assert!(said.contains("Installed pip"), "{said}");
    let made = home.join(".local/share/stage-python/bin/python");
    ok(&pip(&made, &home, &["install", "App[fast]"]));
    let mut app = client(&made, &home);
    assert_eq!(
        ok(&app.args(["-c", "import app"]).output().unwrap()),
        "app 1.0 1.0+local.1\n"
    );
    let again = ok(&run());
    assert!(
        again.contains("is there") && !again.contains("Installed"),
        "{again}"
    );

    let wrong = text(&script).replace(&sum, &"0".repeat(64));
    std::fs::write(home.join("python.sh"), wrong).unwrap();
    std::fs::remove_dir_all(home.join(".local")).unwrap();
    let said = fails(&run());
    assert!(said.contains("has other bytes than the bundle"), "{said}");
    assert!(!made.with_file_name("pip").exists());
    let none = render(&[Shelf::new(&world())], BASE).unwrap();
    assert!(!none.iter().any(|file| file.path.starts_with("bootstrap/")));
}

#[test]
fn export_writes_to_stdout_or_a_folder_and_says_what_it_must_know() {
    let world = World::new("pypi-export");
    let shelf = Shelf::new(&self::world());
    std::fs::create_dir(world.path("stage.records")).unwrap();
    std::fs::write(world.path("stage.records/pypi.json"), &shelf.records).unwrap();
    let lock = stage::lock::format::write(&shelf.lock);
    std::fs::write(world.path("stage.lock"), lock).unwrap();
    let requirements = [
        "export",
        "--as",
        "requirements",
        "--platform",
        "linux/arm64",
    ];
    let shown = text(&world.ok(&requirements).stdout);
    assert!(
        shown.contains("\nplat==1.0 \\\n    --hash=sha256:"),
        "{shown}"
    );
    world.ok(&[&requirements[..], &["-o", "out"]].concat());
    let written = std::fs::read_to_string(world.path("out/requirements.txt")).unwrap();
    assert_eq!(written, shown);
    let url = "https://repo.example/stage/";
    let pylock = [
        "export",
        "--as",
        "pylock",
        "--platform",
        "linux/amd64",
        "--base-url",
        url,
    ];
    let shown = text(&world.ok(&pylock).stdout);
    assert!(shown.contains("https://repo.example/stage/pypi/files/app/app-1.0-py3-none-any.whl"));
    for (arguments, word) in [
        (&["export", "--as", "requirements"][..], "--platform"),
        (&pylock[..5], "--base-url"),
        (&["export", "--as", "package-lock"], "no packages of npm"),
        (&["export", "--as", "nothing"], "possible values"),
    ] {
        let output = world.stage(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(word),
            "{}",
            text(&output.stderr)
        );
    }
}

/// `CPython` 3.12 on Linux.
fn environment() -> pep508_rs::MarkerEnvironment {
    let builder = pep508_rs::MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: "3.12.0",
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: "3.12.0",
        python_version: "3.12",
        sys_platform: "linux",
    };
    builder.try_into().unwrap()
}

#[test]
fn what_uv_writes_is_read() {
    let Some(program) = tool("uv") else { return };
    let folder = Folder::new("pypi-foreign");
    publish(&[Shelf::new(&world())], &folder.0, BASE);
    let served = Served::start(&folder.0, 8);
    let home = home(&folder, "home", &served.url());
    let project = "[project]\nname = \"proj\"\nversion = \"0.1.0\"\nrequires-python = \">=3.8\"\n\
        dependencies = [\"app[fast]\", \"plat ; platform_machine == 'x86_64'\"]\n\
        [dependency-groups]\ndev = [\"plat\"]\n";
    std::fs::write(home.join("pyproject.toml"), project).unwrap();
    ok(&uv(&program, &home, &["lock"]));
    let expected = ["app 1.0", "lib 1.0", "plat 1.0", "zope-thing 1.0+local.1"];
    let shown = |found: &[foreign::Selected<'_>]| -> Vec<String> {
        let mut all: Vec<String> = found
            .iter()
            .map(|s| format!("{} {}", s.package.name, s.package.version.as_ref().unwrap()))
            .collect();
        all.sort();
        all
    };
    let wanted = foreign::Wanted::default();
    let bytes = std::fs::read(home.join("uv.lock")).unwrap();
    let lock = uv_lock::parse("uv.lock", &bytes).unwrap();
    let found = lock.select("uv.lock", &environment(), &wanted).unwrap();
    assert_eq!(shown(&found), expected, "{}", text(&bytes));
    let plat = found
        .iter()
        .find(|s| s.package.name.as_str() == "plat")
        .unwrap();
    assert_eq!(plat.package.files.len(), 2);
    assert!(
        found
            .iter()
            .all(|s| s.package.files.values().all(|f| f.sha256.is_some()))
    );

    let export = |form: &str, name: &str| {
        ok(&uv(
            &program,
            &home,
            &[
                "export",
                "--no-dev",
                "--no-emit-project",
                "--format",
                form,
                "-o",
                name,
            ],
        ));
        std::fs::read(home.join(name)).unwrap()
    };
    let bytes = export("pylock.toml", "pylock.toml");
    let read = pylock::parse("pylock.toml", &bytes).unwrap();
    let found = read
        .lock
        .select("pylock.toml", &environment(), &wanted)
        .unwrap();
    assert_eq!(shown(&found), expected, "{}", text(&bytes));

    let bytes = export("requirements.txt", "requirements.txt");
    let files = BTreeMap::from([("requirements.txt".to_owned(), bytes)]);
    let read = requirements_txt::read("requirements.txt", &files).unwrap();
    let requirements_txt::Progress::Whole(read) = read else {
        panic!("{read:?}")
    };
    assert!(read.require_hashes && read.direct.is_empty());
    let names: std::collections::BTreeSet<_> = read
        .wanted
        .iter()
        .map(|w| w.requirement.name.to_string())
        .collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["app", "lib", "plat", "zope-thing"]
    );
    assert!(read.wanted.iter().all(|w| !w.hashes.is_empty()));
}

#[test]
fn a_bundle_is_imported_and_every_client_reaches_it() {
    let Some(python) = tool("python") else { return };
    let world = World::new("pypi-import");
    let shelf = Shelf::new(&self::world());
    let content = Content {
        ecosystem: &PyPi,
        lock: &shelf.lock,
        records: &shelf.records,
        blobs: &shelf.blobs,
    };
    let (code, said) = world.import(&world.bundle_of(&content, "python", 1));
    assert_eq!(code, 0, "{said}");
    let served = Served::start(&world.repo(), 8);
    let (repo, root) = (world.text("repo"), world.text("root.json"));
    world.ok(&[
        "repo",
        "init",
        "--repo",
        &repo,
        "--trust",
        &root,
        "--accept-unchecked-root",
        "--base-url",
        &served.url(),
    ]);
    let home = world.path("home");
    let config = ["repo", "client-config", "--repo", &repo, "--install-to"];
    world.ok(&[&config[..], &[home.to_str().unwrap()]].concat());
    let path = format!(
        "{}:{}",
        python.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let check = |home: &Path| {
        let mut command =
            world.command(&[&config[..], &[home.to_str().unwrap(), "--check"]].concat());
        text(&command.env("PATH", &path).output().unwrap().stdout)
    };
    let said = check(&home);
    for client in ["pip", "uv"] {
        let line = format!("is as expected; {client} reaches the repository");
        assert!(said.contains(&line), "{said}");
    }
    let (status, _, latest) = served.get("/pins/python/latest");
    assert_eq!((status, text(&latest).trim()), (200, "1"));

    ok(&pip(
        &python,
        &home,
        &["install", "--target", "open", "App[fast]"],
    ));
    assert_eq!(run_app(&python, &home, "open"), "app 1.0 1.0+local.1\n");
    drop(served);
    let said = check(&home);
    for client in ["pip", "uv"] {
        let line = format!("{client} does not reach the repository");
        assert!(said.contains(&line), "{said}");
    }
}

/// One rendered text.
fn page(files: &[RepoFile], path: &str) -> String {
    let file = files.iter().find(|file| file.path == path);
    let RepoContent::Bytes(bytes) = &file.unwrap_or_else(|| panic!("{path}")).content else {
        panic!()
    };
    String::from_utf8(bytes.clone()).unwrap()
}

#[test]
fn pages_say_everything_in_both_forms() {
    let files = render(&[Shelf::new(&world())], BASE).unwrap();
    let html = page(&files, "pypi/simple/lib/index.html");
    for part in [
        "<meta name=\"pypi:repository-version\" content=\"1.1\">",
        "data-yanked=\"broken &amp; &quot;bad&quot; &lt;b&gt;\"",
        "data-requires-python=\"&gt;=4,&lt;5\"",
        "href=\"../../files/lib/lib-1.0-py3-none-any.whl#sha256=",
        " data-core-metadata=\"sha256=",
        " data-dist-info-metadata=\"sha256=",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    let project: Value = serde_json::from_str(&page(&files, "pypi/simple/lib/index.json")).unwrap();
    assert_eq!(project["meta"]["api-version"], "1.1");
    assert_eq!(project["versions"], json!(["1.0", "2.0", "3.0"]));
    let by_version = |version: &str| {
        let name = format!("lib-{version}-py3-none-any.whl");
        let all = project["files"].as_array().unwrap();
        all.iter()
            .find(|file| file["filename"] == name.as_str())
            .unwrap()
            .clone()
    };
    assert_eq!(by_version("2.0")["yanked"], "broken & \"bad\" <b>");
    assert_eq!(by_version("3.0")["requires-python"], ">=4,<5");
    let wheel = &world()[1];
    let metadata = page(&files, "pypi/files/lib/lib-1.0-py3-none-any.whl.metadata");
    assert_eq!(metadata, wheel.metadata());
    let sum = stage::base::digest::Digest::of(metadata.as_bytes()).hex();
    let entry = by_version("1.0");
    assert_eq!(entry["core-metadata"]["sha256"], sum);
    assert_eq!(
        (&entry["size"], entry.get("yanked")),
        (&json!(wheel.pack().len()), None)
    );
    assert!(html.contains(&sum));

    let local = page(&files, "pypi/simple/zope-thing/index.html");
    assert!(
        local.contains("href=\"../../files/zope-thing/zope_thing-1.0%2Blocal.1-py3-none-any.whl#"),
        "{local}"
    );
    let list: Value = serde_json::from_str(&page(&files, "pypi/simple/index.json")).unwrap();
    assert_eq!(
        list["projects"],
        json!([{"name": "app"}, {"name": "lib"}, {"name": "plat"}, {"name": "zope-thing"}])
    );
    assert!(
        page(&files, "pypi/simple/index.html").contains("<a href=\"zope-thing/\">zope-thing</a>")
    );
    let paths: std::collections::BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths.len(), files.len(), "a path stands twice");

    // An index that states no sizes cannot follow the newer version.
    let bare = render(
        &[Shelf::new(&[Wheel::new("a", "1").bare().yanked("")])],
        BASE,
    )
    .unwrap();
    let project: Value = serde_json::from_str(&page(&bare, "pypi/simple/a/index.json")).unwrap();
    assert_eq!(project["meta"]["api-version"], "1.0");
    assert_eq!(
        (project.get("versions"), &project["files"][0]["yanked"]),
        (None, &json!(true))
    );
    assert!(project["files"][0].get("core-metadata").is_none());
    assert!(!bare.iter().any(|file| file.path.ends_with(".metadata")));
    assert!(page(&bare, "pypi/simple/a/index.html").contains(" data-yanked=\"\""));
}

#[test]
fn the_server_answers_with_the_form_that_is_asked_for() {
    let folder = Folder::new("pypi-accept");
    publish(&[Shelf::new(&world())], &folder.0, BASE);
    let served = Served::start(&folder.0, 8);
    let get = |path: &str, accept: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        split(&served.raw(request.as_bytes()))
    };
    for (path, accept, kind, start) in [
        ("/pypi/simple/lib/", JSON, JSON, "{\"files\":"),
        (
            "/pypi/simple/lib/",
            "*/*",
            "text/html; charset=utf-8",
            "<!DOCTYPE html>",
        ),
        ("/pypi/simple/", JSON, JSON, "{\"meta\":"),
        (
            "/pypi/simple/",
            "text/html",
            "text/html; charset=utf-8",
            "<!DOCTYPE html>",
        ),
    ] {
        let (status, head, body) = get(path, accept);
        assert_eq!(status, 200);
        assert!(
            head.contains(&format!("\r\nContent-Type: {kind}\r\n")),
            "{head}"
        );
        assert!(head.contains("\r\nVary: Accept\r\n"), "{head}");
        assert!(body.starts_with(start.as_bytes()), "{}", text(&body));
    }
    let (status, head, _) = get("/pypi/simple/lib", JSON);
    assert!(
        status == 301 && head.ends_with("\r\nLocation: lib/"),
        "{head}"
    );
    assert_eq!(get("/pypi/simple/none/", JSON).0, 404);
}

#[test]
fn several_bundles_are_one_index() {
    let newer = Wheel::new("lib", "1.0").yanked("later").bare();
    let more = Wheel::new("lib", "1.1");
    let files = render(&[Shelf::new(&world()), Shelf::new(&[newer, more])], BASE).unwrap();
    let project: Value = serde_json::from_str(&page(&files, "pypi/simple/lib/index.json")).unwrap();
    let all = project["files"].as_array().unwrap();
    let names: Vec<&str> = all
        .iter()
        .map(|file| file["filename"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "lib-1.0-py3-none-any.whl",
            "lib-1.1-py3-none-any.whl",
            "lib-2.0-py3-none-any.whl",
            "lib-3.0-py3-none-any.whl"
        ]
    );
    // What the later bundle says counts; the metadata that it does not have stays.
    assert_eq!(all[0]["yanked"], "later");
    assert!(all[0].get("core-metadata").is_some());

    let other = Wheel::new("lib", "1.0").module("VERSION = 'other'\n");
    let error = render(&[Shelf::new(&world()), Shelf::new(&[other])], BASE).unwrap_err();
    let EcoError::Conflict {
        file, older, newer, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (file.as_str(), older.as_str(), newer.as_str()),
        ("\"lib-1.0-py3-none-any.whl\"", "python 1", "python 2")
    );
}

#[test]
fn records_and_files_must_agree_with_the_lock() {
    let mut lost = Shelf::new(&world());
    lost.lose_files();
    render(&[lost], BASE).unwrap_err();
    let mut other = Shelf::new(&world());
    other.lock.packages[1].version = "9".to_owned();
    render(&[other], BASE).unwrap_err();
    let mut other = Shelf::new(&world());
    other.lock.packages[0].artifacts[0].file = "../app-1.0-py3-none-any.whl".to_owned();
    render(&[other], BASE).unwrap_err();
    let mut other = Shelf::new(&world());
    other.lock.packages[0].name = "App".to_owned();
    render(&[other], BASE).unwrap_err();
    let mut other = Shelf::new(&world());
    let sum = stage::base::digest::Digest::of(b"other");
    other.lock.packages[0].artifacts[0].checksum =
        stage::base::digest::UpstreamChecksum::Sha256(sum);
    render(&[other], BASE).unwrap_err();
}

#[test]
fn pins_are_those_of_one_install_on_one_platform() {
    let wheels = [
        Wheel::new("a", "1.0").at(&["1:linux/amd64", "1:linux/arm64"]),
        Wheel::new("a", "2.0").at(&["2:linux/amd64"]),
        Wheel::new("p", "1.0")
            .tags("cp311-cp311-manylinux_2_17_x86_64")
            .at(&["1:linux/amd64"]),
        Wheel::new("p", "1.0")
            .tags("cp311-cp311-manylinux_2_17_aarch64")
            .at(&["1:linux/amd64"]),
    ];
    let shelf = Shelf::new(&wheels);
    let files = pins::pins(&shelf.view(1), BASE).unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let places = ["1/linux-amd64", "1/linux-arm64", "2/linux-amd64"];
    let expected: Vec<String> = places
        .iter()
        .flat_map(|p| {
            [
                format!("pypi/{p}/requirements.txt"),
                format!("pypi/{p}/pylock.toml"),
            ]
        })
        .collect();
    assert_eq!(paths, expected);
    let amd64 = page(&files, "pypi/1/linux-amd64/requirements.txt");
    assert!(
        amd64.contains("a==1.0 \\\n    --hash=sha256:") && amd64.contains("\np==1.0 \\\n"),
        "{amd64}"
    );
    assert_eq!(amd64.matches("--hash=").count(), 2, "{amd64}");
    assert!(!page(&files, "pypi/1/linux-arm64/requirements.txt").contains("p=="));
    assert!(page(&files, "pypi/2/linux-amd64/requirements.txt").contains("a==2.0"));
    let pylock = page(&files, "pypi/1/linux-arm64/pylock.toml");
    assert!(pylock.contains("platform_machine == 'aarch64'"), "{pylock}");

    let request = ExportRequest {
        form: "requirements",
        lock: &shelf.lock,
        records: &shelf.records,
        install: 1,
        platform: None,
        base_url: None,
    };
    let error = PyPi.export(&request).unwrap_err().to_string();
    assert!(error.contains("--platform"), "{error}");
    let platform = Some(Platform::LinuxAmd64);
    let exported = PyPi
        .export(&ExportRequest {
            platform,
            ..request
        })
        .unwrap();
    assert_eq!(
        (exported[0].name.as_str(), &exported[0].text),
        ("requirements.txt", &amd64)
    );
    let second = ExportRequest {
        install: 2,
        ..request
    };
    assert!(PyPi.export(&second).unwrap()[0].text.contains("a==2.0"));
    let pylock = ExportRequest {
        form: "pylock",
        ..second
    };
    let error = PyPi.export(&pylock).unwrap_err().to_string();
    assert!(error.contains("--base-url"), "{error}");
    let exported = PyPi
        .export(&ExportRequest {
            base_url: Some(BASE),
            ..pylock
        })
        .unwrap();
    assert!(
        exported[0]
            .text
            .contains(&format!("{BASE}/pypi/files/a/a-2.0-py3-none-any.whl"))
    );
    PyPi.export(&ExportRequest {
        install: 3,
        ..request
    })
    .unwrap_err();
    PyPi.export(&ExportRequest {
        install: 2,
        platform: Some(Platform::LinuxArm64),
        ..request
    })
    .unwrap_err();

    // One environment needs no folders, and a release that has no file for its platform is no pin.
    let one = Shelf::new(&wheels[1..2]);
    assert_eq!(
        pins::pins(&one.view(1), BASE).unwrap()[0].path,
        "pypi/requirements.txt"
    );
    let wrong = Shelf::new(&[wheels[3].clone()]);
    pins::pins(&wrong.view(1), BASE).unwrap_err();
}

#[test]
fn what_a_release_says_of_itself_is_in_the_facts() {
    let shelf = Shelf::new(&world());
    let facts = PyPi.facts(&shelf.records).unwrap();
    let app = &facts[&"app@1.0".parse().unwrap()];
    assert_eq!(app.license.as_deref(), Some("MIT"));
    assert_eq!(app.files.len(), 1);
    assert_eq!(facts[&"plat@1.0".parse().unwrap()].files.len(), 2);
    let text = String::from_utf8(shelf.records.clone()).unwrap();
    records::parse(
        text.replace("License-Expression: MIT", "License-Expression: BSD")
            .as_bytes(),
    )
    .unwrap_err();
}
