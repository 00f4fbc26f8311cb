//! Resolving Python packages against an index in memory: what is chosen, what denies, what is an error.

use std::collections::BTreeSet;

use stage::base::digest::Digest;
use stage::base::fault::Fault;
use stage::base::finding::Severity;
use stage::base::package::EcosystemId;
use stage::base::platform::Platform;
use stage::base::progress::NoProgress;
use stage::base::time::Timestamp;
use stage::eco::install::Inputs;
use stage::eco::preference::Preference;
use stage::eco::pypi::records;
use stage::eco::pypi::request::{PypiLocked, PypiRequest, PypiRequirement};
use stage::eco::{installs, sections};
use stage::manifest::Manifest;
use stage::policy::ApprovedList;
use stage::resolve::{self, Closure, Input, PlannedInstall, ResolveError, check_closure};

use crate::pypi_index::{Dist, Index, request, target};

fn ids(closure: &Closure) -> Vec<String> {
    let packages = closure.lock.packages.iter();
    packages.map(|p| p.id().to_string()).collect()
}

fn found(closure: &Closure, severity: Severity) -> Vec<String> {
    let of = closure.findings.iter().filter(|f| f.severity == severity);
    of.map(|f| format!("{} {}", f.code.name, f.subject))
        .collect()
}

/// Whether the enclave has an interpreter is another matter.
fn nothing_against(closure: &Closure) {
    let mut findings = closure.findings.iter();
    let against = findings.find(|f| f.severity != Severity::Note);
    assert_eq!(against, None);
}

/// Resolves; nothing may be said against it.
fn resolved(dists: &[Dist], specs: &[&str]) -> Vec<String> {
    let closure = Index::new(dists).resolve(request(specs)).unwrap();
    nothing_against(&closure);
    ids(&closure)
}

/// Code and facts of the error.
fn error(dists: &[Dist], request: PypiRequest) -> (&'static str, String) {
    let error = Index::new(dists).resolve(request).unwrap_err().into_fault();
    let facts: Vec<String> = error.facts().into_iter().map(|(_, v)| v).collect();
    (error.code().name, facts.join("\n"))
}

/// An application whose newest version wants what the others cannot have.
fn world() -> Vec<Dist> {
    vec![
        Dist::new("app", "2.0")
            .needs("lib>=2")
            .needs("util[fast]~=1.0 ; python_version >= '3.8'"),
        Dist::new("app", "1.0").needs("lib"),
        Dist::new("lib", "1.0"),
        Dist::new("lib", "2.0").needs("base<2"),
        Dist::new("lib", "2.1").needs("base>=2"),
        Dist::new("util", "1.1")
            .needs("speed ; extra == 'fast'")
            .needs("windows-only ; sys_platform == 'win32'")
            .needs("base==1.*"),
        Dist::new("base", "1.5"),
        Dist::new("base", "2.0"),
        Dist::new("speed", "3.0").tags("cp312-cp312-manylinux_2_17_x86_64"),
        Dist::new("speed", "3.0").tags("cp312-cp312-manylinux_2_17_aarch64"),
        Dist::new("speed", "3.0").tags("cp311-cp311-manylinux_2_17_x86_64"),
    ]
}

const CHOSEN: [&str; 5] = ["app@2.0", "base@1.5", "lib@2.0", "speed@3.0", "util@1.1"];

#[test]
fn extras_markers_and_backtracking_in_any_order_of_answers() {
    let both = || PypiRequest {
        target: target(&Platform::ALL),
        ..request(&["app"])
    };
    let first = Index::new(&world()).resolve(both()).unwrap();
    nothing_against(&first);
    assert_eq!(ids(&first), CHOSEN);
    let speed = &first.lock.packages[3];
    assert_eq!(speed.artifacts.len(), 2);
    assert_eq!(speed.places, ["1:linux/amd64", "1:linux/arm64"]);
    assert_eq!(speed.license.as_deref(), Some("MIT"));
    let path = "speed/speed-3.0-cp312-cp312-manylinux_2_17_aarch64.whl";
    assert_eq!(speed.artifacts[0].path, path);
    let util = &first.lock.packages[4];
    let to: Vec<String> = util.dependencies.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["base@1.5", "speed@3.0"]);
    let document = records::parse(&first.records[&EcosystemId::pypi()]).unwrap();
    let speed = document.get(&"speed@3.0".parse().unwrap()).unwrap();
    assert_eq!(speed.files.len(), 2);
    assert!(document.about(speed).is_some());
    for seed in 1..30 {
        let mut index = Index::new(&world());
        index.seed = seed;
        let again = index.resolve(both()).unwrap();
        assert_eq!(
            (again.lock, again.records),
            (first.lock.clone(), first.records.clone()),
            "{seed}"
        );
    }
}

