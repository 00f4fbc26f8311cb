//! `stage prove` with the npm and Node.js of this host: what works is proved and the proof is asked for; what reaches
//! outside, looks for a file or is not there is named.

use serde_json::{Value, json};

use crate::approvals::{openssl_verifies, payload};
use crate::desk::{Desk, Ran, ran};
use crate::schemas::assert_valid;
use crate::walk::Registry;

/// A program that answers on a port, that reaches outside, that looks for what is not there, or says its version.
const DEMO: &str = r#"#!/usr/bin/env node
const fs = require("fs"), http = require("http"), net = require("net"), dns = require("dns");
const home = process.env.HOME;
const does = {
    serve() {
        fs.mkdirSync(home + "/.demo/state", { recursive: true });
        fs.writeFileSync(home + "/.demo/state/a.json", "{}");
        http.createServer((asked, answer) => answer.writeHead(asked.url === "/health" ? 200 : 404).end()).listen(18999, "127.0.0.1");
    },
    outside() {
        const socket = net.connect(443, "203.0.113.7");
        socket.on("error", () => dns.lookup("updates.example", () => console.log("went on without")));
    },
    browser() {
        if (!fs.existsSync(home + "/.cache/ms-playwright/chromium-1/chrome")) {
            console.error("Error: the browser is not installed");
            process.exit(3);
        }
    },
    module() { require("not-there"); },
    shadow() { try { fs.mkdirSync("/demo"); } catch {} },
    async ring() {
        await fs.promises.mkdir(home + "/.demo/ring", { recursive: true });
        await fs.promises.writeFile(home + "/.demo/ring/a", "{}");
    },
    version() { console.log("demo 1.0.0 " + process.env.WHO + " " + process.getuid() + " " + fs.readdirSync(home).sort()); },
};
does[process.argv[2]]();
"#;

/// A root of alice who builds and bob who releases, mallory who does neither, and a bundle of `demo` with these checks.
pub(crate) fn desk(checks: &str) -> Desk {
    let registry = Registry::new();
    registry.publish_with("demo", "1.0.0", json!({"bin": {"demo": "index.js"}}), DEMO);
    let desk = Desk::new();
    let url = registry.server.url();
    bundled(
        &desk,
        &format!("[npm]\nregistry = \"{url}/\"\npackages = [\"demo@1.0.0\"]\n{checks}"),
    );
    desk
}

/// The platform of this host.
pub(crate) const PLATFORM: &str = if cfg!(target_arch = "x86_64") {
    "linux/amd64"
} else {
    "linux/arm64"
};

/// Makes keys, root and bundle of what these tables ask for.
pub(crate) fn bundled(desk: &Desk, tables: &str) {
    for name in ["rita", "alice", "bob", "mallory"] {
        desk.key(name);
    }
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    desk.write(
        "stage.toml",
        format!("[bundle]\nchannel = \"demo\"\n[target]\nplatforms = [\"{PLATFORM}\"]\n{tables}"),
    );
    desk.stage("resolve").ok();
    desk.stage("bundle --key alice.pem -o demo.stage").ok();
    desk.stage("sign demo.stage --key bob.pem --trust root.json")
        .ok();
}

pub(crate) fn check(run: &str, expect: &str) -> String {
    format!("[[prove]]\nrun = \"{run}\"\nenv = {{ WHO = \"tester\" }}\nexpect = {{ {expect} }}\n")
}

pub(crate) fn prove(desk: &Desk, words: &str) -> Ran {
    desk.stage(&format!(
        "prove demo.stage --trust root.json --format json {words}"
    ))
}

/// Holes as `kind what`.
pub(crate) fn holes(report: &Value) -> Vec<String> {
    let holes = report["proof"]["holes"].as_array().unwrap().iter();
    holes
        .map(|hole| {
            format!(
                "{} {}",
                hole["kind"].as_str().unwrap(),
                hole["what"].as_str().unwrap()
            )
        })
        .collect()
}

fn repository(desk: &Desk, name: &str, words: &str) {
    let fingerprint = desk.fingerprint("root.json");
    desk.stage(&format!(
        "repo init --repo {name} --trust root.json --fingerprint {fingerprint} {words}"
    ))
    .ok();
}

