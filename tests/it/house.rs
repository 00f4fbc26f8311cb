//! House rules that no lint knows: sizes, forgotten test files, words, error codes, packages, help.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::source;

/// Most lines of a file without its tests.
const MOST_LINES: usize = 600;
/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Most packages in `Cargo.lock`, and in the tree of the enclave build: a new one is a decision.
const MOST_PACKAGES: usize = 605;
const MOST_ENCLAVE_PACKAGES: usize = 292;

/// Packages that may not be in the enclave build, by exact name, and why.
const BANNED: &[(&str, &[&str])] = &[
    (
        "it has no HTTP client",
        &[
            "reqwest",
            "ureq",
            "hyper",
            "hyper-util",
            "h2",
            "curl",
            "curl-sys",
        ],
    ),
    (
        "it has no TLS stack",
        &["rustls", "native-tls", "openssl", "openssl-sys"],
    ),
    (
        "it has no async runtime",
        &["tokio", "async-std", "smol", "mio", "socket2"],
    ),
    (
        "it resolves no names",
        &["hickory-resolver", "hickory-proto", "trust-dns-resolver"],
    ),
    (
        "it writes no SBOM and resolves nothing",
        &["cyclonedx-bom", "nodejs-semver", "npmrc-config-rs"],
    ),
    ("it brings async-std", &["debian-packaging"]),
    ("it is static and loads no library", &["cryptoki"]),
];

/// First words that an error code may have: who is to blame.
const BLAME: &[&str] = &[
    "manifest",
    "lint",
    "lock",
    "upstream",
    "fetch",
    "bundle",
    "trust",
    "verify",
    "policy",
    "import",
    "cli",
    "internal",
    "fs",
    "eco",
    "evidence",
    "store",
    "repo",
    "serve",
    "npm",
    "pypi",
    "debian",
    "cargo",
    "file",
    "native",
    "prove",
    "interpreter",
    "flow",
    "permission",
    "hole",
    "openpgp",
    "vuln",
    "transfer",
    "ca",
    "packet",
    "submit",
];

#[test]
fn files_are_short_enough_to_read() {
    for (path, text) in source::rust() {
        let lines = source::without_tests(&text).lines().count();
        let name = path.to_string_lossy();
        let excused = LONGER.iter().any(|(file, _)| *file == name);
        assert!(
            lines <= MOST_LINES || excused,
            "{name}: {lines} lines; split it by responsibility"
        );
    }
    for (file, reason) in LONGER {
        assert!(
            !reason.is_empty() && source::root().join(file).exists(),
            "{file}"
        );
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in source::rust() {
        assert!(
            text.starts_with("//! "),
            "{}: no module documentation",
            path.display()
        );
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let main = std::fs::read_to_string(source::root().join("tests/it/main.rs")).unwrap();
    let listed: BTreeSet<&str> = main
        .lines()
        .filter_map(|l| l.trim().strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    for path in source::files("tests/it") {
        let inside: Vec<_> = path.iter().skip(2).collect();
        let name = inside[0].to_string_lossy().into_owned();
        let name = name.trim_end_matches(".rs");
        assert!(
            name == "main" || listed.contains(name),
            "{}: not in tests/it/main.rs",
            path.display()
        );
    }
}

#[test]
fn nothing_unfinished_is_left_in_the_sources() {
    let words = [
        ["dbg", "!("],
        ["todo", "!("],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["fix", "me"],
        ["XX", "X"],
    ];
    for folder in ["src", "tests", "schemas"] {
        for path in source::files(folder) {
            let bytes = std::fs::read(source::root().join(&path)).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for word in &words {
                let word = word.concat();
                let found = text.lines().position(|line| has_word(line, &word));
                assert!(
                    found.is_none(),
                    "{}:{}: {word}",
                    path.display(),
                    found.unwrap_or(0) + 1
                );
            }
        }
    }
}

/// Whether `line` has `word` and not as part of a longer one, such as a template of six capital letters.
fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !letter(before.chars().next_back()) && !letter(after.chars().next())
    })
}