#[test]
fn metadata_comes_by_the_cheapest_way_that_the_index_has() {
    for (has_metadata, has_ranges, with, without) in [
        (true, true, ".metadata Immutable", "Part"),
        (false, true, "Part(Last", "Artifact"),
        (false, false, "Artifact", "Immutable"),
    ] {
        let mut index = Index::new(&[]);
        index.has_metadata = has_metadata;
        index.has_ranges = has_ranges;
        index.fill(&world());
        let closure = index.resolve(request(&["app"])).unwrap();
        assert_eq!(ids(&closure), CHOSEN);
        assert!(index.asked.iter().any(|a| a.contains(with)), "{with}");
        let unwanted = index.asked.iter().find(|a| a.contains(without));
        assert_eq!(unwanted, None);
        // METADATA stands before the part that is asked for first.
        let more = index.asked.iter().any(|a| a.contains("Part(From"));
        assert_eq!(more, !has_metadata && has_ranges);
    }
    // An index that says it has metadata, and does not.
    let mut index = Index::new(&world());
    index.files.retain(|name, _| !name.ends_with(".metadata"));
    assert_eq!(ids(&index.resolve(request(&["app"])).unwrap()), CHOSEN);
    // One that sends other metadata than it says.
    let mut index = Index::new(&world());
    let changed = b"Name: app\nVersion: 2.0\n".to_vec();
    let file = "app-2.0-py3-none-any.whl.metadata".to_owned();
    index.files.insert(file, changed);
    let error = index.resolve(request(&["app"])).unwrap_err().into_fault();
    assert_eq!(error.code().name, "upstream-pypi-metadata");
}

#[test]
fn pre_releases_only_when_asked_for_or_when_there_is_nothing_else() {
    let dists = [
        Dist::new("a", "1.0"),
        Dist::new("a", "2.0rc1"),
        Dist::new("only", "0.1b2"),
        Dist::new("uses", "1").needs("a>=1.5"),
    ];
    assert_eq!(resolved(&dists, &["a"]), ["a@1.0"]);
    assert_eq!(resolved(&dists, &["a>=1.0rc1"]), ["a@2.0rc1"]);
    assert_eq!(resolved(&dists, &["only"]), ["only@0.1b2"]);
    assert_eq!(resolved(&dists, &["uses"]), ["a@2.0rc1", "uses@1"]);
    let all = PypiRequest {
        pre: true,
        ..request(&["a"])
    };
    let closure = Index::new(&dists).resolve(all).unwrap();
    assert_eq!(ids(&closure), ["a@2.0rc1"]);
}

#[test]
fn yanked_versions_only_when_pinned_or_locked() {
    let dists = [
        Dist::new("a", "1.0"),
        Dist::new("a", "1.1").yanked("breaks \u{1b}[2J"),
    ];
    assert_eq!(resolved(&dists, &["a"]), ["a@1.0"]);
    let pinned = Index::new(&dists).resolve(request(&["a==1.1"])).unwrap();
    assert_eq!(ids(&pinned), ["a@1.1"]);
    assert_eq!(found(&pinned, Severity::Warn), ["pypi-yanked pypi a@1.1"]);
    assert!(!pinned.findings[0].message.contains('\u{1b}'));
    let mut locked = request(&["a"]);
    let kept = BTreeSet::from(["1.1".to_owned()]);
    locked.prefer = Preference::keeping([("a".to_owned(), kept)].into());
    assert_eq!(ids(&Index::new(&dists).resolve(locked).unwrap()), ["a@1.1"]);
    let (code, why) = error(&dists, request(&["a>1.0"]));
    assert_eq!(code, "upstream-pypi-no-solution");
    assert!(why.contains("a 1.1 was yanked"), "{why}");
}

