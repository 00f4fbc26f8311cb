//! The architecture: which module may use which, and the trust rules on top. A single crate has no other guard
//! against modules that grow into one lump.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source;

/// Modules in topological order, each with what it may use: only modules above it. `base` goes without saying.
/// A new module gets a row above its users.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("page", &[]),
    ("fs", &[]),
    ("lint", &[]),
    ("manifest", &["fs"]),
    ("lock", &["fs"]),
    ("archives", &["fs", "lint", "lock"]),
    ("upstream", &["lock"]),
    ("store", &["fs"]),
    ("trust", &["fs"]),
    ("enrolment", &["trust"]),
    ("ca", &["fs"]),
    ("release", &["fs", "manifest"]),
    ("openpgp", &[]),
    // `upstream` only in the connected files named in `may_use_upstream`.
    ("eco", &["manifest", "lock", "upstream", "openpgp"]),
    ("vulns", &["fs", "lint", "lock", "eco"]),
    ("evidence", &["lock", "eco", "openpgp"]),
    (
        "policy",
        &["fs", "lint", "archives", "manifest", "lock", "eco", "vulns"],
    ),
    ("vex", &["eco", "vulns", "policy"]),
    ("sbom", &["lock", "eco"]),
    ("bundle", &["fs", "lock", "store", "trust"]),
    ("sign", &["fs", "trust"]),
    ("agent", &["sign", "trust"]),
    (
        "resolve",
        &["manifest", "lock", "eco", "evidence", "upstream"],
    ),
    ("net", &["fs", "upstream"]),
    ("fetch", &["fs", "lock", "store", "upstream", "eco", "net"]),
    ("unpack", &["fs"]),
    // `store`, `eco`, `policy` and `unpack` only where it reads archives.
    (
        "licenses",
        &["fs", "lock", "store", "eco", "policy", "unpack"],
    ),
    ("changelogs", &["fs", "lock", "store", "unpack"]),
    // `eco` and `unpack` only where it reads archives.
    (
        "scripts",
        &["fs", "lint", "archives", "lock", "eco", "unpack"],
    ),
    ("native", &["fs", "lock", "store", "eco", "unpack"]),
    (
        "holes",
        &["fs", "manifest", "lock", "store", "eco", "policy", "unpack"],
    ),
    (
        "pack",
        &[
            "fs", "lock", "manifest", "store", "trust", "ca", "release", "eco", "sbom", "bundle",
            "sign",
        ],
    ),
    ("trial", &["fs", "lock", "store", "eco"]),
    ("prove", &["fs", "lock", "trust", "eco"]),
    ("flows", &["trust"]),
    ("permissions", &["trust"]),
    ("hids", &["fs", "lock", "eco", "unpack"]),
    ("verify", &["fs", "lock", "trust", "sbom", "bundle", "eco"]),
    (
        "packet",
        &[
            "fs",
            "lint",
            "lock",
            "eco",
            "evidence",
            "licenses",
            "sbom",
            "trust",
            "ca",
            "flows",
            "permissions",
            "hids",
            "verify",
            "page",
        ],
    ),
    ("submit", &["fs", "upstream", "net", "packet"]),
    (
        "transfer",
        &["fs", "lock", "trust", "unpack", "verify", "page"],
    ),
    (
        "import",
        &[
            "fs", "archives", "lock", "eco", "vulns", "policy", "licenses", "scripts", "trust",
            "bundle", "verify",
        ],
    ),
    ("serve", &["fs"]),
    // Compiled for fuzzing and for the tests that replay what it found; nobody uses it.
    (
        "fuzz",
        &[
            "lint", "archives", "lock", "eco", "vulns", "policy", "openpgp", "trust", "sign",
            "bundle", "verify", "native", "licenses", "scripts", "holes", "prove",
        ],
    ),
    (
        "cli",
        &[
            "fs",
            "lint",
            "archives",
            "manifest",
            "lock",
            "upstream",
            "store",
            "trust",
            "enrolment",
            "ca",
            "release",
            "openpgp",
            "eco",
            "vulns",
            "evidence",
            "policy",
            "vex",
            "sbom",
            "bundle",
            "sign",
            "agent",
            "resolve",
            "net",
            "fetch",
            "native",
            "holes",
            "licenses",
            "changelogs",
            "scripts",
            "pack",
            "trial",
            "prove",
            "flows",
            "permissions",
            "hids",
            "verify",
            "packet",
            "submit",
            "transfer",
            "import",
            "serve",
        ],
    ),
];

/// Modules that reach the network or decide what to ask it.
const CONNECTED: &[&str] = &["net", "agent", "fetch", "resolve", "upstream", "submit"];

/// Words that open a socket or name a crate that does, and the only modules that may use them.
const SOCKETS: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "reqwest",
    "tokio",
    "hyper",
    "tiny_http",
];