/// Addresses of registries come from the manifest or from the host's client configuration, never from here. The
/// names are put together so that this file does not have them.
#[test]
fn no_registry_host_is_written_down() {
    let hosts = [
        ["npm", "js.org"],
        ["npm", "js.com"],
        ["pypi", ".org"],
        ["python", "hosted.org"],
        ["crates", ".io"],
        ["deb.", "debian.org"],
        ["security.", "debian.org"],
        ["nodejs", ".org/dist"],
    ];
    let mut paths = Vec::new();
    for folder in [
        "src",
        "tests",
        "scripts",
        "schemas",
        "lockfiles",
        "keys",
        "docs",
        "Cargo.toml",
        "README.md",
        "CHANGELOG.md",
    ] {
        paths.extend(source::files(folder));
    }
    assert!(paths.len() > 40, "the tree was not found");
    // Records beside a lock are made by resolving and are not kept here.
    let kept = |path: &Path| !path.to_string_lossy().contains(".records/");
    for path in paths.into_iter().filter(|path| kept(path)) {
        let bytes = std::fs::read(source::root().join(&path)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for host in &hosts {
            let host = host.concat();
            let found = text.lines().position(|l| l.contains(&host));
            assert!(
                found.is_none(),
                "{}:{}: names a registry host",
                path.display(),
                found.unwrap_or(0) + 1
            );
        }
    }
}

/// Every `Code::new("…")` and `Code::classed("…")` of the sources.
fn codes() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (path, text) in source::rust() {
        let text = source::without_tests(&text);
        for start in ["Code::new(", "Code::classed("] {
            for (at, _) in text.match_indices(start) {
                let rest = text[at + start.len()..].trim_start();
                let name = rest.strip_prefix('"').and_then(|r| r.split('"').next());
                out.extend(name.map(|n| (n.to_owned(), path.display().to_string())));
            }
        }
    }
    out
}

#[test]
fn every_code_is_unique_and_names_who_is_to_blame() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let found = codes();
    assert!(found.len() > 10, "no codes were found");
    for (code, file) in found {
        let kebab = code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(kebab, "{file}: {code} is not kebab-case");
        let blame = code.split('-').next().unwrap();
        assert!(
            BLAME.contains(&blame),
            "{file}: {code} does not begin with one of {BLAME:?}"
        );
        if let Some(other) = seen.insert(code.clone(), file.clone()) {
            panic!("{code} is in {other} and in {file}");
        }
    }
}

#[test]
fn every_package_comes_from_the_one_index() {
    let text = std::fs::read_to_string(source::root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = toml::from_str(&text).unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(
        packages.len() <= MOST_PACKAGES,
        "{} packages, more than {MOST_PACKAGES}",
        packages.len()
    );
    let index = ["registry+https://github.com/rust-lang/crates", ".io-index"].concat();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        match package.get("source").and_then(toml::Value::as_str) {
            Some(source) => assert_eq!(source, index, "{name}"),
            None => assert_eq!(name, "stage"),
        }
    }
}

#[test]
fn the_enclave_build_has_no_network_packages() {
    let output = Command::new(env!("CARGO"))
        .current_dir(source::root())
        .args([
            "tree",
            "--locked",
            "--offline",
            "--no-default-features",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(
        names.contains("stage"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (reason, packages) in BANNED {
        for package in *packages {
            assert!(
                !names.contains(package),
                "{package} is in the enclave build, but {reason}"
            );
        }
    }
    assert!(
        names.len() <= MOST_ENCLAVE_PACKAGES,
        "{} packages, more than {MOST_ENCLAVE_PACKAGES}",
        names.len()
    );
}

/// The help of every command, one after another. Update with `STAGE_UPDATE_SNAPSHOTS=1` and read the difference.
#[cfg(feature = "connected")]
#[test]
fn help_is_what_was_reviewed() {
    let mut found = String::new();
    let mut root = plain(
        stage::cli::command()
            .term_width(100)
            .disable_help_subcommand(true),
    );
    root.build();
    collect(&mut found, &mut root, "stage");
    let path = source::root().join("tests/data/help.txt");
    let update = std::env::var_os("STAGE_UPDATE_SNAPSHOTS").is_some();
    if update && std::env::var_os("CI").is_none() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = expected
        .lines()
        .zip(found.lines())
        .position(|(one, other)| one != other);
    let line = difference.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    assert!(
        expected == found,
        "tests/data/help.txt:{}: help has changed; run this test with STAGE_UPDATE_SNAPSHOTS=1 and review",
        line + 1
    );
}

#[cfg(feature = "connected")]
fn plain(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| argument.hide_env_values(true))
        .mut_subcommands(plain)
}

#[cfg(feature = "connected")]
fn collect(out: &mut String, command: &mut clap::Command, name: &str) {
    use std::fmt::Write as _;

    writeln!(out, "# {name}\n\n{}\n", command.render_long_help()).unwrap();
    for child in command.get_subcommands_mut() {
        let name = format!("{name} {}", child.get_name());
        collect(out, child, &name);
    }
}