#[test]
fn what_works_is_proved_and_the_proof_is_asked_for() {
    let serves = check(
        "demo serve",
        "http = \"http://127.0.0.1:18999/health\", within = \"30s\", watch = \"1s\"",
    );
    let desk = desk(&(serves + &check("demo version", "output = \"demo 1.0.0 tester\"")));
    repository(&desk, "r", "--require-proof");
    desk.stage("verify demo.stage --trust root.json --require-proof")
        .refused(3, "import-proof-missing");
    desk.stage("import demo.stage --repo r")
        .refused(3, "import-proof-missing");
    prove(&desk, "--key mallory.pem").refused(2, "neither builder nor releaser");
    let report = prove(&desk, "--key bob.pem").ok().json();
    assert_valid("prove-report.json", &report);
    let proof = &report["proof"];
    assert_eq!(proof["result"], "passed", "{report:#}");
    assert_eq!(proof["checks"].as_array().unwrap().len(), 2);
    let steps = proof["steps"].as_array().unwrap();
    assert!(
        steps
            .iter()
            .any(|step| step["name"] == "npm: npm ci of npm"),
        "{steps:#?}"
    );
    assert!(
        steps.iter().all(|step| step["result"] == "passed"),
        "{steps:#?}"
    );
    assert_eq!(holes(&report), [] as [&str; 0], "{report:#}");
    let ports = proof["ports"].as_array().unwrap();
    assert!(
        ports
            .iter()
            .any(|port| port["address"] == "127.0.0.1:18999"),
        "{ports:#?}"
    );
    let writes = proof["writes"].as_array().unwrap();
    assert!(writes.contains(&json!("~/.demo/state")), "{writes:#?}");
    let envelope: Value = serde_json::from_slice(&desk.read("demo.stage.proof.json")).unwrap();
    let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
    assert_valid("proof.json", &statement);
    assert_eq!(&statement["predicate"], proof);
    openssl_verifies(&desk, &envelope, "bob").ok();
    let verified = desk
        .stage("verify demo.stage --trust root.json --require-proof --format json")
        .ok()
        .json();
    assert_valid("verify-report.json", &verified);
    assert_eq!(verified["bundle"]["proof"]["person"], "bob");
    desk.stage("inspect demo.stage --trust root.json")
        .ok()
        .says(&["Proof         passed at 20"]);
    let receipt = desk
        .stage("import demo.stage --repo r --format json")
        .ok()
        .json();
    assert_valid("import-receipt.json", &receipt);
    assert_eq!(receipt["proof"]["result"], "passed");
    let status = desk.stage("repo status --repo r --format json").ok().json();
    assert_eq!(status["require_proof"], true);
    // The checks travel.
    desk.stage("bundle --key alice.pem -o again.stage").ok();
    assert_eq!(
        desk.read("again.stage").len(),
        desk.read("demo.stage").len()
    );
}

#[test]
fn a_proof_is_of_its_bundle_by_who_may_and_says_what_it_said() {
    let desk = desk("");
    prove(&desk, "--key rita.pem").refused(2, "neither builder nor releaser");
    prove(&desk, "--key alice.pem --only npm").refused(2, "--only");
    prove(&desk, "--key alice.pem --no-trace").ok();
    let verify = |words: &str| desk.stage(&format!("verify --trust root.json {words}"));
    verify("demo.stage --require-proof")
        .ok()
        .says(&["not traced"]);
    let good = String::from_utf8(desk.read("demo.stage.proof.json")).unwrap();
    // A changed byte, another form, another bundle's.
    let envelope: Value = serde_json::from_str(&good).unwrap();
    let text = String::from_utf8(payload(&envelope)).unwrap();
    let changed = text.replacen("\"steps\":", "\"stepz\":", 1);
    let payload = data_encoding::BASE64.encode(changed.as_bytes());
    desk.write(
        "changed",
        good.replace(envelope["payload"].as_str().unwrap(), &payload),
    );
    verify("demo.stage --proof changed").refused(4, "trust-proof-signature");
    desk.write("changed", good.trim_end());
    verify("demo.stage --proof changed").refused(4, "trust-proof-format");
    desk.write("files/a.txt", "a");
    desk.stage("bundle --plain files --channel docs --key alice.pem -o docs.stage")
        .ok();
    desk.stage("sign docs.stage --key bob.pem --trust root.json")
        .ok();
    verify("docs.stage --proof demo.stage.proof.json").refused(4, "trust-proof-other-bundle");
    verify("docs.stage")
        .ok()
        .says(&["ok     proof          none came with it"]);
    prove(&desk, "").ok();
    desk.stage("prove docs.stage --trust root.json")
        .refused(2, "plain files");
}

#[test]
fn what_is_done_through_a_ring_is_seen_too() {
    let ring = "[[prove]]\nrun = \"demo ring\"\nenv = { UV_USE_IO_URING = \"1\" }\nexpect = { exit = 0 }\n";
    // What libuv would do, for a program that asks the kernel itself.
    let python = "[[prove]]\nrun = \"/usr/bin/python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(512)))'\"\n\
        expect = { output = \"-1\" }\n";
    let desk = desk(&format!("{ring}{python}"));
    let report = prove(&desk, "").ok().json();
    let writes = report["proof"]["writes"].as_array().unwrap();
    assert!(writes.contains(&json!("~/.demo/ring")), "{report:#}");
    assert_eq!(holes(&report), [] as [&str; 0], "{report:#}");
}