#[test]
fn approved_versions_come_first_where_the_requirements_allow_them() {
    let dists = [
        Dist::new("a", "1.0"),
        Dist::new("a", "1.1"),
        Dist::new("a", "2.0rc1"),
        Dist::new("a", "2.0").yanked("broken"),
        Dist::new("b", "1.0").needs("a>=1.1"),
        Dist::new("b", "2.0").needs("a>=1.1"),
    ];
    let list = "name,version\nA,1.0; 2.0rc1; 2.0\nb,1.x\n";
    let list = ApprovedList::parse("approved.csv", list.as_bytes(), false).unwrap();
    let now = "2026-11-30T00:00:00Z".parse().unwrap();
    let approved = |wanted: &[&str], kept: &[&str]| {
        let mut request = request(wanted);
        let kept = kept.iter().map(|v| (*v).to_owned()).collect();
        let kept = Preference::keeping([("a".to_owned(), kept)].into());
        request.prefer = kept.approving(Some(list.of(&"pypi".parse().unwrap(), now)));
        ids(&Index::new(&dists).resolve(request).unwrap())
    };
    assert_eq!(resolved(&dists, &["a"]), ["a@1.1"]);
    assert_eq!(approved(&["a"], &[]), ["a@1.0"]);
    // Before what the lock has, which comes before the newest.
    assert_eq!(approved(&["a"], &["1.1"]), ["a@1.0"]);
    // Where nothing that is approved fits, what comes first by itself.
    assert_eq!(approved(&["a>1.0"], &[]), ["a@1.1"]);
    assert_eq!(approved(&["b"], &[]), ["a@1.1", "b@1.0"]);
    // A pre-release is taken only by who asks for one.
    assert_eq!(approved(&["a>=2.0rc0"], &[]), ["a@2.0rc1"]);
}

#[test]
fn requires_python_counts_by_its_lower_end() {
    let dists = [
        Dist::new("a", "3.0").python(">=3.13"),
        Dist::new("a", "2.0").python(">=3.8,<3.12"),
        Dist::new("a", "1.0").python(">=3.8"),
    ];
    let closure = Index::new(&dists).resolve(request(&["a"])).unwrap();
    assert_eq!(ids(&closure), ["a@2.0"]);
    let warned = found(&closure, Severity::Warn);
    assert_eq!(warned, ["pypi-requires-python pypi a@2.0"]);
    let (code, why) = error(&dists, request(&["a>=3"]));
    assert_eq!(code, "upstream-pypi-no-solution");
    assert!(why.contains("the manifest wants a >=3"), "{why}");
    assert!(why.contains("a 3.0 is for Python"), "{why}");
    let mut without = request(&["a"]);
    without.target.python = None;
    assert_eq!(error(&dists, without).0, "manifest-pypi-target");
}

#[test]
fn a_contradiction_is_explained_by_who_wants_what() {
    let dists = [
        Dist::new("web", "1.0").needs("http<2"),
        Dist::new("web", "1.1").needs("http<2"),
        Dist::new("bot", "5.0").needs("http>=2"),
        Dist::new("http", "1.9"),
        Dist::new("http", "2.1"),
    ];
    let (code, why) = error(&dists, request(&["web", "bot>=5"]));
    assert_eq!(code, "upstream-pypi-no-solution");
    let expected = "the manifest wants bot >=5\nthe manifest wants web\nbot 5.0 wants http >=2\n\
                    web 1.0 and 1.1 wants http <2";
    let mut lines: Vec<&str> = why.lines().collect();
    lines.retain(|line| !line.contains("no other version"));
    lines.sort_by_key(|line| (!line.starts_with("the manifest"), *line));
    assert_eq!(lines.join("\n"), expected, "{why}");
    let (code, why) = error(&dists, request(&["nothing-here"]));
    assert_eq!(
        (code, why.as_str()),
        ("upstream-pypi-not-found", "the manifest")
    );
    let (code, why) = error(&[Dist::new("a", "1").needs("gone>1")], request(&["a"]));
    assert_eq!(code, "upstream-pypi-no-solution");
    assert!(why.contains("the index has no version of gone"), "{why}");
}

