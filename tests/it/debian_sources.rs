//! Where Debian packages come from: mirrors, archives behind a password, sources that have less than they are asked for,
//! sources that are left out, archives that do not answer.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;
use stage::base::digest::Digest;
use stage::net::HttpUpstream;
use stage::net::settings::Settings;
use stage::upstream::{Request, Upstream as _, UpstreamError, Want};

use crate::debian_archive::{Archive, BROKEN, Deb, Suite, key};
use crate::debian_chain::{BOTH, debian, lock, manifest, resolve, resolved};
use crate::loopback::{Reply, Server, dead_port};
use crate::packages::Folder;
use crate::programs::Program;
use crate::world::World;

/// Makes the sources of the manifest have a mirror.
fn mirrored(world: &World, mirror: &str) {
    let path = world.path("stage.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = format!("[[debian.source]]\nmirror = [\"{mirror}\"]\n");
    std::fs::write(path, text.replace("[[debian.source]]\n", &line)).unwrap();
}

/// The manifest with another address than the archive's.
fn moved(world: &World, archive: &Archive, address: &str) {
    let path = world.path("stage.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace(&archive.server.url(), address)).unwrap();
}

fn forget(world: &World) {
    std::fs::remove_dir_all(world.path("home/.cache")).unwrap();
    std::fs::remove_file(world.path("stage.lock")).unwrap_or_default();
}

/// Exit code and report of `stage fetch`.
fn fetch(world: &World) -> (i32, Value) {
    let output = world.stage(&["fetch", "--format", "json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), report)
}

#[test]
fn a_mirror_gives_what_the_first_address_does_not_have_and_never_other_bytes() {
    let world = World::new("debian-mirror");
    let (first, mirror) = (
        Archive::new(&debian(), &key(1)),
        Archive::new(&debian(), &key(1)),
    );
    manifest(&world, &first, BOTH, "packages = [\"app\"]");
    resolved(&world, &[]);
    let whole = lock(&world);
    mirrored(&world, &mirror.server.url());
    // Nobody there; a server that fails; one that lacks indexes and packages.
    let files = first.files.lock().unwrap().clone();
    let nobody = format!("http://127.0.0.1:{}/", dead_port());
    moved(&world, &first, &nobody);
    forget(&world);
    resolved(&world, &[]);
    assert_eq!((lock(&world), fetch(&world).0), (whole.clone(), 0));
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    let back = text.replace(&nobody, &first.server.url());
    std::fs::write(world.path("stage.toml"), back).unwrap();
    for lacks in [&["dists/", "pool/"][..], &["by-hash/", "pool/"]] {
        let bare = |path: &String| !lacks.iter().any(|part| path.contains(part));
        *first.files.lock().unwrap() = if lacks[0] == "dists/" {
            let broken = |path: &String| (path.clone(), BROKEN.to_vec());
            files.keys().map(broken).collect()
        } else {
            let kept = files.iter().filter(|(path, _)| bare(path));
            kept.map(|(path, bytes)| (path.clone(), bytes.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        forget(&world);
        resolved(&world, &[]);
        assert_eq!((lock(&world), fetch(&world).0), (whole.clone(), 0));
    }
    // The first has other indexes by the name than its release says; the mirror has the right ones by their digest.
    let asked = mirror.asked();
    assert!(asked.iter().any(|a| a.contains("by-hash")), "{asked:?}");
    // A mirror that gives other bytes is believed no more than anybody else.
    let reversed = |bytes: &Vec<u8>| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let deb = "pool/main/a/app/app_1.0-1_amd64.deb";
    mirror.change(deb, |bytes| *bytes = reversed(bytes));
    std::fs::remove_dir_all(world.path("home/.cache")).unwrap();
    let (code, report) = fetch(&world);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (4, "fetch-digest-mismatch"), "{report:#}");
    mirror.publish(&debian(), &key(1));
    let indexes: Vec<String> = files
        .keys()
        .filter(|path| path.contains("bookworm/main/binary-amd64/"))
        .cloned()
        .collect();
    *first.files.lock().unwrap() = BTreeMap::new();
    for path in indexes {
        mirror.change(&path, |bytes| *bytes = reversed(bytes));
    }
    *first.files.lock().unwrap() = files.keys().map(|p| (p.clone(), BROKEN.to_vec())).collect();
    forget(&world);
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (4, "upstream-debian-index"), "{report:#}");
    assert!(!world.path("stage.lock").exists());
}

#[test]
fn a_file_by_its_digest_is_looked_for_at_the_mirrors_and_a_document_is_not() {
    let absent = Server::new(|_| Reply::status(404));
    let mirror = Server::new(|_| Reply::ok("mirror"));
    let folder = Folder::new("debian-by-digest");
    let mut settings = Settings::new(folder.join("cache"));
    settings.set_upstream("debian", &absent.url()).unwrap();
    settings.add_mirror("debian", &mirror.url()).unwrap();
    let mut upstream = HttpUpstream::new(settings).unwrap();
    let mut ask = |want: Want, path: &str| {
        upstream.submit(Request {
            upstream: "debian".to_owned(),
            path: path.to_owned(),
            accept: None,
            limit: 1000,
            want,
            link: None,
        });
        upstream.next_answer().unwrap().1
    };
    let found = ask(Want::Immutable, "dists/s/by-hash/SHA256/00").unwrap();
    assert_eq!(found.into_bytes().unwrap(), b"mirror");
    let missing = ask(Want::Document, "dists/s/InRelease").unwrap_err();
    assert!(matches!(missing, UpstreamError::NotFound { .. }));
    // It has answered, and is asked first again.
    assert_eq!((absent.asked().len(), mirror.asked().len()), (2, 1));
}

const SECRET: &str = "W0rd-of-the-agency";

/// An archive that shows its files to those who know the password, and its packages from another host.
fn guarded(elsewhere: &str) -> Server {
    let wanted = format!("Basic {}", BASE64.encode(format!("me:{SECRET}").as_bytes()));
    let elsewhere = elsewhere.to_owned();
    let files: BTreeMap<String, Vec<u8>> =
        debian().iter().flat_map(|s| s.publish(&key(1))).collect();
    Server::new(move |asked| {
        if asked.header("authorization") != Some(&wanted) {
            return Reply::status(401);
        }
        let path = asked.target.trim_start_matches("/debian/");
        if path.starts_with("pool/") {
            return Reply::status(302).with("Location", format!("{elsewhere}{path}"));
        }
        let found = files.get(path).cloned();
        found.map_or_else(|| Reply::status(404), Reply::ok)
    })
}

#[test]
fn passwords_of_apt_are_shown_to_their_archive_alone_and_written_nowhere() {
    let world = World::new("debian-auth");
    let elsewhere = Archive::new(&debian(), &key(1));
    let server = guarded(&elsewhere.server.url());
    manifest(&world, &elsewhere, BOTH, "packages = [\"app\"]");
    moved(&world, &elsewhere, &format!("{}debian", server.url()));
    let etc = world.path("etc");
    std::fs::create_dir_all(etc.join("auth.conf.d")).unwrap();
    std::fs::write(
        world.path("apt.conf"),
        format!("Dir::Etc \"{}\";\n", etc.display()),
    )
    .unwrap();
    let stage = |args: &[&str]| {
        let mut command = world.command(args);
        command.args(["-vv", "--format", "json"]);
        let output = command
            .env("APT_CONFIG", world.path("apt.conf"))
            .output()
            .unwrap();
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            let sent = BASE64.encode(format!("me:{SECRET}").as_bytes());
            assert!(!said.contains(SECRET) && !said.contains(&sent), "{said}");
        }
        output.status.code().unwrap()
    };
    let login = |machine: &str| format!("machine {machine}\nlogin me\npassword {SECRET}\n");
    let place = format!("{}debian", server.url());
    // Not for this archive: another path, another scheme (https is what apt takes where none is named), another
    // port, and a file that apt does not read.
    let host = format!("127.0.0.1:{}", server.port);
    for other in [
        format!("{}other", server.url()),
        host.clone(),
        format!("{}deb", server.url()),
        format!("http://127.0.0.1:{}", elsewhere.server.port),
    ] {
        std::fs::write(etc.join("auth.conf"), login(&other)).unwrap();
        assert_eq!(stage(&["resolve"]), 1, "{other}");
    }
    std::fs::remove_file(etc.join("auth.conf")).unwrap();
    std::fs::write(etc.join("auth.conf.d/old.bak"), login(&place)).unwrap();
    assert_eq!(stage(&["resolve"]), 1);
    let shown = server
        .asked()
        .iter()
        .any(|a| a.header("authorization").is_some());
    assert!(!shown);
    for (file, machine) in [
        ("auth.conf", format!("{place}/")),
        ("auth.conf.d/agency.conf", format!("http://{host}")),
    ] {
        std::fs::write(etc.join(file), login(&machine)).unwrap();
        for done in ["stage.lock", "home/.cache"] {
            let path = world.path(done);
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
            removed.unwrap_or_default();
        }
        assert_eq!(stage(&["resolve"]), 0, "{file}");
        assert_eq!(stage(&["fetch"]), 0, "{file}");
        std::fs::remove_file(etc.join(file)).unwrap();
    }
    // Redirects lead to the other host without it.
    let asked = elsewhere.server.asked();
    assert!(asked.iter().any(|a| a.target.contains("/pool/")));
    assert!(asked.iter().all(|a| a.header("authorization").is_none()));
    let mut seen = 0;
    let mut folders = vec![world.path("home"), world.path("stage.records")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(SECRET), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 5 && !lock(&world).contains(SECRET));
}

#[test]
fn a_source_that_has_less_than_it_is_asked_for_is_read_with_a_warning() {
    let world = World::new("debian-less");
    // The second archive is for one architecture only, as those of vendors often are.
    let vendor = Suite {
        fields: "Suite: stable\nCodename: stable\n".to_owned(),
        ..Suite::new("stable", "stable")
    };
    let archive = Archive::new(&debian(), &key(1));
    let vendor = vendor.with("main", &[Deb::new("tool", "9-1", "amd64")]);
    let mut files = vendor.publish(&key(1));
    let release = String::from_utf8(files["dists/stable/Release"].clone()).unwrap();
    let narrow: String = release
        .lines()
        .filter(|line| !line.contains("binary-arm64"))
        .map(|line| format!("{line}\n").replace("amd64 arm64", "amd64"))
        .collect();
    let signed = key(1).sign_cleartext(&narrow, vendor.date).unwrap();
    files.insert("dists/stable/InRelease".to_owned(), signed.into_bytes());
    archive.files.lock().unwrap().extend(files);
    let suites = "\"bookworm\", \"bookworm-security\", \"stable\"";
    manifest(
        &world,
        &archive,
        suites,
        "packages = [\"app\", { spec = \"tool\", platforms = [\"linux/amd64\"] }]",
    );
    let path = world.path("stage.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "[\"linux/amd64\"]\nglibc",
        "[\"linux/amd64\", \"linux/arm64\"]\nglibc",
    );
    std::fs::write(&path, text.replace("[\"main\"]", "[\"main\", \"contrib\"]")).unwrap();
    let report = resolved(&world, &[]);
    let all = report["findings"].as_array().unwrap().iter();
    let said: Vec<String> = all
        .map(|f| {
            let text = |key: &str| f[key].as_str().unwrap();
            assert_eq!(f["code"], "debian-no-index");
            format!(
                "{} {}: {}",
                text("severity"),
                text("subject"),
                text("message")
            )
        })
        .collect();
    let expected = [
        "warn debian dists/bookworm-security/InRelease: has no component \"contrib\" for amd64",
        "warn debian dists/bookworm-security/InRelease: has no component \"contrib\" for arm64",
        "warn debian dists/bookworm/InRelease: has no component \"contrib\" for amd64",
        "warn debian dists/bookworm/InRelease: has no component \"contrib\" for arm64",
        "warn debian dists/stable/InRelease: has no component \"contrib\" for amd64",
        "note debian dists/stable/InRelease: has no packages for arm64, so \"contrib\" is not read for it",
        "note debian dists/stable/InRelease: has no packages for arm64, so \"main\" is not read for it",
    ];
    assert_eq!(said, expected);
    assert!(lock(&world).contains("name = \"tool\""));
    // What only that source would have is not found for the other platform, and says so.
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "{ spec = \"tool\", platforms = [\"linux/amd64\"] }",
        "\"tool\"",
    );
    std::fs::write(&path, text).unwrap();
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (1, "upstream-debian-not-found"), "{report:#}");
    // A suite that the archive does not have is an error, as it is for apt.
    manifest(
        &world,
        &archive,
        "\"bookworm\", \"bookwurm\"",
        "packages = [\"app\"]",
    );
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (1, "upstream-debian-no-release"), "{report:#}");
    // So is an index that the release lists and the archive does not give.
    manifest(&world, &archive, "\"bookworm\"", "packages = [\"app\"]");
    archive
        .files
        .lock()
        .unwrap()
        .retain(|path, _| !path.contains("bookworm/main/binary-amd64/"));
    forget(&world);
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (1, "upstream-not-found"), "{report:#}");
}

#[test]
fn sources_of_the_host_that_are_left_out_are_named() {
    let world = World::new("debian-skipped");
    let archive = Archive::new(&debian(), &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    let (head, _) = text.split_once("[[debian.source]]").unwrap();
    std::fs::write(world.path("stage.toml"), head).unwrap();
    let etc = world.path("etc");
    std::fs::create_dir_all(etc.join("sources.list.d")).unwrap();
    let keys = world.text("archive.asc");
    let lines = format!(
        "deb cdrom:[Debian_12]/ bookworm main\ndeb-src file:/srv/src bookworm main\n# deb copy:/off bookworm main\n\
         deb [signed-by={keys}] {} bookworm main\n",
        archive.server.url()
    );
    std::fs::write(etc.join("sources.list"), lines).unwrap();
    let stanza = "Types: deb\nURIs: file:/srv/debian mirror+file:/etc/mirrors.txt ftp://me:W0rd@ftp.example/debian\n\
                  Suites: bookworm\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: copy:/off\n";
    std::fs::write(etc.join("sources.list.d/local.sources"), stanza).unwrap();
    std::fs::write(
        world.path("apt.conf"),
        format!("Dir::Etc \"{}\";\n", etc.display()),
    )
    .unwrap();
    for args in [&["resolve"][..], &["init", "-o", "new.toml"]] {
        let mut command = world.command(args);
        let output = command
            .env("APT_CONFIG", world.path("apt.conf"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let expected = "warning: apt sources of this host that are not reached by http or https are left out: \
                        \"cdrom:[Debian_12]/\", \"file:/srv/debian\", \"mirror+file:/etc/mirrors.txt\", \
                        \"ftp://ftp.example/debian\"\n";
        assert!(said.contains(expected), "{said}");
    }
    assert!(lock(&world).contains("name = \"app\""));
    let made = std::fs::read_to_string(world.path("new.toml")).unwrap();
    assert!(
        made.contains(archive.server.url().trim_end_matches('/')) && !made.contains("W0rd"),
        "{made}"
    );
}

#[test]
fn an_archive_that_does_not_answer_ends_in_an_error_and_nothing_is_written() {
    // The program: a host that takes the connection and says nothing is given up, and named.
    let world = World::new("debian-hang");
    let archive = Archive::new(&debian(), &key(1));
    let silent = Server::new(|_| Reply {
        delay: 60_000,
        ..Reply::status(200)
    });
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    moved(&world, &archive, &silent.url());
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (1, "upstream-unreachable"), "{report:#}");
    assert!(report["errors"][0].to_string().contains("no answer within"));
    assert!(!world.path("stage.lock").exists() && !world.path("stage.records").exists());
    // An index that never comes, although the release did.
    let files: BTreeMap<String, Vec<u8>> =
        debian().iter().flat_map(|s| s.publish(&key(1))).collect();
    let stuck = Server::new(move |asked| {
        let found = files.get(asked.target.trim_start_matches('/'));
        let delay = if asked.target.contains("/by-hash/") {
            60_000
        } else {
            0
        };
        let reply = found.map_or_else(|| Reply::status(404), |bytes| Reply::ok(bytes.clone()));
        Reply { delay, ..reply }
    });
    let folder = Folder::new("debian-stuck");
    let mut settings = Settings::new(folder.join("cache"));
    settings.set_upstream("debian", &stuck.url()).unwrap();
    settings.timing.stall = Duration::from_millis(100);
    settings.timing.backoff = Duration::from_millis(1);
    let mut upstream = HttpUpstream::new(settings).unwrap();
    let mut resolver = stage::eco::debian::resolve::resolver(request()).unwrap();
    let error = loop {
        for request in resolver.take_requests() {
            upstream.submit(request);
        }
        let (request, answer) = upstream.next_answer().unwrap();
        if let Err(error) = resolver.answer(&request, answer) {
            break error;
        }
    };
    assert_eq!(error.code().name, "upstream-failed");
    assert!(
        error.to_string().contains("nothing came for")
            || format!("{:?}", error.facts()).contains("nothing came")
    );
}

#[test]
fn hints_for_missing_libraries_name_what_the_suites_have() {
    let world = World::new("debian-hints");
    let libraries = [
        Deb::new("libx11-6", "1-1", "amd64"),
        Deb::new("libxkbcommon0t64", "1-1", "amd64"),
        Deb::new("libxi6", "1-1", "arm64"),
    ];
    let [main, security] = debian();
    let archive = Archive::new(&[main.with("contrib", &libraries), security], &key(1));
    let sonames = ["libX11.so.6", "libXi.so.6", "libxkbcommon.so.0"];
    let tool = Program::new(&sonames).bytes();
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    let path = world.path("stage.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let file = format!(
        "[[file]]\nurl = \"{}tool\"\nsha256 = \"{}\"\npath = \"bin/tool\"\n",
        archive.server.url(),
        Digest::of(&tool).hex()
    );
    archive
        .files
        .lock()
        .unwrap()
        .insert("tool".to_owned(), tool);
    let text = text.replace("[\"main\"]", "[\"main\", \"contrib\"]");
    std::fs::write(&path, format!("{text}{file}")).unwrap();
    resolved(&world, &[]);
    let hint = || {
        let (code, report) = fetch(&world);
        assert_eq!(code, 0, "{report:#}");
        let all = report["findings"].as_array().unwrap().iter();
        let mut found = all.filter(|f| f["code"] == "native-missing-library");
        let fix = found.next().unwrap()["fix"].as_str().unwrap().to_owned();
        assert!(found.next().is_none(), "{report:#}");
        fix
    };
    let looked_up = "stage it: `[debian] packages = [\"libx11-6\", \"libxkbcommon0t64\"]`, or let the image have it; the \
                     archives of this install have no package named after libXi.so.6";
    assert_eq!(hint(), looked_up);
    // Nobody was asked again for that: the indexes are those that resolving left in the cache.
    let indexes = |asked: &[String]| asked.iter().filter(|a| a.contains("dists/")).count();
    let before = indexes(&archive.asked());
    assert_eq!(hint(), looked_up);
    assert_eq!(indexes(&archive.asked()), before);
    // Without them, the names are called what they are.
    std::fs::remove_dir_all(world.path("home/.cache/stage/http")).unwrap();
    let guess = hint();
    assert!(
        guess.starts_with(
            "probably `[debian] packages = [\"libx11-6\", \"libxi6\", \"libxkbcommon0\"]`"
        ),
        "{guess}"
    );
    assert_eq!(indexes(&archive.asked()), before);
}

/// What `app` needs from the archive of these tests.
fn request() -> stage::eco::debian::resolve::DebianRequest {
    use stage::base::platform::{Libc, Platform, Target};
    use stage::eco::debian::resolve::{Archive, Baseline, Before, DebianRequest, wish};
    DebianRequest {
        number: 1,
        archives: vec![Archive {
            upstream: "debian".to_owned(),
            suites: vec!["bookworm".to_owned()],
            components: vec!["main".to_owned()],
            architectures: Vec::new(),
            keys: vec![key(1).armored_certificate().unwrap().into_bytes()],
        }],
        wishes: vec![(wish("app").unwrap(), Vec::new())],
        recommends: false,
        baseline: Baseline::None,
        target: Target {
            platforms: vec![Platform::LinuxAmd64],
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: None,
        },
        has_age_limit: false,
        prefer: stage::eco::preference::Preference::none(),
        previous: Before::default(),
        now: "2026-02-02T00:00:00Z".parse().unwrap(),
    }
}
