//! The Debian solver: small archives, one rule each.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use stage::base::fault::Fault as _;
use stage::eco::debian::closure::{Member, Set};
use stage::eco::debian::pool::{Pool, Pull, Source};
use stage::eco::debian::solve::{self, Phased, Reason, Selection, SolveError, SolveRequest, Wish};
use stage::eco::debian::status;
use stage::eco::debian::version::Version;

/// A stanza: `name=version`, and its other fields.
fn package(title: &str, fields: &str) -> String {
    let (name, version) = title.split_once('=').unwrap_or((title, "1"));
    let fields: Vec<&str> = fields.split(';').map(str::trim).collect();
    let mut fields = fields.join("\n");
    if !fields.is_empty() {
        fields.push('\n');
    }
    let arch = if fields.contains("Architecture:") {
        ""
    } else {
        "Architecture: amd64\n"
    };
    format!("Package: {name}\nVersion: {version}\n{arch}{fields}SHA256: {name}{version}\n\n")
}

/// An index in short: one package a line, `name=version Field: value; Field: value`.
fn index(lines: &str) -> String {
    let packages = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    packages
        .map(|line| {
            line.split_once(' ').map_or_else(
                || package(line, ""),
                |(title, fields)| package(title, fields),
            )
        })
        .collect()
}

fn add(pool: &mut Pool, name: &str, pull: Pull, lines: &str) {
    let source = Source {
        name: name.to_owned(),
        pull,
    };
    pool.add_index(source, index(lines).as_bytes()).unwrap();
}

fn offers(lines: &str) -> Pool {
    let mut pool = Pool::new("amd64");
    add(&mut pool, "release", Pull::Automatic, lines);
    pool
}

/// What a host has: as [`index`], each line's `Status` is added unless it has one.
fn has(pool: &mut Pool, lines: &str) {
    let stanzas: Vec<String> = index(lines)
        .split_terminator("\n\n")
        .map(|stanza| {
            let given = stanza.contains("Status:");
            let state = if given {
                ""
            } else {
                "
Status: install ok installed"
            };
            format!(
                "{stanza}{state}

"
            )
        })
        .collect();
    let status = status::parse(stanzas.concat().as_bytes()).unwrap();
    pool.add_status(&status).unwrap();
}

fn request(wishes: &str) -> SolveRequest {
    let wishes = wishes
        .split_whitespace()
        .map(|text| Wish::parse(text).unwrap());
    SolveRequest {
        wishes: wishes.collect(),
        ..SolveRequest::default()
    }
}

fn titles(pool: &Pool, selection: &Selection) -> Vec<String> {
    let all = selection
        .chosen
        .iter()
        .map(|chosen| pool.candidate(chosen.candidate).unwrap());
    all.map(|c| format!("{}={}", c.name(), c.version()))
        .collect()
}

/// What is taken, without versions where they are 1.
#[track_caller]
fn taken(pool: &Pool, request: &SolveRequest) -> String {
    let selection = solve::solve(pool, request).unwrap();
    let all: Vec<String> = titles(pool, &selection)
        .iter()
        .map(|t| t.strip_suffix("=1").unwrap_or(t).to_owned())
        .collect();
    all.join(" ")
}

#[track_caller]
fn expect(lines: &str, wishes: &str, expected: &str) {
    assert_eq!(taken(&offers(lines), &request(wishes)), expected);
}

#[track_caller]
fn refused(pool: &Pool, wishes: &str) -> SolveError {
    solve::solve(pool, &request(wishes)).unwrap_err()
}

#[test]
fn the_first_alternative_that_can_be_had_is_taken() {
    let lines = "a Depends: gone | b | c
        b
        c";
    expect(lines, "a", "a b");
    // What is chosen anyway satisfies an alternative before a better one is looked for.
    expect(lines, "c a", "a c");
    expect(
        "a Depends: b (>= 2) | c (<< 1), d (= 1) | e\nb\nc=0.9~1\nd=1-0\ne",
        "a",
        "a c=0.9~1 d=1-0",
    );
    // An alternative that leads nowhere takes nothing along.
    expect(
        "a Depends: x | y\nx Depends: p, q\np\nq Depends: z\nz Depends: gone\ny",
        "a",
        "a y",
    );
}