#[test]
fn a_platform_without_a_wheel_denies_unless_sources_are_allowed() {
    let build = "[build-system]\nrequires = [\"backend>=2\"]\nbuild-backend = \"backend\"\n";
    let dists = [
        Dist::new("native", "1.0").tags("cp312-cp312-manylinux_2_17_x86_64"),
        Dist::sdist("native", "1.0", "2.2")
            .needs("dep")
            .pyproject(build),
        Dist::new("dep", "1.0"),
        Dist::new("backend", "2.1").needs("dep"),
        Dist::sdist("old", "1.0", "2.1").needs("dep"),
    ];
    let both = PypiRequest {
        target: target(&Platform::ALL),
        ..request(&["native"])
    };
    let closure = Index::new(&dists).resolve(both.clone()).unwrap();
    assert_eq!(
        found(&closure, Severity::Deny),
        ["pypi-no-wheel pypi native"]
    );
    let finding = &closure.findings[0];
    assert!(finding.message.contains("linux/arm64"), "{finding:?}");
    let fix = finding.fix.as_ref().unwrap();
    assert!(fix.contains("sdist = [\"native\"]"), "{fix}");
    let mut allowed = both;
    allowed.sdist.insert("native".parse().unwrap());
    let closure = Index::new(&dists).resolve(allowed).unwrap();
    assert_eq!(found(&closure, Severity::Deny), [""; 0]);
    assert_eq!(
        found(&closure, Severity::Warn),
        ["pypi-sdist pypi native@1.0"]
    );
    assert_eq!(ids(&closure), ["backend@2.1", "dep@1.0", "native@1.0"]);
    let backend = &closure.lock.packages[0];
    assert_eq!(backend.places, ["1:linux/arm64:build:native"]);
    let dep = &closure.lock.packages[1];
    let places = ["1:linux/arm64", "1:linux/arm64:build:native"];
    assert_eq!(dep.places, places);
    assert!(closure.lock.packages[2].install_script);
    // Old metadata of sources is worth nothing.
    let mut old = request(&["old"]);
    old.sdist.insert("old".parse().unwrap());
    let (code, why) = error(&dists, old);
    assert_eq!(code, "upstream-pypi-no-solution");
    assert!(why.contains("only known after building it"), "{why}");
}

#[test]
fn direct_references_deny() {
    let dists = [Dist::new("a", "1.0").needs("vcs @ git+https://git.example/vcs")];
    let closure = Index::new(&dists)
        .resolve(request(&["a", "b @ https://files.example/b-1.0.tar.gz"]))
        .unwrap();
    let denied = found(&closure, Severity::Deny);
    let direct: Vec<&String> = denied.iter().filter(|d| d.starts_with("pypi-")).collect();
    assert_eq!(
        direct,
        [
            "pypi-direct-reference pypi b",
            "pypi-direct-reference pypi vcs"
        ]
    );
    let chain = &closure.findings.iter().find(|f| f.subject == "pypi vcs");
    assert_eq!(chain.unwrap().chain, ["a", "a@1.0"]);
}

#[test]
fn what_is_newer_or_of_unknown_time_does_not_exist() {
    let dists = [
        Dist::new("a", "1.0"),
        Dist::new("a", "1.1").at(Some("2026-03-01T00:00:00Z")),
        Dist::new("a", "1.2").at(None),
        Dist::new("a", "1.3").at(Some("yesterday")),
    ];
    assert_eq!(resolved(&dists, &["a"]), ["a@1.3"]);
    for (limit, expected) in [
        ("2026-02-01T00:00:00Z", "a@1.0"),
        ("2026-03-01T00:00:00Z", "a@1.1"),
    ] {
        let mut limited = request(&["a"]);
        limited.exclude_newer = Some(limit.parse().unwrap());
        let closure = Index::new(&dists).resolve(limited).unwrap();
        assert_eq!(ids(&closure), [expected]);
    }
}

#[test]
fn hashes_and_constraints_of_a_requirements_file_count() {
    let dists = [
        Dist::new("a", "1.0").needs("b"),
        Dist::new("b", "1.0"),
        Dist::new("b", "2.0"),
    ];
    let mut wanted = request(&["a"]);
    wanted.constraints = vec!["b<2".to_owned(), "unused==1".to_owned()];
    let closure = Index::new(&dists).resolve(wanted.clone()).unwrap();
    assert_eq!(ids(&closure), ["a@1.0", "b@1.0"]);
    wanted.require_hashes = true;
    let (code, why) = error(&dists, wanted.clone());
    assert_eq!(code, "upstream-pypi-no-solution");
    assert!(why.contains("no file with a hash"), "{why}");
    for dist in &dists[..2] {
        let name = dist.file().split('-').next().unwrap().parse().unwrap();
        let sums = BTreeSet::from([Digest::of(&dist.pack())]);
        wanted.hashes.insert(name, sums);
    }
    let closure = Index::new(&dists).resolve(wanted).unwrap();
    assert_eq!(ids(&closure), ["a@1.0", "b@1.0"]);
}

