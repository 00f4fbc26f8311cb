//! Policies through the program: what each gate denies, what waivers take out, what is written and what is not.

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::json as canonical;
use stage::base::time::Timestamp;
use stage::cli::explain;
use stage::eco;
use stage::policy::codes::WEIGHED;
use stage::policy::{Policy, Profile, starter};

use crate::closures::{Made, Only};
use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::desk::Desk;
use crate::lint::samples;
use crate::loopback::{Asked, Reply, Server};
use crate::programs::{Program, gzip, tar};
use crate::pypi_index::Dist;
use crate::schemas::{assert_refused, assert_valid, from_toml};
use crate::walk::Registry;

const LONG_AGO: Option<&str> = Some("2026-01-01T00:00:00.000Z");

/// A desk whose manifest asks for these packages and names a policy.
fn desk(registry: &Registry, packages: &[&str]) -> Desk {
    let desk = Desk::new();
    let url = registry.server.url();
    desk.write(
        "stage.toml",
        format!(
            "[bundle]\nchannel = \"walk\"\n[target]\nnode = \"24.21.0\"\n[policy]\nfile = \"policy.toml\"\n[npm]\n\
             registry = \"{url}/\"\npackages = {packages:?}\n"
        ),
    );
    desk
}

/// One package of every kind that a gate looks for, and `app`, with which nothing is wrong.
fn registry() -> Registry {
    let registry = Registry::new();
    let needs = json!({"dependencies": {"script": "1", "stale": "1", "copyleft": "1", "odd": "1", "untold": "1"}});
    registry.publish_at("app", needs, LONG_AGO);
    let runs = json!({"hasInstallScript": true, "scripts": {"install": "node -e 0"}});
    registry.publish_at("script", runs, LONG_AGO);
    registry.publish_at("stale", json!({"deprecated": "use app"}), LONG_AGO);
    registry.publish_at("copyleft", json!({"license": "GPL-3.0-only"}), LONG_AGO);
    registry.publish_at("odd", json!({"license": "see \u{1b}[31mLICENSE"}), LONG_AGO);
    registry.publish_at("untold", json!({"license": null}), None);
    registry
}

pub(crate) fn waiver(code: &str, package: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\ncode = \"{code}\"\npackage = \"{package}\"\nreason = \"known\"\napprover = \"Ann, T-1\"\nexpires = \
         {expires}\n"
    )
}

/// `code subject` of the findings of this weight.
pub(crate) fn of(report: &Value, severity: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of = findings.filter(|f| f["severity"] == severity);
    let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
    of.map(|f| format!("{} {}", text(f, "code"), text(f, "subject")))
        .collect()
}