#[test]
fn providers_stand_in_the_order_of_apt() {
    // The package of the name itself first.
    expect(
        "a Depends: v\nb Provides: v; Priority: required\nv Priority: extra",
        "a",
        "a v",
    );
    // Then the higher priority; then the one whose name was seen last.
    expect(
        "a Depends: v\nb Provides: v; Priority: optional\nc Provides: v; Priority: extra",
        "a",
        "a b",
    );
    expect(
        "a Depends: v\nb Provides: v; Priority: optional\nc Provides: v; Priority: optional",
        "a",
        "a c",
    );
    expect(
        "first Suggests: c\na Depends: v\nb Provides: v\nc Provides: v",
        "a",
        "a b",
    );
    // Essential before priority.
    expect(
        "a Depends: v\nb Provides: v; Priority: optional; Essential: yes\nc Provides: v; Priority: required",
        "a",
        "a b",
    );
}

#[test]
fn a_provided_version_is_the_one_that_is_stated() {
    let lines = "a Depends: v (>= 2)
        b=9 Provides: v
        c=9 Provides: v (= 1.9)
        d=1 Provides: v (= 2.0)";
    expect(lines, "a", "a d");
    let error = refused(
        &offers("a Depends: v (>= 2)\nb=9 Provides: v\nc Provides: v (>= 3)"),
        "a",
    );
    assert_eq!(error.code().name, "upstream-debian-unsatisfiable");
}

#[test]
fn any_asks_for_what_allows_it() {
    expect("a Depends: p:any (>= 1)\np Multi-Arch: allowed", "a", "a p");
    expect("a Depends: p:any | q\np Multi-Arch: foreign\nq", "a", "a q");
    expect(
        "a Depends: v:any | q\np Multi-Arch: allowed; Provides: v\nq",
        "a",
        "a p",
    );
    expect(
        "a Depends: v:any | q\np Multi-Arch: same; Provides: v\nq",
        "a",
        "a q",
    );
    expect("a Depends: v:any | q\np Provides: v:any\nq", "a", "a p");
    expect("a Depends: p:native, q:amd64\np\nq", "a", "a p q");
    expect("a Depends: p:i386 | q\np\nq", "a", "a q");
}

#[test]
fn a_choice_never_falls_on_what_excludes_a_hard_need() {
    // w needs b and c for sure; b would be content with n, but n and c exclude each other.
    let lines = "w Depends: b, c
        b Depends: n | c
        n Conflicts: c
        c Conflicts: n";
    expect(lines, "w", "b c w");
    // The same where the choice comes up before anybody has named c.
    let deep = "w Depends: b, d
        b Depends: n | c
        n Conflicts: c; Provides: thing
        d Depends: c, thing | other
        c Conflicts: n
        other";
    expect(deep, "w", "b c d other w");
    // Breaks counts only for the versions it names.
    expect(
        "a Depends: b | c\nb=2\nc\nd Breaks: b (<< 2)",
        "d a",
        "a b=2 d",
    );
    expect(
        "a Depends: b | c\nb=1.9\nc\nd Breaks: b (<< 2)",
        "d a",
        "a c d",
    );
}

#[test]
fn nobody_excludes_himself() {
    expect(
        "mta Provides: mail; Conflicts: mail; Breaks: mta (<< 2)",
        "mta",
        "mta",
    );
    let both = offers("m1 Provides: mail; Conflicts: mail\nm2 Provides: mail; Conflicts: mail");
    let error = refused(&both, "m1 m2");
    let SolveError::Unsatisfiable { conflicts } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(conflicts[0], "m1=1 Conflicts: mail, and m2=1 is wanted too");
}

#[test]
fn a_conflict_says_who_wanted_what() {
    let said = |lines: &str, wishes: &str| {
        let error = refused(&offers(lines), wishes);
        let SolveError::Unsatisfiable { conflicts } = error else {
            panic!("{error:?}")
        };
        conflicts
    };
    assert_eq!(
        said("a Depends: b\nb Depends: c (>= 2)\nc", "a"),
        ["a=1 > b=1 Depends: c (>= 2), and the archives have only c=1"]
    );
    assert_eq!(
        said("a Depends: b\nb Pre-Depends: c | d", "a"),
        ["a=1 > b=1 Pre-Depends: c | d, and no archive has it for amd64"]
    );
    let lines = "a Depends: b
        b Depends: c
        c
        z Conflicts: c (<< 2)";
    assert_eq!(
        said(lines, "a z"),
        ["z=1 Conflicts: c (<< 2), and a=1 > b=1 > c=1 is wanted too"]
    );
}