#[test]
fn a_lock_of_another_tool_is_taken_as_it_is_and_checked() {
    let dists = [
        Dist::new("a", "1.0").needs("b>=1"),
        Dist::new("b", "1.0"),
        Dist::new("b", "2.0"),
    ];
    let locked = |name: &str, version: &str, bytes: Option<&Dist>| PypiLocked {
        name: name.parse().unwrap(),
        version: version.to_owned(),
        extras: BTreeSet::new(),
        platforms: Vec::new(),
        hashes: bytes.iter().map(|d| Digest::of(&d.pack())).collect(),
    };
    let taken = |packages: Vec<PypiLocked>| {
        let mut wanted = request(&[]);
        wanted.locked = Some(packages);
        Index::new(&dists).resolve(wanted).unwrap()
    };
    let good = taken(vec![
        locked("a", "1.0", Some(&dists[0])),
        locked("b", "1.0", None),
    ]);
    assert_eq!(ids(&good), ["a@1.0", "b@1.0"]);
    nothing_against(&good);
    let open = taken(vec![locked("a", "1.0", None)]);
    assert_eq!(found(&open, Severity::Deny), ["lock-open-edge pypi a@1.0"]);
    let other = taken(vec![
        locked("a", "1.0", Some(&dists[1])),
        locked("b", "7.0", None),
    ]);
    let denied = found(&other, Severity::Deny);
    assert_eq!(
        denied,
        ["pypi-locked-file pypi a@1.0", "pypi-locked-file pypi b@7.0"]
    );
}

#[test]
fn hostile_pages_are_errors_and_printed_safely() {
    let good = Index::new(&world());
    let whole = good.pages["app/"].clone();
    let half = whole[..whole.len() / 2].to_vec();
    let nested = "[".repeat(100_000).into_bytes();
    for page in [
        half,
        nested,
        "\u{202e}html".as_bytes().to_vec(),
        vec![0xff; 10],
    ] {
        let mut index = Index::new(&world());
        index.pages.insert("app/".to_owned(), page);
        let error = index.resolve(request(&["app"])).unwrap_err().into_fault();
        assert_eq!(error.code().name, "upstream-pypi-page");
        assert!(!error.to_string().contains('\u{202e}'));
    }
    // A page that is asked for ahead, and not needed in the end, may be anything.
    let dists = [
        Dist::new("a", "2.0").needs("none>1").needs("bad"),
        Dist::new("a", "1.0"),
        Dist::new("none", "1.0"),
    ];
    for seed in 0..8 {
        let mut index = Index::new(&dists);
        index.seed = seed;
        index.pages.insert("bad/".to_owned(), b"{".to_vec());
        let closure = index.resolve(request(&["a"])).unwrap();
        assert_eq!(ids(&closure), ["a@1.0"], "{seed}");
    }
    // Names and versions in a page cannot leave their place.
    let mut index = Index::new(&[Dist::new("a", "1.0")]);
    let text = String::from_utf8(index.pages["a/"].clone()).unwrap();
    let evil = text.replace(
        "\"a-1.0-py3-none-any.whl\"",
        "\"../../a-1.0-py3-none-any.whl\"",
    );
    index.pages.insert("a/".to_owned(), evil.into_bytes());
    let error = index.resolve(request(&["a"])).unwrap_err().into_fault();
    assert_eq!(error.code().name, "upstream-pypi-no-solution");
}

#[test]
fn requirements_may_be_for_some_platforms() {
    let mut wanted = request(&["a"]);
    wanted.target = target(&Platform::ALL);
    wanted.requirements.push(PypiRequirement {
        spec: "b".to_owned(),
        platforms: vec![Platform::LinuxArm64],
    });
    let dists = [Dist::new("a", "1.0"), Dist::new("b", "1.0")];
    let closure = Index::new(&dists).resolve(wanted).unwrap();
    assert_eq!(closure.lock.packages[1].platforms, [Platform::LinuxArm64]);
    nothing_against(&closure);
}

