//! Lists of approved software through the program: approved versions are taken, the rest is denied with a table for the
//! request, and that table, filled in, is a list.

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::schemas::{assert_valid, from_toml};
use crate::walk::Registry;

/// `app` needs `lib`, which has three versions; the newest is 2.0.0.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.publish("app", "1.0.0", json!({"dependencies": {"lib": ">=1"}}));
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        registry.publish("lib", version, json!({}));
    }
    registry.publish("@acme/tool", "1.0.0", json!({"license": null}));
    registry
}

fn desk(registry: &Registry, packages: &[&str], more: &str) -> Desk {
    let desk = Desk::new();
    let url = registry.server.url();
    let manifest = format!(
        "[bundle]\nchannel = \"walk\"\n[target]\nnode = \"24.21.0\"\n[resolve]\nprefer = \"lists/approved.csv\"\n{more}[npm]\n\
         registry = \"{url}/\"\npackages = {packages:?}\n"
    );
    assert_valid("manifest.json", &from_toml(&manifest));
    desk.write("stage.toml", manifest);
    desk
}

fn list(desk: &Desk, text: &str) {
    desk.write("lists/approved.csv", text);
}

/// The packages of the lock.
fn locked(desk: &Desk) -> Vec<String> {
    let ran = desk.stage("inspect stage.lock --format purl").ok();
    ran.stdout.lines().map(str::to_owned).collect()
}

/// `subject: message` of what is denied.
fn denied(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of = findings.filter(|f| f["severity"] == "deny");
    of.map(|f| {
        assert_eq!(f["code"], "policy-package-not-approved");
        format!("{}: {}", f["subject"], f["message"]).replace('"', "'")
    })
    .collect()
}

#[test]
fn approved_versions_are_taken_wherever_the_ranges_allow_them() {
    let registry = registry();
    let desk = desk(&registry, &["app"], "");
    list(
        &desk,
        "package,approved versions,ticket\napp,any,T-1\nlib,1.0.x,T-2\n",
    );
    let report = desk.stage("resolve --format json").ok().json();
    assert_valid("resolve-report.json", &report);
    assert_eq!(report["approved"]["rows"], 2);
    assert_eq!(locked(&desk), ["pkg:npm/app@1.0.0", "pkg:npm/lib@1.0.0"]);
    // A list that approves something newer moves the lock to it, and one that takes it back as well.
    list(
        &desk,
        "package,approved versions,ticket\napp,any,T-1\nlib,1.1.0 and above,T-3\n",
    );
    desk.stage("resolve --locked").refused(6, "lock-stale");
    desk.stage("resolve").ok();
    assert_eq!(locked(&desk)[1], "pkg:npm/lib@2.0.0");
    list(
        &desk,
        "package,approved versions,ticket\napp,any,T-1\nlib,1.x,T-3\n",
    );
    desk.stage("resolve").ok();
    assert_eq!(locked(&desk)[1], "pkg:npm/lib@1.1.0");
    // As a TOML file.
    desk.write("lists/approved.csv", "[[approved]]\nname = \"app\"\n");
    desk.stage("resolve").refused(2, "policy-syntax");
}