#[test]
fn every_gate_denies_what_it_is_for_and_nothing_is_written() {
    let (registry, cases) = (
        registry(),
        [
            (
                "[severity]\nnpm-install-script = \"deny\"",
                "npm-install-script npm script@1.0.0",
            ),
            (
                "[severity]\nnpm-deprecated = \"deny\"",
                "npm-deprecated npm stale@1.0.0",
            ),
            (
                "[packages]\ndeny = [\"npm:SCRIPT@<2.0.0\"]",
                "policy-package-denied npm script@1.0.0",
            ),
            (
                "[packages]\nallow = [\"npm:app\", \"npm:s*\", \"npm:copyleft\", \"npm:untold\"]",
                "policy-package-not-allowed npm odd@1.0.0",
            ),
            (
                "[age]\nmin-age = \"1d\"",
                "policy-time-unknown npm untold@1.0.0",
            ),
            (
                "[age]\nmin-age = \"36500d\"\nexempt = [\"npm:[a-z]\", \"npm:s*\", \"npm:copyleft\", \"npm:odd\", \"npm:untold\"]",
                "policy-too-new npm app@1.0.0",
            ),
            (
                "[license]\nallow = [\"MIT\"]\nexempt = [\"npm:odd\", \"npm:untold\"]",
                "policy-license-denied npm copyleft@1.0.0",
            ),
            (
                "[license]\nallow = [\"MIT\", \"GPL-3.0-only\"]\nexempt = [\"npm:untold\"]",
                "policy-license-unknown npm odd@1.0.0",
            ),
            (
                "[license]\nallow = [\"MIT\", \"GPL-3.0-only\"]\nexempt = [\"npm:odd\"]",
                "policy-license-unknown npm untold@1.0.0",
            ),
        ],
    );
    let desk = desk(&registry, &["app@1.0.0"]);
    for (policy, denied) in cases {
        desk.write("policy.toml", policy);
        assert_valid("policy.json", &from_toml(policy));
        let ran = desk.stage("resolve --format json");
        assert_eq!(ran.code, 3, "{policy}: {}", ran.stderr);
        let report = ran.json();
        assert_valid("resolve-report.json", &report);
        assert_eq!(of(&report, "deny"), [denied], "{policy}");
        for made in ["stage.lock", "stage.records"] {
            assert!(!desk.path(made).exists(), "{policy}: {made}");
        }
        assert!(ran.stderr.contains("deny["), "{}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}') && !ran.stdout.contains('\u{1b}'));
    }
    // Without a word of its own a policy is the standard one: everything warns as it does without a policy.
    desk.write("policy.toml", "");
    let report = desk.stage("resolve --format json").ok().json();
    assert_eq!(of(&report, "deny"), Vec::<String>::new());
    let warned = [
        "npm-deprecated npm stale@1.0.0",
        "npm-install-script npm script@1.0.0",
        "vuln-database-none the closure",
    ];
    assert_eq!(of(&report, "warn"), warned);
    let judged = desk.read("stage.lock");
    let manifest = String::from_utf8(desk.read("stage.toml")).unwrap();
    desk.write(
        "stage.toml",
        manifest.replace("[policy]\nfile = \"policy.toml\"\n", ""),
    );
    desk.stage("resolve").ok();
    assert_eq!(
        desk.read("stage.lock"),
        judged,
        "a policy leaves no trace in a lock"
    );
}

#[test]
fn a_lock_is_judged_again_without_a_network_and_before_it_is_bundled() {
    let registry = registry();
    let desk = desk(&registry, &["app@1.0.0"]);
    desk.write("policy.toml", "");
    desk.stage("resolve").ok();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let asked = registry.server.asked().len();
    let script = "[severity]\nnpm-install-script = \"deny\"\n";
    desk.write("policy.toml", script);
    let ran = desk.stage("policy check --format json --sarif out.sarif");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("policy-report.json", &ran.json());
    assert_eq!(
        of(&ran.json(), "deny"),
        ["npm-install-script npm script@1.0.0"]
    );
    assert_eq!(
        ran.json()["findings"][0]["chain"],
        json!(["app@1.0.0", "script@1.0.0"])
    );
    assert_eq!(registry.server.asked().len(), asked, "the network was used");
    let sarif: Value = serde_json::from_slice(&desk.read("out.sarif")).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["level"]),
        (&json!("npm-install-script"), &json!("error"))
    );
    let at = &result["locations"][0]["physicalLocation"];
    let line = usize::try_from(at["region"]["startLine"].as_u64().unwrap()).unwrap();
    let lock = String::from_utf8(desk.read("stage.lock")).unwrap();
    let table: Vec<&str> = lock.lines().skip(line - 1).take(3).collect();
    assert_eq!(
        table,
        ["[[package]]", "ecosystem = \"npm\"", "name = \"script\""]
    );

    let ran = desk.stage("bundle --key k.pem -o x.stage --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("bundle-report.json", &ran.json());
    for made in ["x.stage", "releases.toml", "x.stage.approvals.json"] {
        assert!(!desk.path(made).exists(), "{made}");
    }
    let fetched = registry.server.asked().len() - asked;
    assert_eq!(fetched, 0, "what is denied is not fetched");

    // Waived, it passes, is shown, and travels.
    let waived = format!(
        "{script}{}",
        waiver("npm-install-script", "npm:script@1.0.0", "2090-06-30")
    );
    desk.write("policy.toml", &waived);
    assert_valid(
        "policy.json",
        &from_toml(&waived.replace("2090-06-30", "\"2090-06-30\"")),
    );
    desk.stage("policy check")
        .ok()
        .says(&["waived  npm-install-script", "Ann, T-1", "1 waived"]);
    let ran = desk
        .stage("bundle --key k.pem -o x.stage --format json")
        .ok()
        .says(&["waived[npm-install-script]"]);
    assert_valid("bundle-report.json", &ran.json());
    assert_eq!(
        ran.json()["policy"]["waived"][0]["waiver"]["expires"],
        "2090-07-01T00:00:00Z"
    );
    let ran = desk.stage("resolve --format json").ok();
    assert_valid("resolve-report.json", &ran.json());
    assert_eq!(
        ran.json()["policy"]["waived"][0]["finding"]["subject"],
        "npm script@1.0.0"
    );
    desk.stage("policy check --sarif out.sarif").ok();
    crate::fixture::file("sample.sarif", &desk.read("out.sarif"));
    let sarif: Value = serde_json::from_slice(&desk.read("out.sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap().iter();
    let suppressed: Vec<_> = results.filter(|r| !r["suppressions"].is_null()).collect();
    assert_eq!(suppressed.len(), 1);

    let evidence = evidence(&desk.read("x.stage"));
    assert_valid("policy-evidence.json", &evidence);
    assert_eq!(evidence["waived"][0]["waiver"]["approver"], "Ann, T-1");
    assert_eq!(evidence["findings"][0]["code"], "npm-deprecated");
    let digest = Digest::of(waived.as_bytes());
    assert_eq!(evidence["policy"], digest.to_string());
    let bytes = desk.read("x.stage");
    desk.stage("bundle --key k.pem -o y.stage")
        .ok()
        .says(&["made before from the same inputs"]);
    assert_eq!(desk.read("y.stage"), bytes);
    // Another policy is another bundle, although it says the same of the lock.
    desk.write("policy.toml", format!("# reviewed\n{waived}"));
    let report = desk
        .stage("bundle --key k.pem -o z.stage --format json")
        .ok()
        .json();
    assert_eq!(report["serial"], 2);
}

/// `evidence/policy.json` of a bundle.
fn evidence(bundle: &[u8]) -> Value {
    document(bundle, br#"{"findings":[{"code":"#)
}

/// The canonical document of a bundle that starts so.
pub(crate) fn document(bundle: &[u8], start: &[u8]) -> Value {
    let at = bundle
        .windows(start.len())
        .position(|window| window == start)
        .unwrap();
    let mut documents = serde_json::Deserializer::from_slice(&bundle[at..]).into_iter::<Value>();
    let document = documents.next().unwrap().unwrap();
    let written = canonical::canonical(&document);
    assert_eq!(&bundle[at..at + written.len()], written);
    document
}

#[test]
fn a_waiver_counts_for_its_code_its_package_and_its_time() {
    let registry = registry();
    let desk = desk(&registry, &["app@1.0.0"]);
    desk.write("policy.toml", "");
    desk.stage("resolve").ok();
    let script = "[severity]\nnpm-install-script = \"deny\"\n";
    let finding = "npm-install-script npm script@1.0.0";
    let expired = "policy-waiver-expired policy line 3";
    for (waivers, denied, notes) in [
        (
            waiver("npm-install-script", "npm:*", "2090-01-01"),
            vec![],
            0,
        ),
        (
            waiver("npm-deprecated", "npm:script", "2090-01-01"),
            vec![finding],
            1,
        ),
        (
            waiver("npm-install-script", "npm:stale", "2090-01-01"),
            vec![finding],
            1,
        ),
        (
            waiver("npm-install-script", "npm:script@<1.0.0", "2090-01-01"),
            vec![finding],
            1,
        ),
        (
            waiver("npm-install-script", "pypi:script", "2090-01-01"),
            vec![finding],
            1,
        ),
        // Ended: it waives nothing, and says so; even where nothing needs it.
        (
            waiver("npm-install-script", "npm:script", "2026-01-01"),
            vec![finding, expired],
            0,
        ),
        (
            waiver("npm-deprecated", "npm:other", "2026-01-01T00:00:00Z"),
            vec![finding, expired],
            0,
        ),
    ] {
        desk.write("policy.toml", format!("{script}{waivers}"));
        let ran = desk.stage("policy check --format json");
        assert_eq!(
            ran.code,
            if denied.is_empty() { 0 } else { 3 },
            "{waivers}{}",
            ran.stderr
        );
        let report = ran.json();
        assert_eq!(of(&report, "deny"), denied, "{waivers}");
        let mut unused = of(&report, "note");
        unused.retain(|one| one.starts_with("policy-waiver-unused"));
        assert_eq!(unused.len(), notes, "{waivers}: {unused:?}");
    }
    // An install script that is known is no finding that stops anything, and no waiver.
    desk.write(
        "policy.toml",
        format!("{script}[install-scripts]\nallow = [\"npm:script\"]\n"),
    );
    let report = desk.stage("policy check --format json").ok().json();
    assert!(of(&report, "note").contains(&finding.to_owned()));
    // What denies by itself stays: a lock that lost an edge is not made whole by a waiver.
    let lock = String::from_utf8(desk.read("stage.lock")).unwrap();
    let tables = lock.split("[[package]]\n");
    let kept: Vec<&str> = tables.filter(|t| !t.contains("name = \"stale\"")).collect();
    desk.write("stage.lock", kept.join("[[package]]\n"));
    desk.write("policy.toml", "profile = \"lenient\"");
    let ran = desk.stage("policy check --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(
        of(&ran.json(), "deny"),
        [
            "lock-open-edge npm app@1.0.0",
            "lock-open-edge npm stale@1.0.0"
        ]
    );
    desk.write(
        "policy.toml",
        waiver("lock-open-edge", "npm:*", "2090-01-01"),
    );
    desk.stage("policy check")
        .refused(2, "error[policy-unknown-code]");
}

#[test]
fn names_that_look_alike_and_sizes_are_said_at_the_place_where_they_are_known() {
    let registry = Registry::new();
    registry.publish("lodash", "1.0.0", json!({}));
    registry.publish("lodahs", "1.0.0", json!({}));
    let desk = desk(&registry, &["lodash@1.0.0", "lodahs@1.0.0"]);
    desk.write(
        "policy.toml",
        "[size]\nartifact = \"1MB\"\ntotal = \"10B\"\n",
    );
    let report = desk.stage("resolve --format json").ok().json();
    let notes = [
        "interpreter-none-staged npm packages",
        "npm-signatures-stripped npm registry",
        "policy-name-similar npm lodash@1.0.0",
        "policy-size-unknown the closure",
    ];
    assert_eq!(of(&report, "note"), notes);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let report = desk.stage("bundle --key k.pem -o x.stage --format json");
    assert_eq!(report.code, 3, "{}", report.stderr);
    assert_eq!(
        of(&report.json(), "deny"),
        ["policy-total-too-large the closure"]
    );
    assert!(!desk.path("x.stage").exists());
    desk.write("policy.toml", "[size]\nartifact = \"10B\"\n");
    let report = desk
        .stage("bundle --key k.pem -o x.stage --format json")
        .json();
    assert_eq!(of(&report, "deny").len(), 2, "{report:#}");
    desk.write(
        "policy.toml",
        "[size]\nartifact = \"1MB\"\ntotal = \"1MB\"\n",
    );
    desk.stage("bundle --key k.pem -o x.stage").ok();
}

#[test]
fn profiles_are_written_and_strict_says_what_it_takes() {
    let registry = registry();
    registry.publish_at(
        "@types/node",
        json!({"engines": {"node": ">=99"}}),
        LONG_AGO,
    );
    let desk = desk(&registry, &["app@1.0.0", "@types/node@1.0.0"]);
    desk.write("policy.toml", "profile = \"lenient\"");
    desk.stage("resolve").ok();
    for (profile, name) in Profile::ALL
        .into_iter()
        .zip(["lenient", "standard", "strict"])
    {
        let ran = desk
            .stage(&format!(
                "policy init --profile {name} -o {name}.toml --format json"
            ))
            .ok();
        assert_valid("policy-init-report.json", &ran.json());
        let written = desk.read(&format!("{name}.toml"));
        assert_eq!(written, starter(profile).as_bytes());
        assert_valid(
            "policy.json",
            &from_toml(std::str::from_utf8(&written).unwrap()),
        );
        desk.stage(&format!("policy init -o {name}.toml"))
            .refused(2, "is there already");
        // Every commented example is one that works.
        let text = String::from_utf8(written).unwrap();
        let said = |line: &str| line.starts_with('[') || line.contains(" = ");
        let bare = |line| {
            str::strip_prefix(line, "# ")
                .filter(|rest| said(rest))
                .unwrap_or(line)
        };
        let example: Vec<&str> = text.lines().map(bare).collect();
        let example = example.join("\n");
        Policy::parse("example", example.as_bytes())
            .unwrap_or_else(|bad| panic!("{name}: {bad}\n{example}"));
    }
    desk.stage("policy check --policy lenient.toml").ok();
    desk.stage("policy check --policy standard.toml").ok();
    let ran = desk.stage("policy check --policy strict.toml --format json");
    assert_eq!(ran.code, 3);
    assert_eq!(
        of(&ran.json(), "deny"),
        [
            "npm-deprecated npm stale@1.0.0",
            "npm-engines npm @types/node@1.0.0",
            "npm-install-script npm script@1.0.0",
            "policy-license-denied npm copyleft@1.0.0",
            "policy-license-unknown npm odd@1.0.0",
            "policy-license-unknown npm untold@1.0.0",
            "policy-time-unknown npm untold@1.0.0",
            "vuln-database-none the closure",
        ]
    );
}

#[test]
fn a_policy_that_is_wrong_stops_before_anything_is_asked() {
    let registry = registry();
    let desk = desk(&registry, &["app@1.0.0"]);
    desk.stage("resolve").refused(2, "error[policy-missing]");
    desk.write(
        "policy.toml",
        "[severity]\n\nnpm-instal-script = \"deny\"\n",
    );
    desk.stage("resolve")
        .refused(2, "error[policy-unknown-code]")
        .says(&["policy.toml:3:1", "did you mean: npm-install-script"]);
    desk.write("policy.toml", "[age]\nmin-days = 7\n");
    desk.stage("resolve")
        .refused(2, "error[policy-unknown-key]")
        .says(&["policy.toml:2:1"]);
    assert!(registry.server.asked().is_empty());
    for bad in [
        "profile = \"paranoid\"",
        "surprise = 1",
        "[size]\ntotal = \"4 GB\"",
        "[age]\nmin-age = \"a week\"",
        "[packages]\nallow = [\"left-pad\"]",
        "[severity]\nnpm-deprecated = \"off\"",
        "[[waiver]]\ncode = \"npm-deprecated\"\npackage = \"npm:a\"\nreason = \"\"\napprover = \"A\"\nexpires = \"2090-01-01\"",
    ] {
        assert!(Policy::parse("p", bad.as_bytes()).is_err(), "{bad}");
        assert_refused("policy.json", &from_toml(bad));
    }
    desk.write("stage.toml", "[npm]\npackages = [\"a\"]\n");
    desk.stage("policy check")
        .refused(2, "the manifest names no policy");
}

#[test]
fn the_codes_that_a_policy_weighs_are_codes_of_the_program() {
    let all = explain::all_codes();
    for code in WEIGHED {
        assert!(
            all.contains(&code),
            "{} is no code, or one of another kind",
            code.name
        );
    }
}

/// Names and times are each ecosystem's own; where records have no times and no licenses, that is said.
#[test]
fn every_ecosystem_is_judged_by_what_its_records_say() {
    let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
    for sample in samples() {
        let only = Only {
            name: "demo",
            version: "1.0.0",
            bytes: sample.good.clone(),
        };
        let id = sample.ecosystem;
        let made = match id {
            "npm" => Made::npm(&only),
            "pypi" => Made::wheels(&[only]),
            "cargo" => Made::crates(&[only]),
            _ => Made::debs(&[only]),
        };
        let content = made.content();
        let records = [(id.parse().unwrap(), content.records.to_vec())].into();
        let denied = |text: &str| -> Vec<&'static str> {
            let policy = Policy::parse("p", text.as_bytes()).unwrap();
            let judged = policy
                .judge(content.lock, &records, Vec::new(), &|_| None, now)
                .unwrap();
            judged.findings.iter().map(|f| f.code.name).collect()
        };
        let name = format!("[packages]\ndeny = [\"{id}:DEMO@>=1.0.0\"]");
        assert_eq!(denied(&name), ["policy-package-denied"], "{id}");
        assert!(
            denied(&name.replace(">=1.0.0", ">1.0.0")).is_empty(),
            "{id}"
        );
        assert!(denied(&name.replace(">=1.0.0", "1.0.1")).is_empty(), "{id}");
        assert_eq!(
            denied("[age]\nmin-age = \"1d\""),
            ["policy-time-unknown"],
            "{id}"
        );
        assert!(denied(&format!("[age]\nmin-age = \"1d\"\nexempt = [\"{id}:*\"]")).is_empty());
        assert!(eco::by_id(&id.parse().unwrap()).is_some());
    }
}

#[test]
fn a_site_judges_by_its_own_policy_what_a_builder_let_through() {
    let registry = registry();
    let desk = desk(&registry, &["app@1.0.0"]);
    desk.write(
        "policy.toml",
        waiver("npm-install-script", "npm:script", "2090-06-30"),
    );
    desk.stage("resolve").ok();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("bundle --key k.pem -o x.stage").ok();
    let init = "repo init --repo repo --trust root.json --accept-unchecked-root";
    let script = "[severity]\nnpm-install-script = \"deny\"\n";
    desk.write("site.toml", "surprise = 1");
    desk.stage(&format!("{init} --policy site.toml"))
        .refused(2, "error[policy-unknown-key]");
    assert!(!desk.path("repo").exists());
    desk.write("site.toml", script);
    desk.stage(&format!("{init} --policy site.toml")).ok();
    // The repository has its own copy.
    desk.write("site.toml", "");
    let before = crate::world::snapshot(&desk.path("repo"));
    let ran = desk.stage("import x.stage --repo repo --receipt refused.json --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let error = &ran.json()["errors"][0];
    assert_eq!(
        (&error["code"], &error["facts"]["needed_by"]),
        (
            &json!("npm-install-script"),
            &json!("app@1.0.0 > script@1.0.0")
        )
    );
    assert_eq!(crate::world::snapshot(&desk.path("repo")), before);
    let refused: Value = serde_json::from_slice(&desk.read("refused.json")).unwrap();
    assert_eq!(refused["refused"]["check"], "policy");
    desk.stage("import x.stage --repo repo --dry-run")
        .says(&["policy", "1 findings that deny"]);
    // Waived by the site, it comes in; who waived it is in the receipt.
    let site = format!(
        "{script}{}",
        waiver("npm-install-script", "npm:script", "2090-06-30")
    );
    desk.write("site.toml", &site);
    desk.stage(&format!("{init} --policy site.toml"))
        .ok()
        .says(&["judges every import"]);
    let ran = desk
        .stage("import x.stage --repo repo --format json")
        .ok()
        .says(&["waived[npm-install-script]"]);
    assert_valid("import-receipt.json", &ran.json());
    assert_eq!(
        ran.json()["policy"]["waived"][0]["waiver"]["approver"],
        "Ann, T-1"
    );
    let state: Value = serde_json::from_slice(&desk.read("repo/state/state.json")).unwrap();
    assert_valid("repository-state.json", &state);
    assert_eq!(state["policy"], site);
    let journal = String::from_utf8(desk.read("repo/state/journal.jsonl")).unwrap();
    let digest = Digest::of(site.as_bytes()).to_string();
    assert!(
        journal.contains("\"event\":\"policy\"") && journal.contains(&digest),
        "{journal}"
    );
    desk.stage("repo status --repo repo").ok().says(&[&digest]);
    desk.stage("repo audit --repo repo").ok();
    desk.stage(&format!("{init} --policy site.toml"))
        .ok()
        .says(&["exists already"]);
    // Without a word of it, it stays.
    desk.stage(init).ok();
    desk.stage("repo status --repo repo").ok().says(&[&digest]);
}

#[test]
fn reviewed_locks_pass_the_standard_profile_and_strict_says_what_they_would_need() {
    let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
    let judged = |name: &str, profile| {
        let path = crate::source::root().join(format!("lockfiles/{name}.lock"));
        let lock = stage::lock::format::parse(&std::fs::read(path).unwrap()).unwrap();
        let policy = Policy::parse("p", starter(profile).as_bytes()).unwrap();
        let found = stage::policy::recorded(&lock);
        // Records are not kept beside these locks: what only they say is not known here.
        let judged = policy.judge(&lock, &stage::lock::Records::new(), found, &|_| None, now);
        let denied = judged.unwrap().findings.into_iter();
        let denied = denied.filter(|f| f.severity == stage::base::finding::Severity::Deny);
        denied
            .map(|f| f.code.name)
            .collect::<std::collections::BTreeSet<_>>()
    };
    for name in ["openclaw", "nanobot", "zeroclaw"] {
        for profile in [Profile::Lenient, Profile::Standard] {
            assert!(judged(name, profile).is_empty(), "{name}");
        }
    }
    let strict = judged("openclaw", Profile::Strict);
    for code in [
        "npm-install-script",
        "npm-third-party-repack",
        "policy-license-denied",
    ] {
        assert!(strict.contains(code), "{strict:?}");
    }
}

/// A package with a program that needs a library nobody has, and one file twice.
fn odd_archive(registry: &Registry) {
    let manifest = json!({"name": "odd", "version": "1.0.0", "license": "MIT"});
    let text = manifest.to_string().into_bytes();
    let program = Program::new(&["libc.so.6", "libabsent.so.1"]).bytes();
    let members = [
        ("package/package.json", text.clone()),
        ("package/bin/odd", program),
        ("package/package.json", text),
    ];
    registry.publish_bytes("odd", "1.0.0", manifest, gzip(&tar(&members)));
}

#[test]
fn what_is_found_in_the_archives_is_weighed_too() {
    let registry = Registry::new();
    odd_archive(&registry);
    let desk = desk(&registry, &["odd@1.0.0"]);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let (library, twice) = (
        "native-missing-library npm odd@1.0.0",
        "lint-duplicate npm odd@1.0.0",
    );
    desk.write("policy.toml", "");
    desk.stage("resolve").ok();
    let report = desk.stage("fetch --format json").ok().json();
    assert_valid("fetch-report.json", &report);
    assert_eq!(of(&report, "warn"), [library]);
    assert_eq!(report["policy"]["waived"], json!([]));
    let deny = "[severity]\nnative-missing-library = \"deny\"\n";
    desk.write("policy.toml", deny);
    let ran = desk.stage("fetch --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("fetch-report.json", &ran.json());
    assert_eq!(of(&ran.json(), "deny"), [library]);
    // Waived there as everywhere; a waiver that only `resolve` needs is not called unused.
    let waivers = waiver("native-missing-library", "npm:odd", "2090-01-01")
        + &waiver("npm-deprecated", "npm:odd", "2090-01-01");
    desk.write("policy.toml", format!("{deny}{waivers}"));
    let report = desk.stage("fetch --format json").ok().json();
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["policy"]["waived"].as_array().unwrap().len(), 1);
    // What is unusual in an archive warns; this site does not take it.
    desk.write("policy.toml", "[severity]\nlint-duplicate = \"deny\"\n");
    let ran = desk.stage("bundle --key k.pem -o odd.stage --format json");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_eq!(of(&ran.json(), "deny"), [twice]);
    assert!(!desk.path("odd.stage").exists());
    desk.write("policy.toml", "");
    let report = desk
        .stage("bundle --key k.pem -o odd.stage --format json")
        .ok()
        .json();
    let none = "vuln-database-none the closure";
    assert_eq!(of(&report, "warn"), [twice, library, none]);
}

#[test]
fn a_name_lives_in_the_index_that_the_policy_pins_it_to() {
    let (public, internal) = (Registry::new(), Registry::new());
    for registry in [&public, &internal] {
        registry.publish("@acme/tool", "1.0.0", json!({}));
        registry.publish("app", "1.0.0", json!({"dependencies": {"@acme/tool": "1"}}));
    }
    let desk = desk(&public, &["app@1.0.0"]);
    let url = internal.server.url();
    let policy = format!("[source]\npin = [{{ match = \"npm:@acme/*\", index = \"{url}\" }}]\n");
    assert_valid("policy.json", &from_toml(&policy));
    desk.write("policy.toml", &policy);
    let misplaced = "policy-index-pin npm @acme/tool@1.0.0";
    let ran = desk.stage("resolve --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(of(&ran.json(), "deny"), [misplaced]);
    // The scope is sent where it belongs, as npm does it, and the public registry is not asked for it.
    let before = public.server.asked().len();
    desk.write(".npmrc", format!("@acme:registry={url}/\n"));
    desk.stage("resolve").ok();
    let asked = public.server.asked();
    let of_scope = |asked: &&Asked| asked.target.contains("acme");
    assert_eq!(
        asked[before..].iter().find(of_scope).map(|a| &a.target),
        None
    );
    desk.stage("fetch").ok();
    // What moves between resolving and fetching is seen there.
    desk.write(".npmrc", "");
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    for words in ["fetch", "bundle --key k.pem -o x.stage"] {
        let ran = desk.stage(&format!("{words} --format json"));
        assert_eq!(ran.code, 3, "{words}: {}", ran.stderr);
        assert_eq!(of(&ran.json(), "deny"), [misplaced], "{words}");
    }
    assert!(!desk.path("x.stage").exists());
    desk.write(
        "policy.toml",
        format!("{policy}[severity]\npolicy-index-pin = \"warn\"\n"),
    );
    let ran = desk.stage("bundle --key k.pem -o x.stage").ok();
    ran.says(&["warning[policy-index-pin]"]);
    desk.write(
        "policy.toml",
        "[source]\npin = [{ match = \"npm:@acme/*\" }]\n",
    );
    desk.stage("resolve").refused(2, "`index` must be given");
}

/// An index of these projects, below `/simple/`.
fn index(dists: Vec<Dist>) -> Server {
    Server::new(move |asked: &Asked| {
        let path = asked.target.trim_matches('/');
        let of = |dist: &&Dist| path == format!("files/{}", dist.file());
        if let Some(dist) = dists.iter().find(of) {
            return Reply::ok(dist.pack());
        }
        let Some(name) = path.strip_prefix("simple/") else {
            return Reply::status(404);
        };
        let of = dists
            .iter()
            .filter(|d| d.file().replace('_', "-").starts_with(&format!("{name}-")));
        let files: Vec<Value> = of
            .map(|dist| {
                let digest = Digest::of(&dist.pack()).hex();
                json!({"filename": dist.file(), "url": format!("/files/{}", dist.file()), "hashes": {"sha256": digest},
                    "upload-time": "2026-01-01T00:00:00Z"})
            })
            .collect();
        if files.is_empty() {
            return Reply::status(404);
        }
        let page = json!({"meta": {"api-version": "1.1"}, "name": name, "files": files});
        Reply::ok(page.to_string()).with("Content-Type", "application/vnd.pypi.simple.v1+json")
    })
}

#[test]
fn routes_send_the_names_of_projects_to_one_index_alone() {
    // Whoever publishes an internal name elsewhere, with a higher version, does not get in.
    let public = index(vec![
        Dist::new("app", "1.0").needs("acme-tool"),
        Dist::new("acme-tool", "9.0"),
    ]);
    let internal = index(vec![Dist::new("acme-tool", "1.0"), Dist::new("app", "7.0")]);
    let desk = Desk::new();
    let manifest = |routes: &str| {
        format!(
            "[target]\npython = \"3.11\"\n[policy]\nfile = \"policy.toml\"\n[pypi]\nindex = \"{}/simple/\"\nrequirements = \
             [\"app\"]\n{routes}",
            public.url()
        )
    };
    let routes = format!(
        "routes = {{ \"Acme_*\" = \"{}/simple/\" }}\n",
        internal.url()
    );
    assert_valid("manifest.json", &from_toml(&manifest(&routes)));
    let pin = format!(
        "[source]\npin = [{{ match = \"pypi:acme_*\", index = \"{}/simple\" }}]\n",
        internal.url()
    );
    desk.write("policy.toml", &pin);
    desk.write("stage.toml", manifest(""));
    let ran = desk.stage("resolve --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(
        of(&ran.json(), "deny"),
        ["policy-index-pin pypi acme-tool@9.0"]
    );
    let before = public.asked().len();
    desk.write("stage.toml", manifest(&routes));
    desk.stage("resolve").ok();
    desk.stage("fetch").ok();
    let purls = desk.stage("inspect stage.lock --format purl").ok().stdout;
    assert_eq!(purls, "pkg:pypi/acme-tool@1.0\npkg:pypi/app@1.0\n");
    let asked = |server: &Server, from: usize, word: &str| {
        let all = server.asked().split_off(from);
        all.iter().any(|asked| asked.target.contains(word))
    };
    assert!(!asked(&public, before, "acme") && asked(&internal, 0, "acme"));
    assert!(asked(&public, before, "app") && !asked(&internal, 0, "app"));
    // An index that does not have a name that is sent to it ends it; nobody else is asked.
    desk.write(
        "stage.toml",
        manifest(&routes.replace("Acme_*", "*")).replace("\"app\"", "\"nowhere\""),
    );
    let before = public.asked().len();
    desk.stage("resolve").refused(1, "nowhere");
    assert!(!asked(&public, before, "nowhere"));
    for (bad, word) in [
        (
            "routes = { \"a b\" = \"https://i.example/\" }\n",
            "name of projects",
        ),
        (
            "routes = { \"a\" = \"ftp://i.example/\" }\n",
            "an http or https address",
        ),
        (
            "routes = { \"a\" = \"https://u:p@i.example/\" }\n",
            "without password",
        ),
    ] {
        desk.write("stage.toml", manifest(bad));
        desk.stage("resolve").refused(2, word);
    }
}

/// Their indexes do not tell the licenses of Debian packages; their files do.
#[test]
fn licenses_of_debian_packages_are_read_before_they_are_bundled() {
    let dep5 = |name: &str| {
        format!(
            "Format: https://x.example/1.0/\n\nFiles: *\nCopyright: a\nLicense: {name}\n text\n"
        )
        .into_bytes()
    };
    let debs = [
        Deb::new("free", "1-1", "amd64").installs("./usr/share/doc/free/copyright", dep5("Expat")),
        Deb::new("own", "1-1", "amd64")
            .installs("./usr/share/doc/own/copyright", dep5("own\u{1b}[31m words")),
        Deb::new("mute", "1-1", "amd64"),
    ];
    let archive = Archive::new(
        &[Suite::new("bookworm", "bookworm").with("main", &debs)],
        &key(1),
    );
    let desk = Desk::new();
    desk.write("archive.asc", key(1).armored_certificate().unwrap());
    let manifest = |packages: &[&str]| {
        let url = archive.server.url();
        let text = format!(
            "[policy]\nfile = \"policy.toml\"\n[debian]\npackages = {packages:?}\n[[debian.source]]\nuri = \"{url}\"\n\
             suites = [\"bookworm\"]\ncomponents = [\"main\"]\nsigned-by = \"archive.asc\"\n"
        );
        desk.write("stage.toml", text);
    };
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.write("policy.toml", "[license]\nallow = [\"MIT\"]\n");
    manifest(&["free", "own", "mute"]);
    let report = desk.stage("resolve --format json").ok().json();
    assert_eq!(of(&report, "note"), ["policy-license-later the closure"]);
    let ran = desk.stage("bundle --key k.pem -o x.stage --format json");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let denied = of(&ran.json(), "deny");
    let unknown = "policy-license-unknown debian";
    assert_eq!(
        denied,
        [format!("{unknown} mute@1-1"), format!("{unknown} own@1-1")]
    );
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    manifest(&["free"]);
    desk.stage("resolve").ok();
    desk.stage("bundle --key k.pem -o x.stage").ok();
    desk.stage("verify x.stage --trust root.json").ok();
    let bundle = desk.read("x.stage");
    let licenses = document(&bundle, br#"{"licenses":[{"ecosystem""#);
    assert_valid("licenses-evidence.json", &licenses);
    let sbom = document(&bundle, br#"{"$schema":"http://cyclonedx"#);
    let components = sbom["components"].as_array().unwrap();
    let free = components.iter().find(|c| c["name"] == "free").unwrap();
    assert_eq!(free["licenses"][0]["expression"], "MIT", "{free}");
    let lock = String::from_utf8(desk.read("stage.lock")).unwrap();
    assert!(!lock.contains("license"), "{lock}");
    // The enclave judges by what the builder read: a license that it does not allow stays out.
    for (policy, code) in [("MIT", 0), ("ISC", 3)] {
        let (file, repo) = (format!("{policy}.toml"), format!("repo-{policy}"));
        desk.write(&file, format!("[license]\nallow = [\"{policy}\"]\n"));
        let print = desk.fingerprint("root.json");
        desk.stage(&format!(
            "repo init --repo {repo} --trust root.json --fingerprint {print} --policy {file}"
        ))
        .ok();
        let ran = desk.stage(&format!("import x.stage --repo {repo}"));
        assert_eq!(ran.code, code, "{policy}: {}", ran.stderr);
    }
}

#[test]
fn a_floor_of_evidence_denies_what_upstreams_do_not_sign() {
    let registry = registry();
    let desk = desk(&registry, &["app@1.0.0"]);
    for (floor, code) in [(0, 0), (2, 0), (3, 3), (4, 3)] {
        let policy = format!("[evidence]\nnpm = {floor}\n");
        assert_valid("policy.json", &from_toml(&policy));
        desk.write("policy.toml", policy);
        let ran = desk.stage("resolve --format json");
        assert_eq!(ran.code, code, "{floor}: {}", ran.stderr);
        let denied = of(&ran.json(), "deny");
        let low = denied
            .iter()
            .filter(|d| d.starts_with("policy-evidence-low npm "));
        assert_eq!(low.count(), if code == 0 { 0 } else { 6 }, "{denied:?}");
    }
    for bad in ["npm = 5", "npm = -1", "npm = \"L3\"", "nmp = 3"] {
        desk.write("policy.toml", format!("[evidence]\n{bad}\n"));
        desk.stage("resolve").refused(2, "policy.toml:2");
    }
}

/// What is no SPDX expression is unknown, whoever says it, and is carried with its text.
#[test]
fn licenses_in_words_of_their_own_travel_with_their_text() {
    let registry = Registry::new();
    let see = json!({"license": "SEE LICENSE IN docs/terms.md"});
    let files = [
        ("docs/terms.md", "\n\tTerms \u{1b}[31mof use\n"),
        ("LICENSE", "MIT"),
    ];
    registry.publish_files(("see", "1.0.0"), see, &files);
    registry.publish_files(
        ("none", "1.0.0"),
        json!({"license": null}),
        &[("LICENCE.txt", "Ours alone")],
    );
    registry.publish_files(("plain", "1.0.0"), json!({}), &[("LICENSE", "MIT License")]);
    registry.publish("bare", "1.0.0", json!({"license": "whatever"}));
    let desk = desk(&registry, &["see@1", "none@1", "plain@1", "bare@1"]);
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let allow = "[license]\nallow = [\"MIT\"]\n";
    desk.write(
        "policy.toml",
        format!("{allow}[severity]\npolicy-license-unknown = \"warn\"\n"),
    );
    desk.stage("resolve").ok();
    let ran = desk
        .stage("bundle --key k.pem -o x.stage --format json")
        .ok();
    let begins = [
        "its text begins \"Terms \\u{1b}[31mof use\"",
        "its text begins \"Ours alone\"",
    ];
    let ran = ran.says(&begins);
    let unknown = |report: &Value| -> Vec<String> {
        let mut found = of(report, "warn");
        found.retain(|one| one.starts_with("policy-license-unknown"));
        found
    };
    let expected = ["bare", "none", "see"].map(|n| format!("policy-license-unknown npm {n}@1.0.0"));
    assert_eq!(unknown(&ran.json()), expected);
    let told = document(&desk.read("x.stage"), br#"{"licenses":[{"ecosystem""#);
    assert_valid("licenses-evidence.json", &told);
    let told = told["licenses"].as_array().unwrap();
    let texts: Vec<(&str, &str, &str)> = told
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap();
            (text("release"), text("license"), text("text"))
        })
        .collect();
    assert_eq!(
        texts,
        [
            ("none@1.0.0", "", "Ours alone"),
            (
                "see@1.0.0",
                "SEE LICENSE IN docs/terms.md",
                "\n    Terms \\u{1b}[31mof use"
            ),
        ]
    );
    // The enclave shows it too, and opens no archive for it.
    desk.write("site.toml", allow);
    let print = desk.fingerprint("root.json");
    desk.stage(&format!(
        "repo init --repo repo --trust root.json --fingerprint {print} --policy site.toml"
    ))
    .ok();
    desk.stage("import x.stage --repo repo")
        .refused(3, "error[policy-license-unknown E50]")
        .says(&begins);
}
