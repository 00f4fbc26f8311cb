//! `stage ca check` on certificates that openssl made: roots, chains that servers send, and fingerprints.

use serde_json::Value;

use crate::desk::{Desk, Ran, ran};
use crate::schemas::assert_valid;

/// A folder with every certificate of `make.sh`.
pub(crate) fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("make.sh", include_str!("ca_check/make.sh"));
    ran(desk.command("sh", "make.sh")).ok();
    desk
}

fn check(desk: &Desk, words: &str) -> Ran {
    desk.stage(&format!("ca check {words} --format json"))
}

/// `severity code` of every finding.
fn found(ran: &Ran) -> Vec<String> {
    let report = ran.json();
    assert_valid("ca-check-report.json", &report);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|f| format!("{} {}", text(f, "severity"), text(f, "code")))
        .collect()
}

#[test]
fn roots_are_told_apart() {
    let desk = desk();
    for (file, exit, codes) in [
        ("goodroot", 0, &[][..]),
        ("rsa2048", 0, &["warn ca-short-key"]),
        ("rsa1024", 3, &["deny manifest-ca-weak-key"]),
        (
            "sha1root",
            0,
            &["warn ca-short-key", "note ca-weak-signature"],
        ),
        ("tampered", 3, &["deny ca-self-signature"]),
        ("noku", 0, &["warn ca-key-usage"]),
        ("notcritical", 0, &["warn ca-not-critical"]),
        ("noid", 0, &["warn ca-key-id"]),
        ("soon", 0, &["warn ca-expires-soon"]),
        ("serial", 0, &["warn ca-serial"]),
        ("longlife", 0, &["note ca-validity"]),
        ("purpose", 0, &["warn ca-purpose"]),
        ("critical", 0, &["warn ca-critical-extension"]),
        ("curve", 0, &["warn ca-curve", "warn ca-self-signature"]),
        ("ncroot", 0, &["note ca-name-constraints"]),
        ("nclax", 0, &["warn ca-name-constraints"]),
        ("int", 0, &["warn manifest-ca-intermediate"]),
        (
            "sha1int",
            3,
            &["deny ca-weak-signature", "warn manifest-ca-intermediate"],
        ),
        ("twice", 0, &["note ca-duplicate"]),
    ] {
        let ran = check(&desk, &format!("{file}.pem"));
        assert_eq!(found(&ran), codes, "{file}: {}", ran.stdout);
        assert_eq!(ran.code, exit, "{file}: {}", ran.stdout);
    }
    let ran = check(&desk, "goodroot.pem cross.pem");
    let crossed = ["warn ca-cross-signed", "warn manifest-ca-intermediate"];
    assert_eq!(found(&ran), crossed);
    let ran = check(&desk, "goodroot.pem renewed.pem");
    assert_eq!(found(&ran), ["warn ca-same-key"]);
    // Days and time are the user's.
    let ran = check(&desk, "soon.pem --days 20");
    assert_eq!(found(&ran), [""; 0]);
    desk.stage("ca check soon.pem --at 2100-01-01T00:00:00Z")
        .refused(2, "manifest-ca-not-valid");
}

#[test]
fn what_is_no_root_is_refused_with_its_reason() {
    let desk = desk();
    for (file, code, why) in [
        ("leaf.pem", "manifest-ca-not-a-ca", "of a server"),
        ("server.pem", "manifest-ca-not-a-ca", "of a server"),
        ("v1.pem", "manifest-ca-not-a-ca", "version 3"),
        ("withkey.pem", "manifest-ca-private-key", "withkey.pem"),
        ("goodroot.der", "manifest-ca-not-pem", "not PEM"),
        ("goodroot.key", "manifest-ca-private-key", "goodroot.key"),
    ] {
        let ran = desk.stage(&format!("ca check {file}"));
        ran.refused(2, code).says(&[why]);
    }
}

#[test]
fn fingerprints_are_compared_as_openssl_prints_them() {
    let desk = desk();
    let words = "x509 -in goodroot.pem -noout -fingerprint -sha256";
    let printed = ran(desk.command("openssl", words)).ok().stdout;
    let fingerprint = printed.trim().rsplit_once('=').unwrap().1.to_owned();
    let hex = fingerprint.replace(':', "").to_lowercase();
    for form in [&fingerprint, &hex, &format!("sha256:{hex}")] {
        let ran = check(&desk, &format!("goodroot.pem --expect-fingerprint {form}"));
        assert_eq!(found(&ran.ok()), [""; 0]);
    }
    let expected = format!("otherroot.pem --expect-fingerprint {hex}");
    let ran = check(&desk, &expected);
    // The one is a stranger, the other is missing.
    assert_eq!(found(&ran), ["deny ca-fingerprint", "deny ca-fingerprint"]);
    assert_eq!(ran.code, 3);
    let ran = check(&desk, &format!("goodroot.pem {expected}"));
    assert_eq!(found(&ran), ["deny ca-fingerprint"]);
    desk.stage("ca check goodroot.pem --expect-fingerprint 5C1A")
        .refused(2, "64 hexadecimal digits");
}