fn module(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The files of the library: not its root and not the program's entry.
fn library() -> Vec<(std::path::PathBuf, String)> {
    let mut all = source::rust();
    all.retain(|(path, _)| path != Path::new("src/lib.rs") && path != Path::new("src/main.rs"));
    assert!(all.len() > 30, "the sources were not found");
    all
}

/// The first segments after `crate::`, grouped imports included.
fn uses(code: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => out.extend(word(rest)),
            Some(group) => {
                let mut depth = 0_i32;
                let mut fresh = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if fresh && !c.is_whitespace() => {
                            out.extend(word(&group[at..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    out
}

fn word(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn words(code: &str) -> BTreeSet<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect()
}

/// The contract with resolvers, each ecosystem's table of functions, and the files of its resolver. What the enclave
/// renders (`repo`, `pins`, `bootstrap`, `records`) asks nobody.
fn may_use_upstream(path: &Path) -> bool {
    let names = [
        "mod.rs",
        "vouched.rs",
        "carry.rs",
        "provenance.rs",
        "ecosystem.rs",
        "resolve.rs",
        "assemble.rs",
        "confirm.rs",
        "fault.rs",
        "install.rs",
        "section.rs",
        "lockfile.rs",
        "peek.rs",
        "sdist.rs",
        "simple.rs",
    ];
    path.file_name()
        .is_some_and(|name| names.iter().any(|n| *n == name))
}

#[test]
fn the_table_has_no_cycle_and_keeps_the_network_out_of_trust() {
    let mut above: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, allowed) in ALLOWED {
        let mut reach = BTreeSet::new();
        for used in *allowed {
            assert!(
                above.contains_key(used),
                "{module} may not use {used}, which stands below it"
            );
            reach.insert(*used);
            // eco uses upstream in its resolvers only, which nothing of the enclave calls.
            reach.extend(
                above[used]
                    .iter()
                    .filter(|m| *used != "eco" || **m != "upstream"),
            );
        }
        assert!(
            above.insert(module, reach).is_none(),
            "{module} has two rows"
        );
    }
    for trusted in ["verify", "import", "bundle", "trust", "sign", "serve"] {
        for connected in CONNECTED {
            assert!(
                !above[trusted].contains(connected),
                "{trusted} reaches {connected}"
            );
        }
    }
}

#[test]
fn every_module_uses_only_what_it_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in library() {
        let own = module(&path);
        let Some(allowed) = allowed.get(own.as_str()) else {
            wrong.push(format!(
                "{}: module {own} has no row in ALLOWED; add it above its users",
                path.display()
            ));
            continue;
        };
        for used in uses(&source::code(&text)) {
            let fine = used == own || used == "base" || allowed.contains(&used.as_str());
            if !fine {
                wrong.push(format!("{}: uses crate::{used}", path.display()));
            }
            if own == "eco" && used == "upstream" && !may_use_upstream(&path) {
                wrong.push(format!(
                    "{}: only an ecosystem's resolver may use crate::upstream",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn edges_are_not_hidden() {
    let mut wrong = Vec::new();
    for (path, text) in library() {
        let code = source::code(&text);
        if code.contains("super::super") {
            wrong.push(format!(
                "{}: super::super; name the real path",
                path.display()
            ));
        }
        if code
            .lines()
            .any(|l| l.contains("::*;") || l.contains("::*}") || l.contains("::*,"))
        {
            wrong.push(format!(
                "{}: glob import; name what is used",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ecosystems_do_not_know_each_other() {
    let mut folders = BTreeSet::new();
    for (path, _) in library() {
        let parts: Vec<String> = path
            .iter()
            .map(|p| p.to_string_lossy().into_owned())
            .collect();
        if parts.len() > 3 && parts[1] == "eco" {
            folders.insert(parts[2].clone());
        }
    }
    assert!(folders.contains("npm"));
    for (path, text) in library() {
        let Ok(inside) = path.strip_prefix("src/eco") else {
            continue;
        };
        let own = inside.iter().next().unwrap().to_string_lossy().into_owned();
        let code = source::code(&text);
        for other in folders.iter().filter(|f| **f != own && own != "mod.rs") {
            let name = format!("eco::{other}");
            assert!(
                !code.contains(&name),
                "{}: uses its sibling {other}",
                path.display()
            );
        }
    }
}

#[test]
fn sockets_are_opened_by_net_and_serve_only() {
    for (path, text) in library() {
        let own = module(&path);
        if own == "net" || own == "serve" {
            continue;
        }
        let code = source::code(&text);
        // The socket of an ssh-agent, in the connected build.
        let allowed = |name: &str| own == "agent" && name == "UnixStream";
        for name in SOCKETS {
            assert!(
                allowed(name) || !words(&code).contains(name),
                "{}: names {name}; only net and serve may",
                path.display()
            );
        }
    }
}

#[test]
fn files_clock_and_environment_have_one_door_each() {
    for (path, text) in library() {
        let own = module(&path);
        let code = source::code(&text);
        let shown = path.display();
        if own != "fs" {
            assert!(
                !code.contains("std::fs"),
                "{shown}: std::fs is used in fs.rs only; extend it"
            );
        }
        if own != "cli" {
            for name in ["std::env", "SystemTime::now", "now_utc"] {
                assert!(
                    !code.contains(name),
                    "{shown}: {name} is used in cli only; pass the value in"
                );
            }
        }
    }
}

#[test]
fn secret_keys_are_held_by_sign_and_openpgp_only() {
    for (path, text) in library() {
        let own = module(&path);
        // Fuzzing signs what it makes up with a key of its own.
        if own == "sign" || own == "openpgp" || own == "fuzz" {
            continue;
        }
        let code = source::code(&text);
        assert!(
            own == "cli" || !words(&code).contains("RepositoryKey"),
            "{}: names the repository's secret key; others are handed a signer",
            path.display()
        );
        for name in ["SigningKey", "EcdsaKeyPair", "SecretKey"] {
            // An agent is wrapped into one, and keeps the secret to itself.
            let may_name = (own == "cli" || own == "agent") && name == "SecretKey";
            let held = words(&code).contains(name) && !may_name;
            assert!(
                !held,
                "{}: names {name}; only sign and openpgp may hold secret keys",
                path.display()
            );
        }
    }
}

#[test]
fn the_reader_of_imports_sees_groups() {
    let code = "use crate::{a::B, c::{D, e::F}, g};\nuse crate::h;\nlet x = crate::i::j();";
    let found: Vec<String> = uses(code).into_iter().collect();
    assert_eq!(found, ["a", "c", "g", "h", "i"]);
}