#[test]
fn what_is_not_approved_is_denied_with_the_table_that_asks_for_it() {
    let registry = registry();
    let desk = desk(&registry, &["app", "@acme/tool"], "");
    list(
        &desk,
        "package,version,id,expires\napp,1.0.0,T-1,2026-01-31\nlib,0.9.0,T-2,\nlib,3.x,T-3,\nbad row,?,T-4,\n",
    );
    let ran = desk.stage("resolve --approval-request ask.csv --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let report = ran.json();
    assert_valid("resolve-report.json", &report);
    assert_eq!(
        denied(&report),
        [
            "'npm @acme/tool@1.0.0': 'is not on the list of approved software'",
            "'npm app@1.0.0': 'its approval \\'1.0.0 (T-1)\\' ended at 2026-02-01T00:00:00Z'",
            "'npm lib@2.0.0': 'its version is not approved; the list has \\'0.9.0 (T-2)\\', \\'3.x (T-3)\\''",
        ]
    );
    assert_eq!(
        report["approved"]["unread"],
        json!([{"line": 5, "reason": "its versions cannot be read"}])
    );
    assert!(!desk.path("stage.lock").exists());
    let table = String::from_utf8(desk.read("ask.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    // No cell that a spreadsheet takes for a formula.
    assert!(
        lines[1].starts_with("npm,'@acme/tool,1.0.0,,,2026-01-01T00:00:00Z,"),
        "{table}"
    );
    assert!(
        lines[3].contains("app@1.0.0 > lib@2.0.0") && lines[3].contains("sha512:"),
        "{table}"
    );
    // Filled in, it is a list.
    let filled: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| match at {
            0 => (*line).to_owned(),
            at => line.replacen(".0.0,,", &format!(".0.0,APR-{at},"), 1),
        })
        .collect();
    list(&desk, &filled.join("\n"));
    let ran = desk.stage("resolve --approval-request again.csv").ok();
    ran.says(&["Everything is approved"]);
    assert!(!desk.path("again.csv").exists());
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("bundle --key k.pem -o x.stage").ok();
    let evidence = approvals(&desk.read("x.stage"));
    assert_valid("approved-evidence.json", &evidence);
    assert_eq!(
        evidence["approvals"][0]["purl"],
        "pkg:npm/%40acme/tool@1.0.0"
    );
    assert_eq!(evidence["approvals"][0]["approval"], "APR-1");
    desk.stage("verify x.stage --trust root.json").ok();
    // What was approved when it was resolved, and is not any more, is not bundled.
    list(&desk, "package,version,id\napp,1.0.0,T-1\n");
    let ran = desk
        .stage("bundle --key k.pem -o y.stage")
        .refused(3, "policy-package-not-approved");
    assert!(!desk.path("y.stage").exists(), "{}", ran.stderr);
    let ran = desk.stage("policy check --approval-request late.csv --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("policy-report.json", &ran.json());
    assert!(desk.path("late.csv").exists());
}

/// `evidence/approved.json` of a bundle.
fn approvals(bundle: &[u8]) -> Value {
    let start = br#"{"approvals":[{"#;
    let mut windows = bundle.windows(start.len());
    let at = windows.position(|window| window == start).unwrap();
    let mut documents = serde_json::Deserializer::from_slice(&bundle[at..]).into_iter::<Value>();
    documents.next().unwrap().unwrap()
}

#[test]
fn a_policy_weighs_and_waives_what_is_not_approved() {
    let registry = registry();
    let desk = desk(&registry, &["app"], "[policy]\nfile = \"policy.toml\"\n");
    list(&desk, "name,version\nlib,any\n");
    desk.write("policy.toml", "");
    desk.stage("resolve")
        .refused(3, "policy-package-not-approved");
    desk.write(
        "policy.toml",
        "[severity]\npolicy-package-not-approved = \"warn\"\n",
    );
    desk.stage("resolve")
        .ok()
        .says(&["warning[policy-package-not-approved]: npm app@1.0.0"]);
    desk.write(
        "policy.toml",
        "[[waiver]]\ncode = \"policy-package-not-approved\"\npackage = \"npm:app\"\nreason = \"T-9 is with the board\"\n\
         approver = \"Ann\"\nexpires = 2090-01-01\n",
    );
    let ran = desk.stage("resolve --locked").ok();
    ran.says(&[
        "waived[policy-package-not-approved]: npm app@1.0.0",
        "T-9 is with the board",
    ]);
}

#[test]
fn a_list_that_cannot_be_used_is_an_error_and_hostile_rows_approve_nothing() {
    let registry = registry();
    let desk = desk(&registry, &["app"], "");
    desk.stage("resolve").refused(2, "policy-missing");
    for (text, word) in [
        ("", "has no column of names"),
        ("a,b\n1,2\n", "has no column of names"),
    ] {
        list(&desk, text);
        desk.stage("resolve").refused(2, word);
    }
    let long = "9".repeat(10_000);
    list(
        &desk,
        &format!(
            "name,version,id\n\"app\u{1b}[31m\",1.0.0,\u{1b}[31m\n{long},{long},{long}\nlib,{long},x\n*,>=0,\u{1b}]0;x\u{7}\n"
        ),
    );
    let ran = desk.stage("resolve");
    assert!(!ran.stderr.contains(['\u{1b}', '\u{7}']), "{}", ran.stderr);
    // The last row approves every version of everything, as it says.
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    desk.write(
        "stage.toml",
        manifest.replace("prefer = \"lists/approved.csv\"", ""),
    );
    let ran = desk.stage("resolve --approval-request x.csv");
    ran.refused(2, "[resolve] prefer");
}