#[test]
fn chains_are_judged_as_openssl_judges_them() {
    let desk = desk();
    for (roots, chain, host, codes) in [
        ("goodroot", "full", "repo.corp.example", &[][..]),
        ("goodroot", "full", "10.1.2.3", &[]),
        (
            "goodroot",
            "srv",
            "repo.corp.example",
            &["deny ca-chain-incomplete"],
        ),
        (
            "otherroot",
            "full",
            "repo.corp.example",
            &["deny ca-chain-incomplete"],
        ),
        (
            "otherroot",
            "withroot",
            "repo.corp.example",
            &["deny ca-chain-other-root", "note ca-chain-root"],
        ),
        (
            "goodroot",
            "withroot",
            "repo.corp.example",
            &["note ca-chain-root"],
        ),
        (
            "goodroot",
            "shuffled",
            "repo.corp.example",
            &["warn ca-chain-order", "note ca-chain-root"],
        ),
        (
            "goodroot",
            "reversed",
            "repo.corp.example",
            &[
                "deny ca-chain-host",
                "deny ca-chain-refused",
                "warn ca-chain-order",
            ],
        ),
        (
            "goodroot",
            "full",
            "www.corp.example",
            &["deny ca-chain-host"],
        ),
        (
            "goodroot",
            "client-full",
            "repo.corp.example",
            &["deny ca-chain-refused"],
        ),
        (
            "goodroot",
            "toolong",
            "repo.corp.example",
            &["deny ca-chain-refused"],
        ),
        (
            "goodroot",
            "byleaf",
            "repo.corp.example",
            &["deny ca-chain-refused"],
        ),
        // Its key may sign certificates and no handshake.
        (
            "goodroot",
            "signer",
            "repo.corp.example",
            &["deny ca-chain-refused"],
        ),
        (
            "goodroot",
            "shortly",
            "repo.corp.example",
            &["warn ca-expires-soon"],
        ),
        (
            "ncroot",
            "direct",
            "repo.corp.example",
            &["note ca-name-constraints"],
        ),
        (
            "ncroot",
            "outside",
            "repo.elsewhere.example",
            &[
                "deny ca-chain-refused",
                "deny ca-host",
                "note ca-name-constraints",
            ],
        ),
        (
            "rsa2048",
            "sha1-full",
            "repo.corp.example",
            &[
                "deny ca-chain-refused",
                "deny ca-weak-signature",
                "warn ca-short-key",
            ],
        ),
    ] {
        let words = format!("{roots}.pem --chain {chain}.pem --host {host}");
        let ran = check(&desk, &words);
        assert_eq!(found(&ran), codes, "{words}: {}", ran.stdout);
        let denied = codes.iter().any(|code| code.starts_with("deny"));
        assert_eq!(ran.code, if denied { 3 } else { 0 }, "{words}");
        // What openssl says, which has no opinion on SHA-1 below its own security level.
        let name = if host.starts_with(|c: char| c.is_ascii_digit()) {
            "-verify_ip"
        } else {
            "-verify_hostname"
        };
        let verify = format!(
            "verify -x509_strict -purpose sslserver -auth_level 2 {name} {host} -CAfile {roots}.pem -untrusted {chain}.pem {chain}.pem"
        );
        let openssl = crate::desk::ran(desk.command("openssl", &verify));
        assert_eq!(
            openssl.code == 0,
            !denied,
            "{words}: {}{}",
            openssl.stdout,
            openssl.stderr
        );
    }
}

#[test]
fn the_missing_intermediate_is_named() {
    let desk = desk();
    let ran = desk.stage("ca check goodroot.pem --chain srv.pem --host repo.corp.example");
    ran.refused(
        3,
        "does not send the certificate of its issuer: \"CN=int\" (key ",
    );
    // OpenSSL looks at the common name all the same; Go, rustls and browsers do not.
    let ran = check(&desk, "goodroot.pem --chain noname-full.pem --host noname");
    assert_eq!(found(&ran), ["deny ca-chain-host"]);
    // Names that a CA may not vouch for, before there is any server.
    let ran = check(&desk, "ncroot.pem --host repo.elsewhere.example");
    assert_eq!(found(&ran), ["deny ca-host", "note ca-name-constraints"]);
    for (file, host, fine) in [
        ("ncroot", "repo.corp.example", true),
        ("ncroot", "corp.example", true),
        ("ncroot", "evilcorp.example", false),
        ("ncroot", "10.9.9.9", true),
        ("ncroot", "192.0.2.1", false),
        ("nclax", "secret.corp.example", false),
        ("nclax", "a.secret.corp.example", false),
        ("nclax", "open.corp.example", true),
    ] {
        let ran = check(&desk, &format!("{file}.pem --host {host}"));
        assert_eq!(ran.code, if fine { 0 } else { 3 }, "{file} {host}");
    }
    desk.stage("ca check goodroot.pem --host bad_host!")
        .refused(2, "no host name");
}

#[cfg(feature = "connected")]
#[test]
fn a_server_is_asked_for_its_chain() {
    use std::io::BufRead as _;
    use std::process::Stdio;

    let desk = desk();
    for (chain, code) in [("full", 0), ("srv", 3)] {
        let server = "import socket, ssl, sys\n\
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            context.load_cert_chain(sys.argv[1], 'srv.key')\n\
            listener = socket.create_server(('127.0.0.1', 0))\n\
            print(listener.getsockname()[1], flush=True)\n\
            peer, _ = listener.accept()\n\
            context.wrap_socket(peer, server_side=True).recv(1)\n";
        desk.write("server.py", server);
        let mut child = desk
            .command("python3", &format!("server.py {chain}.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        let port = port.trim();
        let ran = check(
            &desk,
            &format!("goodroot.pem --connect 127.0.0.1:{port} --host repo.corp.example"),
        );
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        let report = ran.json();
        assert_valid("ca-check-report.json", &report);
        assert_eq!(report["served"]["from"], format!("127.0.0.1:{port}"));
        assert_eq!(report["served"]["certificates"][0]["subject"], "CN=srv");
        child.wait().unwrap();
        // Nobody listens there any more.
        desk.stage(&format!("ca check goodroot.pem --connect 127.0.0.1:{port}"))
            .refused(1, "upstream-unreachable");
    }
    desk.stage("ca check goodroot.pem --connect repo.corp.example")
        .refused(2, "HOST:PORT");
}