#[test]
fn the_closure_check_finds_what_is_taken_out() {
    let closure = Index::new(&world()).resolve(request(&["app"])).unwrap();
    let open = |change: &dyn Fn(&mut stage::lock::Lock)| {
        let mut lock = closure.lock.clone();
        change(&mut lock);
        let findings = check_closure(&lock, &closure.records).unwrap();
        findings.into_iter().map(|f| f.message).collect::<Vec<_>>()
    };
    assert_eq!(open(&|_| ()), [""; 0]);
    // Needed only by an extra that a package asks for.
    let without = open(&|lock| lock.packages.retain(|p| p.name != "speed"));
    let expected = "required dependency \"speed\" \"\" is not in the lock for linux/amd64";
    assert!(without.iter().any(|m| m == expected), "{without:?}");
    let older = open(&|lock| lock.packages[1].version = "2.0".to_owned());
    assert!(
        older.iter().any(|m| m.contains("\"base\" \"<2\"")),
        "{older:?}"
    );
    let elsewhere = open(&|lock| lock.packages[3].platforms = vec![Platform::LinuxArm64]);
    assert!(!elsewhere.is_empty());
    let strange = open(&|lock| {
        let file = &mut lock.packages[3].artifacts[0].file;
        *file = file.replace("cp312-cp312", "cp311-cp311");
    });
    assert!(
        strange
            .iter()
            .any(|m| m.starts_with("has no file in the lock that runs on")),
        "{strange:?}"
    );
}

/// Resolves the only install of a manifest that has these lines in `[pypi]`; `files` are the user's.
fn from_manifest(
    lines: &str,
    files: &[(&str, String)],
    dists: &[Dist],
) -> Result<(Vec<String>, Closure), Box<dyn Fault>> {
    let text = format!(
        "[bundle]\nchannel = \"x\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\npython = \"3.12\"\n[pypi]\n{lines}"
    );
    let manifest = Manifest::parse("stage.toml", text.as_bytes(), &sections())?;
    let found = installs(&manifest)?;
    let install = found[0].2.as_ref();
    let mut inputs = Inputs::new();
    loop {
        let mut named = install.inputs(&inputs)?;
        named.retain(|file| !inputs.contains_key(&file.role));
        if named.is_empty() {
            break;
        }
        for file in named {
            let known = files
                .iter()
                .find(|(path, _)| file.path.to_str() == Some(path));
            inputs.insert(file.role, known.unwrap().1.clone().into_bytes());
        }
    }
    let requirements = install.requirements(&inputs)?;
    let input = Input {
        target: manifest.target.clone(),
        exclude_newer: None,
        now: Timestamp::default(),
        keys: stage::eco::vouched::UpstreamKeys::shipped().unwrap(),
        installs: vec![PlannedInstall {
            ecosystem: EcosystemId::pypi(),
            number: 1,
            install,
            inputs,
            requirements: requirements.clone(),
            prefer: Preference::none(),
        }],
    };
    let closure = resolve::run(&input, None, &mut Index::new(dists), &NoProgress);
    Ok((requirements, closure.map_err(ResolveError::into_fault)?))
}

#[test]
fn a_requirements_file_brings_includes_constraints_and_hashes() {
    let dists = [
        Dist::new("a", "1.0").needs("b"),
        Dist::new("b", "1.0"),
        Dist::new("b", "2.0"),
        Dist::new("c", "1.0"),
    ];
    let files = [
        ("deps/all.txt", "a\n-r more.txt\n-c limits.txt\n".to_owned()),
        (
            "deps/more.txt",
            "c==1.0 ; python_version > '3.8'  # why\n".to_owned(),
        ),
        ("deps/limits.txt", "b<2\n".to_owned()),
    ];
    let lines = "file = \"deps/all.txt\"";
    let (requirements, closure) = from_manifest(lines, &files, &dists).unwrap();
    assert_eq!(ids(&closure), ["a@1.0", "b@1.0", "c@1.0"]);
    assert_eq!(requirements, ["a", "c==1.0 ; python_version > '3.8'"]);
    nothing_against(&closure);
    let names: Vec<&str> = closure
        .lock
        .inputs
        .iter()
        .map(|i| i.name.as_str())
        .collect();
    assert_eq!(names, ["deps/all.txt", "deps/limits.txt", "deps/more.txt"]);
    let hashed = |of: &Dist| {
        let sum = Digest::of(&of.pack()).hex();
        vec![("r.txt", format!("c==1.0 --hash=sha256:{sum}\n"))]
    };
    let lines = "file = \"r.txt\"";
    let (_, closure) = from_manifest(lines, &hashed(&dists[3]), &dists).unwrap();
    assert_eq!(ids(&closure), ["c@1.0"]);
    let error = from_manifest(lines, &hashed(&dists[0]), &dists).unwrap_err();
    assert_eq!(error.code().name, "upstream-pypi-no-solution");
    let place = [("r.txt", "git+https://git.example/x#egg=x\nc\n".to_owned())];
    let (_, closure) = from_manifest(lines, &place, &dists).unwrap();
    let denied = found(&closure, Severity::Deny);
    assert_eq!(denied, ["pypi-direct-reference pypi ?"]);
}