#[test]
fn versions_are_pinned_and_the_highest_is_taken_otherwise() {
    let mut pool = offers("a=1.10\na=1.9\nb Depends: a (<< 1.10)\nc Depends: a");
    assert_eq!(taken(&pool, &request("c")), "a=1.10 c");
    assert_eq!(taken(&pool, &request("c a=1.9")), "a=1.9 c");
    assert_eq!(taken(&pool, &request("b a=1.9")), "a=1.9 b");
    // apt looks at candidates only, and so it refuses what an older version would satisfy.
    assert_eq!(
        refused(&pool, "b").code().name,
        "upstream-debian-unsatisfiable"
    );
    let error = refused(&pool, "a=2");
    assert_eq!(
        error.facts(),
        [("found", "1.10".to_owned()), ("found", "1.9".to_owned())]
    );
    add(&mut pool, "security", Pull::Automatic, "a=1.10+deb12u1");
    assert_eq!(taken(&pool, &request("c")), "a=1.10+deb12u1 c");
}

#[test]
fn the_first_source_and_the_higher_priority_win() {
    let mut pool = offers("a=1 Section: one");
    add(
        &mut pool,
        "second",
        Pull::Automatic,
        "a=1 Section: one\nb=1 Section: two",
    );
    add(&mut pool, "backports", Pull::Upgrades, "a=2~bpo\nonly\nc=3");
    add(&mut pool, "experimental", Pull::NotAutomatic, "a=9\nc=4");
    let selection = solve::solve(&pool, &request("a only c")).unwrap();
    let from = |at: usize| {
        let candidate = pool.candidate(selection.chosen[at].candidate).unwrap();
        (
            candidate.version().to_owned(),
            pool.source(candidate.source().unwrap())
                .unwrap()
                .name
                .clone(),
        )
    };
    assert_eq!(from(0), ("1".to_owned(), "release".to_owned()));
    assert_eq!(from(1), ("3".to_owned(), "backports".to_owned()));
    assert_eq!(from(2), ("1".to_owned(), "backports".to_owned()));
    assert_eq!(taken(&pool, &request("a=2~bpo")), "a=2~bpo");
    // Other bytes under the same version are another candidate, and the first source stays first.
    let mut pool = Pool::new("amd64");
    for (name, digest) in [("one", "aa"), ("two", "bb")] {
        let text = format!(
            "Package: a\nVersion: 1\nArchitecture: all\nSHA256: {}\n",
            digest.repeat(32)
        );
        let source = Source {
            name: name.to_owned(),
            pull: Pull::Automatic,
        };
        pool.add_index(source, text.as_bytes()).unwrap();
    }
    let selection = solve::solve(&pool, &request("a")).unwrap();
    let candidate = pool.candidate(selection.chosen[0].candidate).unwrap();
    assert_eq!(candidate.sha256().unwrap().hex(), "aa".repeat(32));
    assert_eq!((pool.versions("a").len(), candidate.arch()), (2, "all"));
}

#[test]
fn updates_that_are_rolled_out_wait_unless_nothing_else_does() {
    let mut pool = offers(
        "a=1\na=2 Phased-Update-Percentage: 40\nb=1 Phased-Update-Percentage: 0\nc=1\nc=2 Phased-Update-Percentage: 100",
    );
    assert_eq!(taken(&pool, &request("a b c")), "a b c=2");
    let take = SolveRequest {
        phased: Phased::Take,
        ..request("a b c")
    };
    assert_eq!(taken(&pool, &take), "a=2 b c=2");
    has(&mut pool, "a=2");
    assert_eq!(solve::solve(&pool, &request("a")).unwrap().present, ["a=2"]);
}

#[test]
fn virtual_names_are_taken_only_where_one_package_provides_them() {
    let pool =
        offers("m1 Provides: mail\nm2 Provides: mail\ndefault Provides: default-mail; Depends: m1");
    let error = refused(&pool, "mail");
    assert_eq!(
        (error.code().name, error.facts().len()),
        ("manifest-debian-virtual", 2)
    );
    assert_eq!(taken(&pool, &request("default-mail")), "default m1");
    let error = refused(&pool, "defaultt");
    assert_eq!(error.facts(), [("did you mean", "default".to_owned())]);
    assert_eq!(
        error.to_string(),
        "no archive has a package \"defaultt\" for amd64"
    );
    // Somebody names it, but nobody has it.
    let error = refused(&offers("a Suggests: ghost"), "ghost");
    assert_eq!(error.code().name, "upstream-debian-not-found");
}

