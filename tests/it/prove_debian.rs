//! `stage prove` of Debian packages: a whole root is installed with the maintainer scripts and used; of others it is said
//! what was not run.

use std::collections::BTreeSet;
use std::os::unix::fs::chown;
use std::process::Command;

use serde_json::Value;

use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::desk::{Desk, ran};
use crate::prove::{PLATFORM, bundled, holes, prove};

fn arch() -> &'static str {
    PLATFORM.rsplit('/').next().unwrap()
}

/// The base of a system: the shell and a few programs of this host, with the libraries that they load.
fn base() -> Deb {
    let mut base = Deb::new("base", "1.0", arch())
        .field("Essential", "yes")
        .installs("./etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n".to_vec())
        .installs("./etc/group", b"root:x:0:\n".to_vec());
    let mut libraries = BTreeSet::new();
    let programs = [
        "cat", "env", "id", "mkdir", "prlimit", "setpriv", "sh", "timeout", "touch", "unshare",
    ];
    for name in programs {
        let program = format!("/usr/bin/{name}");
        base = base.installs(format!(".{program}"), std::fs::read(&program).unwrap());
        let output = Command::new("ldd").arg(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
        libraries.extend(paths.map(|path| format!("/usr{}", path.trim_start_matches("/usr"))));
    }
    for library in libraries {
        base = base.installs(format!(".{library}"), std::fs::read(&library).unwrap());
    }
    base
}

const TOOL: &str = "#!/bin/sh\ncat /var/lib/tool/state || echo 'not configured'\n";
const SCRIPT: &str = "#!/bin/sh\nset -e\nmkdir -p /var/lib/tool\n\
    echo \"$1 by $(id -u) with $DEBIAN_FRONTEND\" > /var/lib/tool/state\n";

/// A bundle of `tool` with this script, this baseline and these checks.
fn desk(script: &'static str, baseline: &str, checks: &str) -> Desk {
    let tool = Deb::new("tool", "2.0", arch())
        .field("Depends", "thing")
        .installs("./usr/bin/tool", TOOL.into())
        .script("postinst", script);
    let thing = Deb::new("thing", "1.0", arch());
    // `essential` has apt in it.
    let apt = Deb::new("apt", "1.0", "all");
    let suite = Suite::new("bookworm", "bookworm").with("main", &[base(), apt, tool, thing]);
    let archive = Archive::new(&[suite], &key(1));
    let desk = Desk::new();
    desk.write("archive.asc", key(1).armored_certificate().unwrap());
    let of = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: {}\n\n",
            arch()
        )
    };
    desk.write("dpkg-status", of("base", "1.0") + &of("thing", "0.5"));
    bundled(
        &desk,
        &format!(
            "[debian]\npackages = [\"tool\"]\nbaseline = {baseline}\n[[debian.source]]\nuri = \"{}\"\nsuites = [\"bookworm\"]\n\
             components = [\"main\"]\nsigned-by = \"archive.asc\"\n{checks}",
            archive.server.url()
        ),
    );
    desk
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut steps = report["proof"]["steps"].as_array().unwrap().iter();
    let found = steps.find(|step| step["name"].as_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("{name} in {report:#}"))
}

#[test]
fn a_whole_root_is_installed_with_its_scripts_and_the_checks_run_in_it() {
    let desk = desk(
        SCRIPT,
        "\"essential\"",
        "[[prove]]\nrun = \"tool && touch ~/y && cat /etc/hostname; touch /usr/x\"\n\
         expect = { exit = 1, output = \"configure by 0 with noninteractive\" }\n\
         [[prove]]\nrun = \"node --version\"\nexpect = { exit = 127 }\n",
    );
    let report = prove(&desk, "").ok().json();
    assert_eq!(report["proof"]["result"], "passed", "{report:#}");
    let step = step(&report, "debian: install into a scratch root");
    let detail = step["detail"].as_str().unwrap();
    assert!(
        detail.contains("4 packages installed with their maintainer scripts"),
        "{detail}"
    );
    // The account that checks is nobody special there, either.
    assert_eq!(holes(&report), ["denied write /usr/x"], "{report:#}");
}

#[test]
fn a_script_that_fails_fails_the_proof() {
    let failing = "#!/bin/sh\necho 'no server answers' >&2\nexit 7\n";
    let check = "[[prove]]\nrun = \"tool\"\nexpect = {}\n";
    let desk = desk(failing, "\"essential\"", check);
    let ran = prove(&desk, "");
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    let step = step(&report, "debian: install into a scratch root");
    assert_eq!(step["result"], "failed");
    let detail = step["detail"].as_str().unwrap();
    assert!(
        detail.contains("tool") && detail.contains("exit status 7"),
        "{detail}"
    );
    assert_eq!(report["proof"]["checks"][0]["result"], "skipped");
}

#[test]
fn what_stands_on_an_assumed_base_is_unpacked_and_says_which_scripts_were_not_run() {
    let check = "[[prove]]\nrun = \"tool\"\nexpect = { output = \"not configured\" }\n";
    for baseline in ["\"none\"", "{ status = \"dpkg-status\" }"] {
        let desk = desk(SCRIPT, baseline, check);
        let report = prove(&desk, "").ok().json();
        assert_eq!(report["proof"]["result"], "passed", "{report:#}");
        let step = step(&report, "debian: unpack into a scratch root");
        let detail = step["detail"].as_str().unwrap();
        for words in [
            "dependencies checked by apt-get",
            "the maintainer scripts of 1 were not run",
        ] {
            assert!(detail.contains(words), "{detail}");
        }
        let hole = "not-run the maintainer scripts of 1 packages: tool";
        assert_eq!(holes(&report), [hole]);
        assert_eq!(report["findings"][0]["code"], "prove-script-not-run");
    }
}

/// Whom nobody gave other accounts.
#[test]
fn one_account_is_too_few_for_a_root_and_the_proof_says_that_it_is_incomplete() {
    let check = "[[prove]]\nrun = \"tool\"\nexpect = { output = \"not configured\" }\n";
    let desk = desk(SCRIPT, "\"essential\"", check);
    let program = desk.path("stage");
    if std::fs::hard_link(env!("CARGO_BIN_EXE_stage"), &program).is_err() {
        std::fs::copy(env!("CARGO_BIN_EXE_stage"), &program).unwrap();
    }
    if !rustix::process::geteuid().is_root() {
        // An account that may have others is what the first test is about.
        return;
    }
    let account = 4242;
    for file in ["demo.stage", "root.json", "stage.toml", "bob.pem", "."] {
        chown(desk.path(file), Some(account), Some(account)).unwrap();
    }
    let dropped = format!("--reuid={account} --regid={account} --clear-groups");
    let try_out = format!("{dropped} unshare --user --map-root-user --net true");
    if ran(desk.command("setpriv", &try_out)).code != 0 {
        return;
    }
    let words = format!(
        "{dropped} {} prove demo.stage --trust root.json --key bob.pem --format json",
        program.display()
    );
    let report = ran(desk.command("setpriv", &words)).ok().json();
    assert_eq!(report["proof"]["result"], "incomplete", "{report:#}");
    let install = step(&report, "debian: install into a scratch root");
    assert_eq!(install["result"], "skipped");
    let why = install["detail"].as_str().unwrap();
    assert!(why.contains("too few"), "{why}");
    let unpack = step(&report, "debian: unpack into a scratch root");
    assert_eq!(unpack["result"], "passed");
    assert_eq!(report["proof"]["checks"][0]["result"], "passed");
    assert!(desk.path("demo.stage.proof.json").exists());
}