#[test]
fn what_reaches_outside_is_named() {
    let checks =
        check("demo outside", "output = \"went on without\"") + &check("demo shadow", "exit = 0");
    let desk = desk(&checks);
    let report = prove(&desk, "").ok().json();
    assert_valid("prove-report.json", &report);
    let found = holes(&report);
    for hole in [
        "connect 203.0.113.7:443",
        "name updates.example",
        "denied write /demo",
    ] {
        assert!(
            found.iter().any(|known| known == hole),
            "{hole}: {report:#}"
        );
    }
    let codes: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["code"].as_str().unwrap())
        .collect();
    assert!(
        codes.contains(&"prove-connects-outside") && codes.contains(&"prove-asks-for-name"),
        "{codes:?}"
    );
    // A policy may deny it.
    desk.write(
        "policy.toml",
        "[severity]\nprove-connects-outside = \"deny\"\n",
    );
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    let manifest = manifest.replacen("[bundle]", "[policy]\nfile = \"policy.toml\"\n[bundle]", 1);
    desk.write("stage.toml", manifest);
    let ran = prove(&desk, "--key alice.pem");
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    assert_valid("prove-report.json", &report);
    assert_eq!(report["proof"]["result"], "failed");
    // Without a tracer only names are known, and the result says so.
    let report = prove(&desk, "--no-trace").ok().json();
    assert_eq!(report["proof"]["host"]["tracer"], Value::Null);
    assert_eq!(holes(&report), ["name updates.example"]);
}

#[test]
fn what_is_not_there_fails_and_is_named_and_the_failed_proof_is_refused() {
    let checks = check("demo browser", "exit = 0") + &check("demo module", "exit = 0");
    let desk = desk(&checks);
    let ran = prove(&desk, "--key alice.pem");
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    assert_valid("prove-report.json", &report);
    let checks = report["proof"]["checks"].as_array().unwrap();
    let said = checks[0]["detail"].as_str().unwrap();
    assert!(
        said.contains("exit 3 instead of 0") && said.contains("the browser is not installed"),
        "{said}"
    );
    let found = holes(&report);
    for hole in [
        "missing ~/.cache/ms-playwright/chromium-1/chrome",
        "missing module not-there",
    ] {
        assert!(
            found.iter().any(|known| known == hole),
            "{hole}: {report:#}"
        );
    }
    desk.stage("verify demo.stage --trust root.json --require-proof")
        .refused(3, "import-proof-failed");
    desk.stage("verify demo.stage --trust root.json")
        .ok()
        .says(&["proof          failed at 20"]);
    repository(&desk, "r", "--require-proof");
    desk.stage("import demo.stage --repo r")
        .refused(3, "import-proof-failed");
}

#[test]
fn an_account_proves_in_a_user_namespace_or_is_told_why_not() {
    let desk = desk(&check("demo version", "output = \"demo 1.0.0 tester\""));
    let program = desk.path("stage");
    if std::fs::hard_link(env!("CARGO_BIN_EXE_stage"), &program).is_err() {
        std::fs::copy(env!("CARGO_BIN_EXE_stage"), &program).unwrap();
    }
    // What a run as an account of these tests makes there must be its own.
    let root = rustix::process::geteuid().is_root();
    let account = 4242;
    if root {
        for file in ["demo.stage", "root.json", "stage.toml", "bob.pem", "."] {
            std::os::unix::fs::chown(desk.path(file), Some(account), Some(account)).unwrap();
        }
    }
    let as_account = |words: &str| {
        if root {
            let words = format!("--reuid={account} --regid={account} --clear-groups {words}");
            ran(desk.command("setpriv", &words))
        } else {
            let (program, words) = words.split_once(' ').unwrap();
            ran(desk.command(program, words))
        }
    };
    let allowed = as_account("unshare --user --map-root-user --net true").code == 0;
    let proved = as_account(&format!(
        "{} prove demo.stage --trust root.json --key bob.pem --format json",
        program.display()
    ));
    if !allowed {
        proved.refused(5, "prove-impossible");
        return;
    }
    let report = proved.ok().json();
    assert_valid("prove-report.json", &report);
    let proof = &report["proof"];
    assert_eq!(proof["host"]["sandbox"], "user-namespace");
    assert_eq!(proof["result"], "passed", "{report:#}");
    assert!(desk.path("demo.stage.proof.json").exists());
}