#[test]
fn recommendations_are_followed_where_that_is_asked_for() {
    let pool =
        offers("a Recommends: b, gone, c | d; Suggests: e\nb Conflicts: a\nd Recommends: f\nf\ne");
    assert_eq!(taken(&pool, &request("a")), "a");
    let with = SolveRequest {
        recommends: true,
        ..request("a")
    };
    assert_eq!(taken(&pool, &with), "a d f");
    let selection = solve::solve(&pool, &with).unwrap();
    assert_eq!(selection.unmet_recommends, ["a: b", "a: gone"]);
}

#[test]
fn a_bootable_root_has_the_essential_set_and_apt() {
    let pool = offers("a\nbase Essential: yes; Depends: libc\nlibc\napt\nother");
    assert_eq!(taken(&pool, &request("a")), "a");
    let request = SolveRequest {
        essential: true,
        ..request("a")
    };
    assert_eq!(taken(&pool, &request), "a apt base libc");
    let selection = solve::solve(&pool, &request).unwrap();
    let reasons: Vec<&Reason> = selection.chosen.iter().map(|c| &c.reason).collect();
    assert_eq!(
        reasons[..3],
        [&Reason::Wish, &Reason::Essential, &Reason::Essential]
    );
    assert_eq!(
        reasons[3],
        &Reason::Needed {
            by: 2,
            field: "Depends"
        }
    );
    assert_eq!(selection.chosen[2].dependencies, [3]);
}

#[test]
fn what_the_image_has_is_subtracted_and_upgraded_where_it_must_be() {
    let lines = "a Depends: b, c (>= 2), v
        b=2
        c=2
        d=2 Provides: v
        e Provides: v; Priority: required
        lib=2
        old=2 Depends: lib
        new Depends: lib (>= 2)";
    let mut pool = offers(lines);
    has(
        &mut pool,
        "b\nc\nd Provides: v\nlib\nold Depends: lib (<< 2)",
    );
    let selection = solve::solve(&pool, &request("a b")).unwrap();
    // b is there, and `install b` upgrades it; d provides already; c must be upgraded.
    assert_eq!(titles(&pool, &selection), ["a=1", "b=2", "c=2"]);
    assert_eq!(selection.chosen[2].replaces.as_deref(), Some("1"));
    assert_eq!(taken(&pool, &request("a")), "a c=2");
    // What worked with the old version of lib only is upgraded with it.
    let selection = solve::solve(&pool, &request("new")).unwrap();
    assert_eq!(titles(&pool, &selection), ["lib=2", "new=1", "old=2"]);
    assert_eq!(selection.chosen[2].reason, Reason::Upgrade);
    assert_eq!(pool.current("lib").unwrap().version(), "1");
}

#[test]
fn packages_from_one_source_are_upgraded_together() {
    let lines = "tool=2 Source: suite
        lib=2 Source: suite (2)
        apart=2 Source: other";
    let mut pool = offers(lines);
    has(
        &mut pool,
        "tool Source: suite\nlib Source: suite\napart Source: other",
    );
    assert_eq!(taken(&pool, &request("tool")), "lib=2 tool=2");
}