#[test]
fn lock_files_of_uv_and_of_the_standard_are_taken() {
    let dists = [
        Dist::new("a", "1.0").needs("b>=1"),
        Dist::new("b", "1.0"),
        Dist::new("b", "2.0"),
        Dist::new("dev", "1.0"),
    ];
    let sum = |of: &Dist| Digest::of(&of.pack()).hex();
    let uv = format!(
        "version = 1\nrequires-python = \">=3.8\"\n\
         [[package]]\nname = \"mine\"\nversion = \"0\"\nsource = {{ virtual = \".\" }}\n\
         dependencies = [{{ name = \"a\" }}]\n\
         [package.dev-dependencies]\ndev = [{{ name = \"dev\" }}]\n\
         [[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = {{ registry = \"https://i.example/simple\" }}\n\
         dependencies = [{{ name = \"b\" }}]\n\
         wheels = [{{ url = \"https://f.example/a-1.0-py3-none-any.whl\", hash = \"sha256:{}\" }}]\n\
         [[package]]\nname = \"b\"\nversion = \"1.0\"\nsource = {{ registry = \"https://i.example/simple\" }}\n\
         wheels = [{{ url = \"https://f.example/b-1.0-py3-none-any.whl\", hash = \"sha256:{}\" }}]\n\
         [[package]]\nname = \"dev\"\nversion = \"1.0\"\nsource = {{ registry = \"https://i.example/simple\" }}\n\
         wheels = [{{ url = \"https://f.example/dev-1.0-py3-none-any.whl\", hash = \"sha256:{}\" }}]\n",
        sum(&dists[0]),
        sum(&dists[1]),
        sum(&dists[3])
    );
    let uv = [("uv.lock", uv)];
    let (names, closure) = from_manifest("lockfile = \"uv.lock\"", &uv, &dists).unwrap();
    assert_eq!(names, ["uv.lock"]);
    assert_eq!(ids(&closure), ["a@1.0", "b@1.0"]);
    nothing_against(&closure);
    let grouped = "lockfile = \"uv.lock\"\ngroups = [\"dev\"]";
    let (_, closure) = from_manifest(grouped, &uv, &dists).unwrap();
    assert_eq!(ids(&closure), ["a@1.0", "b@1.0", "dev@1.0"]);
    let pylock = format!(
        "lock-version = \"1.0\"\ncreated-by = \"it\"\nrequires-python = \">=3.8\"\n\
         [[packages]]\nname = \"b\"\nversion = \"2.0\"\n\
         [[packages.wheels]]\nname = \"b-2.0-py3-none-any.whl\"\nurl = \"https://f.example/b\"\nhashes = {{ sha256 = \"{}\" }}\n",
        sum(&dists[2])
    );
    let lines = "lockfile = \"pylock.toml\"";
    let good = [("pylock.toml", pylock.clone())];
    assert_eq!(
        ids(&from_manifest(lines, &good, &dists).unwrap().1),
        ["b@2.0"]
    );
    let late = [("pylock.toml", pylock.replace(">=3.8", ">=3.13"))];
    let error = from_manifest(lines, &late, &dists).unwrap_err();
    assert_eq!(error.code().name, "manifest-pypi-lockfile");
    for wrong in [
        "",
        "lockfile = \"poetry.lck\"",
        "lockfile = \"uv.lock\"\nrequirements = [\"a\"]",
        "requirements = [\"a\"]\nextras = [\"x\"]",
        "requirements = [\"a b\"]",
    ] {
        let error = from_manifest(wrong, &uv, &dists).unwrap_err();
        assert_eq!(error.code().name, "manifest-value", "{wrong}");
    }
}