#[test]
fn what_was_left_half_way_is_not_there() {
    let mut pool = offers("a Depends: b, c, d, e\nb\nc\nd\ne");
    has(
        &mut pool,
        "b Status: install ok half-configured\nc Status: deinstall ok config-files\nd Status: install reinstreq installed\ne Status: install ok triggers-pending",
    );
    assert_eq!(taken(&pool, &request("a")), "a b c d");
    for bad in [
        "Package: a\nStatus: installed\n",
        "Package: a\nVersion: 1\n",
        "Status: install ok installed\n",
        "Package: a\nPackage: a\n",
    ] {
        assert!(status::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn held_packages_stay_and_are_named() {
    let lines = "a Depends: b
        b=2
        x Depends: b (>= 2)";
    let mut pool = offers(lines);
    has(&mut pool, "b Status: hold ok installed");
    let selection = solve::solve(&pool, &request("a")).unwrap();
    assert_eq!(
        (titles(&pool, &selection), selection.held),
        (vec!["a=1".to_owned()], vec!["b=1".to_owned()])
    );
    let error = refused(&pool, "x");
    let SolveError::Unsatisfiable { conflicts } = &error else {
        panic!("{error:?}")
    };
    assert!(conflicts[0].contains("b=1 is held"), "{conflicts:?}");
    assert_eq!(refused(&pool, "b").code().name, "manifest-debian-held");
}

#[test]
fn nothing_of_the_image_is_removed_silently() {
    let mut pool =
        offers("a Conflicts: b\nb\nc Breaks: d (<< 2)\nd=2\ne Depends: f | g\nf Conflicts: b\ng");
    has(&mut pool, "b\nd");
    let error = refused(&pool, "a");
    let SolveError::Removal { package, because } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (package.as_str(), because.as_str()),
        ("b=1", "a=1 Conflicts: b")
    );
    // What breaks only the old version upgrades it.
    assert_eq!(taken(&pool, &request("c")), "c d=2");
}

#[test]
fn circles_end_and_long_chains_are_followed() {
    expect("a Depends: b\nb Depends: c\nc Pre-Depends: a", "b", "a b c");
    let chain = |length: usize| {
        let links: Vec<String> = (0..length)
            .map(|n| format!("p{n:05} Depends: p{:05}", n + 1))
            .collect();
        offers(&format!("{}\np{length:05}", links.join("\n")))
    };
    let selection = solve::solve(&chain(2_000), &request("p00000")).unwrap();
    assert_eq!(selection.chosen.len(), 2_001);
    let error = refused(&chain(8_000), "p00000");
    assert_eq!(error.code().name, "upstream-debian-unsatisfiable");
}

#[test]
fn the_architecture_is_that_of_the_target() {
    let text = index(
        "a Depends: b [arm64], c [amd64], d; Architecture: arm64\nb Architecture: arm64\nb=9 Architecture: amd64\nc Architecture: amd64\nd Architecture: all",
    );
    let mut pool = Pool::new("arm64");
    let source = Source {
        name: "release".to_owned(),
        pull: Pull::Automatic,
    };
    pool.add_index(source, text.as_bytes()).unwrap();
    assert_eq!(taken(&pool, &request("a")), "a b d");
    assert_eq!(taken(&pool, &request("a:arm64=1")), "a b d");
    assert_eq!(refused(&pool, "c").code().name, "upstream-debian-not-found");
    assert_eq!(
        refused(&pool, "a:amd64").code().name,
        "upstream-debian-not-found"
    );
    for bad in ["", "a=", "a b", "A", "a:=1", "a=1_0", "../a", "a=1=2"] {
        assert_eq!(Wish::parse(bad), None, "{bad}");
    }
}

#[test]
fn an_index_that_cannot_be_trusted_to_mean_anything_is_refused() {
    let source = || Source {
        name: "release".to_owned(),
        pull: Pull::Automatic,
    };
    for (text, reason) in [
        (
            "Package: ../a\nVersion: 1\nArchitecture: all\n",
            "is no name of a package",
        ),
        (
            "Package: a\nVersion: 1/2\nArchitecture: all\n",
            "is not a Debian version",
        ),
        (
            "Package: a\nVersion: 1\nVersion: 2\nArchitecture: all\n",
            "stands twice",
        ),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nProvides: b (\n",
            "is no relation",
        ),
        ("<html>", "is no field"),
    ] {
        let error = Pool::new("amd64")
            .add_index(source(), text.as_bytes())
            .unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains("index of release"), "{error}");
    }
    // A field that only one candidate has wrong matters once somebody wants it.
    let pool = offers("a\nb Depends: c (");
    assert_eq!(taken(&pool, &request("a")), "a");
    assert_eq!(refused(&pool, "b").code().name, "upstream-debian-relation");
}

#[test]
fn the_closure_check_sees_what_is_missing_and_what_is_in_the_way() {
    let set = |lines: &str, image: &str| {
        let (own, image) = (index(lines), index(image));
        let member = |stanza: &'static str, baseline| Member { stanza, baseline };
        let leaked: &'static str = Box::leak(own.into_boxed_str());
        let there: &'static str = Box::leak(image.into_boxed_str());
        let mut members: Vec<Member<'static>> = leaked
            .split_terminator("\n\n")
            .map(|s| member(s, false))
            .collect();
        members.extend(there.split_terminator("\n\n").map(|s| member(s, true)));
        let set = Set::new(&members, "amd64").unwrap();
        let shown = |all: Vec<stage::eco::debian::closure::Broken>| {
            let line = |b: &stage::eco::debian::closure::Broken| {
                format!(
                    "{} {}: {}{}",
                    b.name,
                    b.field,
                    b.relation,
                    b.by.as_ref()
                        .map_or_else(String::new, |by| format!(" by {by}"))
                )
            };
            all.iter().map(line).collect::<Vec<_>>().join("; ")
        };
        (shown(set.open().unwrap()), shown(set.excluded().unwrap()))
    };
    let whole = "a Depends: b (>= 1) | gone, v, p:any; Pre-Depends: c\nb Provides: v\nc\np Multi-Arch: allowed";
    assert_eq!(set(whole, ""), (String::new(), String::new()));
    let (open, _) = set(
        "a Depends: b (>= 2) | gone, v (>= 1), p:any; Pre-Depends: c\nb Provides: v\np",
        "",
    );
    assert_eq!(
        open,
        "a Depends: b (>= 2) | gone; a Depends: p:any; a Depends: v (>= 1); a Pre-Depends: c"
    );
    assert_eq!(set("a Depends: b, c", "b\nc Depends: gone").0, "");
    let (_, excluded) = set(
        "a Conflicts: v, a; Breaks: b (<< 1)\nb Provides: v",
        "x Breaks: a\ny Conflicts: x",
    );
    assert_eq!(excluded, "a Conflicts: v by b=1; x Breaks: a by a=1");
}

/// Versions in every combination of what makes them differ, and, where `STAGE_DEBIAN_INDEX` names an index, all of that.
#[test]
fn versions_compare_as_they_do_for_dpkg() {
    let mut versions: BTreeSet<String> = BTreeSet::new();
    for epoch in ["", "1:"] {
        for upstream in [
            "0", "1", "1.0", "1.00", "1.0~", "1.0~~", "1.0~a", "1.0a", "1.0+", "1.0.", "1.0-1",
            "1.0Z", "1.10", "01.9", "1a1", "1a01", "1a+1",
        ] {
            for revision in [
                "",
                "-0",
                "-1",
                "-1~",
                "-1~bpo12+1",
                "-1+b1",
                "-1.1",
                "-1ubuntu1",
                "-a",
                "-~",
            ] {
                versions.insert(format!("{epoch}{upstream}{revision}"));
            }
        }
    }
    if let Ok(path) = std::env::var("STAGE_DEBIAN_INDEX") {
        let text = std::fs::read_to_string(path).unwrap();
        versions.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("Version: "))
                .map(str::to_owned),
        );
    }
    let mut sorted: Vec<Version<'_>> = versions
        .iter()
        .map(|text| Version::parse(text).unwrap())
        .collect();
    sorted.sort();
    // Neighbours, and a fixed set of pairs far apart.
    let count = sorted.len();
    let near = (1..count).map(|at| (at - 1, at));
    let far = (0..count).flat_map(|at| [(at, at * 7919 % count), (at * 104_729 % count, at)]);
    let pairs: Vec<(usize, usize)> = near.chain(far).collect();
    let input: Vec<String> = pairs
        .iter()
        .map(|(a, b)| {
            format!(
                "{} {}
",
                sorted[*a], sorted[*b]
            )
        })
        .collect();
    let input = input.concat();
    let script = "use Dpkg::Version; $| = 0; while (<STDIN>) { my ($a, $b) = split; print version_compare($a, $b), qq(\n) }";
    let child = Command::new("perl")
        .args(["-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("perl is not here: nothing is compared");
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    if !output.status.success() {
        eprintln!("Dpkg::Version is not here: nothing is compared");
        return;
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), pairs.len());
    for ((a, b), line) in pairs.iter().zip(said.lines()) {
        let (a, b) = (sorted[*a], sorted[*b]);
        assert_eq!(a.cmp(&b) as i8, line.parse::<i8>().unwrap(), "{a} {b}");
        assert_eq!(b.cmp(&a), a.cmp(&b).reverse(), "{a} {b}");
    }
}

/// Prints how long the index that `STAGE_DEBIAN_INDEX` names takes from bytes to candidates: a row of `scripts/bench`.
#[test]
#[ignore = "measures; needs the index of a real archive and a release build"]
fn an_index_is_read() {
    let Ok(path) = std::env::var("STAGE_DEBIAN_INDEX") else {
        eprintln!("STAGE_DEBIAN_INDEX is not set: nothing is measured");
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let source = Source {
        name: "release".to_owned(),
        pull: Pull::Automatic,
    };
    let started = std::time::Instant::now();
    let mut pool = Pool::new("amd64");
    pool.add_index(source, &bytes).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    // Every candidate was read: each has a name and a version.
    let stanzas = bytes.split(|b| *b == b'\n');
    let stanzas = stanzas.filter(|line| line.starts_with(b"Package: "));
    assert_eq!(pool.len(), stanzas.count());
    eprintln!("{} candidates in {seconds:.4} s", pool.len());
}
