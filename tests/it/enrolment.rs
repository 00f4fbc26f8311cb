//! Certificates of keys: chains that openssl makes, given to roots, proven against a CA; and every way in which they are not.

use data_encoding::BASE64;
use serde_json::Value;

use crate::desk::{Desk, Ran, ran};
use crate::schemas::assert_valid;

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const SHORT_CA: &str =
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n";
const LEAF: &str =
    "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n";
/// After every person's certificate ends, and before any CA's does.
const LATER: &str = "2090-01-01T00:00:00Z";
const BEFORE: &str = "2020-01-01T00:00:00Z";

/// An organisation with CAs that openssl made: keys `NAME.pem`, certificates `NAME.crt`.
struct Office {
    desk: Desk,
}

impl Office {
    /// `p384` and `rsa` are roots, `under` an intermediate of `p384`, and alice, bob and rita have keys.
    fn new() -> Self {
        let office = Self { desk: Desk::new() };
        for name in ["alice", "bob", "rita"] {
            office.desk.key(name);
        }
        office.key("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384");
        office.key("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
        office.key("under", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
        office.root("p384", CA);
        office.root("rsa", CA);
        office.issue("under", "p384", SHORT_CA, "-days 30000");
        office
    }

    fn openssl(&self, words: &str) -> Ran {
        ran(self.desk.command("openssl", words))
    }

    fn key(&self, name: &str, how: &str) {
        self.openssl(&format!("genpkey {how} -out {name}.pem")).ok();
    }

    fn request(&self, name: &str, extensions: &str) {
        self.desk.write("extensions", extensions);
        self.openssl(&format!(
            "req -new -key {name}.pem -subj /O=Example/CN={name} -out {name}.csr"
        ))
        .ok();
    }

    /// A certificate that a key gives itself.
    fn root(&self, name: &str, extensions: &str) {
        self.request(name, extensions);
        self.openssl(&format!(
            "x509 -req -in {name}.csr -signkey {name}.pem -extfile extensions -days 30000 -out {name}.crt"
        ))
        .ok();
    }

    fn issue(&self, name: &str, by: &str, extensions: &str, more: &str) {
        self.request(name, extensions);
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {by}.crt -CAkey {by}.pem -set_serial 0x1a2b -extfile extensions {more} -out {name}.crt"
        ))
        .ok();
    }

    /// One file with these certificates, one after another.
    fn join(&self, names: &[&str], file: &str) {
        let all: Vec<u8> = names
            .iter()
            .flat_map(|name| self.desk.read(&format!("{name}.crt")))
            .collect();
        self.desk.write(file, all);
    }

    /// A root in which alice has this chain, and how she stands: the exit code, the word, the reason.
    fn judge(&self, chain: &[&str], ca: &[&str], more: &str) -> (i32, String, String) {
        self.join(chain, "chain.pem");
        self.join(ca, "ca.pem");
        drop(std::fs::remove_file(self.desk.path("one.json")));
        self.desk
            .stage("trust init --key alice.pub --person alice --x5c chain.pem -o one.json")
            .ok();
        self.inspect("one.json", more)
    }

    fn inspect(&self, file: &str, more: &str) -> (i32, String, String) {
        let ran = self.desk.stage(&format!(
            "trust inspect {file} --ca ca.pem --format json {more}"
        ));
        let report = ran.json();
        assert_valid("enrolment-report.json", &report);
        let key = &report["keys"][0];
        let text = |field: &str| key[field].as_str().unwrap_or_default().to_owned();
        (ran.code, text("standing"), text("reason"))
    }

    /// What openssl says of alice's certificate.
    fn openssl_agrees(&self, chain: &[&str], ca: &[&str]) -> bool {
        self.join(chain, "untrusted.pem");
        self.join(ca, "anchors.pem");
        self.openssl("verify -CAfile anchors.pem -untrusted untrusted.pem alice.crt")
            .code
            == 0
    }
}

#[test]
fn chains_are_proven_and_shown_as_evidence() {
    let office = Office::new();
    let desk = &office.desk;
    office.issue("alice", "under", LEAF, "-days 365");
    office.issue("bob", "rsa", LEAF, "-days 365 -sha384");
    office.join(&["alice", "under"], "alice.chain");
    office.join(&["bob"], "bob.chain");
    office.join(&["p384", "rsa"], "ca.pem");
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob --x5c bob.chain --x5c alice.chain -o \
         root.json",
    )
    .ok();
    let root: Value = serde_json::from_slice(&desk.read("root.json")).unwrap();
    assert_valid("trust-root.json", &root);
    desk.stage("trust inspect root.json").ok().says(&[
        "alice (builder), 2 certificates",
        "bob (releaser), 1 certificate",
    ]);
    let end = office
        .openssl("x509 -in alice.crt -noout -enddate")
        .ok()
        .stdout;
    let year = end.split_whitespace().nth(3).unwrap().to_owned();
    let digest = office.openssl("x509 -in alice.crt -outform DER -out alice.der");
    assert_eq!(digest.code, 0);
    let digest = stage::base::digest::Digest::of(&desk.read("alice.der")).to_string();
    desk.stage("trust inspect root.json --ca ca.pem")
        .ok()
        .says(&[
            "CM-14, certificates of the keys of root 1",
            "alice (builder): proven",
            "O=Example, CN=alice",
            "issued by: \"O=Example, CN=under\", by \"O=Example, CN=p384\"",
            "serial:    1a2b",
            &format!("to {year}-"),
            &digest,
            "bob (releaser): proven",
            "rita (root): no certificate",
            "2 keys proven, 0 not proven, 1 without certificates",
        ]);
    let report = desk
        .stage("trust inspect root.json --ca ca.pem --format json")
        .ok()
        .json();
    assert_valid("enrolment-report.json", &report);
    assert_eq!(report["proven"], 2);
    assert_eq!(report["ca"].as_array().unwrap().len(), 2);
    let strict = desk.stage("trust inspect root.json --ca ca.pem --require-x5c");
    assert_eq!(strict.code, 4, "{}", strict.stderr);
    // Of two keys, one leads to the only CA that is given now.
    office.join(&["rsa"], "ca.pem");
    let ran = desk.stage("trust inspect root.json --ca ca.pem");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    ran.says(&[
        "alice (builder): NOT PROVEN, no path leads to the CA",
        "bob (releaser): proven",
    ]);
}

#[test]
fn a_chain_that_does_not_lead_to_the_ca_is_not_proven() {
    let office = Office::new();
    let good = |office: &Office| office.issue("alice", "under", LEAF, "-days 365");
    good(&office);
    let proven = (0, "proven".to_owned(), String::new());
    assert_eq!(office.judge(&["alice", "under"], &["p384"], ""), proven);
    // The CA's own certificate in the chain does no harm.
    assert_eq!(
        office.judge(&["alice", "under", "p384"], &["p384"], ""),
        proven
    );
    // What openssl refuses is refused: another CA, an intermediate that is missing.
    for (chain, ca, why) in [
        (&["alice", "under"][..], &["rsa"][..], "no path leads"),
        (&["alice"], &["p384"], "no path leads"),
        (&["alice", "under", "rsa"], &["rsa"], "no path leads"),
    ] {
        assert!(!office.openssl_agrees(&chain[1..], ca), "{chain:?}");
        let (code, standing, reason) = office.judge(chain, ca, "");
        assert_eq!((code, standing.as_str()), (4, "not-proven"), "{chain:?}");
        assert!(reason.contains(why), "{reason}");
    }
    assert!(office.openssl_agrees(&["under"], &["p384"]));
    // Not valid at another time, while the CA is.
    for (time, why) in [(LATER, "expired on"), (BEFORE, "ca")] {
        let ran = {
            office.judge(&["alice", "under"], &["p384"], "");
            office
                .desk
                .stage(&format!("trust inspect one.json --ca ca.pem --at {time}"))
        };
        if time == LATER {
            assert_eq!(ran.code, 4, "{}", ran.stderr);
            assert!(ran.stdout.contains(why), "{}", ran.stdout);
        } else {
            // Before, the CA was not valid either.
            ran.refused(2, "trust-certificates-ca");
        }
    }
}

#[test]
fn certificates_that_do_not_allow_it_prove_nothing() {
    let office = Office::new();
    office.key("odd", "-algorithm ed25519");
    // Issuers that may not issue.
    for (extensions, why) in [
        ("basicConstraints=CA:FALSE\n", "is not a CA"),
        ("keyUsage=critical,keyCertSign\n", "is not a CA"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n",
            "is not a CA",
        ),
    ] {
        office.issue("odd", "p384", extensions, "-days 365");
        office.issue("alice", "odd", LEAF, "-days 365");
        assert!(!office.openssl_agrees(&["odd"], &["p384"]), "{extensions}");
        let (code, _, reason) = office.judge(&["alice", "odd"], &["p384"], "");
        assert_eq!(code, 4, "{extensions}");
        assert!(reason.contains(why), "{extensions}: {reason}");
    }
    // One CA more than the intermediate allows, and one more than the root allows.
    office.issue("odd", "under", CA, "-days 365");
    office.issue("alice", "odd", LEAF, "-days 365");
    assert!(!office.openssl_agrees(&["odd", "under"], &["p384"]));
    let (code, _, reason) = office.judge(&["alice", "odd", "under"], &["p384"], "");
    assert!(code == 4 && reason.contains("longer"), "{reason}");
    office.root("rsa", SHORT_CA);
    office.issue("odd", "rsa", CA, "-days 365");
    office.issue("alice", "odd", LEAF, "-days 365");
    assert!(!office.openssl_agrees(&["odd"], &["rsa"]));
    let (code, _, reason) = office.judge(&["alice", "odd"], &["rsa"], "");
    assert!(code == 4 && reason.contains("longer"), "{reason}");
    // The key's own certificate is for something else; or it says nothing, and may be for anything.
    for (extensions, more, why) in [
        ("keyUsage=keyEncipherment\n", "", "key usage"),
        (
            "extendedKeyUsage=serverAuth,clientAuth\n",
            "",
            "extended key usage",
        ),
        ("1.2.3.4=critical,ASN1:NULL\n", "", "critical extension"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign\n",
            "",
            "that of a CA",
        ),
        (LEAF, "-sha1", "SHA-1"),
        ("", "", ""),
        ("extendedKeyUsage=emailProtection\n", "", ""),
        ("extendedKeyUsage=1.3.6.1.5.5.7.3.36,clientAuth\n", "", ""),
        ("extendedKeyUsage=anyExtendedKeyUsage\n", "", ""),
    ] {
        // Version 3 needs an extension.
        let extensions = format!("subjectKeyIdentifier=hash\n{extensions}");
        office.issue("alice", "rsa", &extensions, &format!("-days 365 {more}"));
        let (code, _, reason) = office.judge(&["alice"], &["rsa"], "");
        assert_eq!(
            code,
            if why.is_empty() { 0 } else { 4 },
            "{extensions}: {reason}"
        );
        assert!(reason.contains(why), "{extensions}: {reason}");
    }
}

#[test]
fn no_byte_of_a_certificate_can_be_another() {
    let office = Office::new();
    office.issue("alice", "under", LEAF, "-days 365");
    assert_eq!(office.judge(&["alice", "under"], &["p384"], "").0, 0);
    let root: Value = serde_json::from_slice(&office.desk.read("one.json")).unwrap();
    for place in 0..2 {
        let text = root["keys"][0]["x5c"][place].as_str().unwrap();
        let good = BASE64.decode(text.as_bytes()).unwrap();
        for at in (0..good.len()).step_by(13) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let mut changed = root.clone();
            changed["keys"][0]["x5c"][place] = BASE64.encode(&bad).into();
            office.desk.write("one.json", changed.to_string());
            let (code, standing, _) = office.inspect("one.json", "");
            assert_eq!(
                (code, standing.as_str()),
                (4, "not-proven"),
                "{place}, byte {at}"
            );
        }
    }
    for bad in ["AAAA", "not base64", ""] {
        let mut changed = root.clone();
        changed["keys"][0]["x5c"][0] = bad.into();
        office.desk.write("one.json", changed.to_string());
        assert_eq!(office.inspect("one.json", "").0, 4, "{bad}");
    }
    // The chain of another key, which `--x5c` would have refused.
    office.issue("bob", "under", LEAF, "-days 365");
    office
        .desk
        .stage("trust init --key bob.pub -o bob.json")
        .ok();
    let mut stolen: Value = serde_json::from_slice(&office.desk.read("bob.json")).unwrap();
    stolen["keys"][0]["x5c"] = root["keys"][0]["x5c"].clone();
    office.desk.write("bob.json", stolen.to_string());
    let (code, _, reason) = office.inspect("bob.json", "");
    assert!(code == 4 && reason.contains("another key"), "{reason}");
}

#[test]
fn a_chain_goes_to_the_key_that_it_is_for_or_nowhere() {
    let office = Office::new();
    let desk = &office.desk;
    office.issue("alice", "under", LEAF, "-days 365");
    office.issue("bob", "under", LEAF, "-days 365");
    office.join(&["alice", "under"], "alice.chain");
    office.join(&["bob", "under"], "bob.chain");
    office.join(&["under", "alice"], "reversed.chain");
    office.join(&["alice"; 9], "long.chain");
    desk.write(
        "secret.chain",
        [desk.read("alice.crt"), desk.read("alice.pem")].concat(),
    );
    desk.write("none.chain", "");
    for (chain, code) in [
        ("bob.chain", "trust-certificates-key"),
        ("reversed.chain", "must come first"),
        ("long.chain", "at most 8"),
        ("secret.chain", "secret key"),
        ("none.chain", "trust-certificates-unreadable"),
        ("alice.csr", "trust-certificates-unreadable"),
    ] {
        desk.stage(&format!(
            "trust init --key alice.pub --x5c {chain} -o no.json"
        ))
        .refused(2, code);
        assert!(!desk.path("no.json").exists());
    }
    // In later roots: given with the key, to a key that is there, and gone with the key that had it.
    desk.stage("trust init --key alice.pem -o root.json").ok();
    desk.stage(
        "trust add root.json --key bob.pub=bob --role releaser --x5c bob.chain --x5c alice.chain -o next.json",
    )
    .ok()
    .says(&["certificate sha256:", "(2 in the chain)"]);
    desk.stage("trust rotate next.json --key bob.pub=rita.pub -o next.json")
        .ok();
    let roots: Value = serde_json::from_slice(&desk.read("next.json")).unwrap();
    assert_eq!(roots.as_array().unwrap().len(), 2);
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["(root, builder), 2 certificates", "bob (releaser)\n"]);
    // Another chain for the same key shows in what persons read before they sign.
    desk.stage("trust sign next.json --key alice.pem").ok();
    office.issue("alice", "under", LEAF, "-days 366");
    office.join(&["alice", "under"], "alice.chain");
    desk.stage("trust rotate next.json --x5c alice.chain -o third.json")
        .ok()
        .says(&["certificate sha256:", " -> "]);
    // What does not fit into a bundle is not written.
    let long = format!("{LEAF}nsComment={}\n", "x".repeat(11_000));
    let mut words = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        desk.key(name);
        office.issue(name, "under", &long, "-days 365");
        words.push(format!("--key {name}.pub={name} --x5c {name}.crt"));
    }
    let words = words.join(" ");
    desk.stage(&format!(
        "trust add root.json --role builder {words} -o large.json"
    ))
    .refused(2, "65536");
    office.issue(
        "a",
        "under",
        &format!("{LEAF}nsComment={}\n", "x".repeat(17_000)),
        "-days 365",
    );
    desk.stage("trust add root.json --role builder --key a.pub=a --x5c a.crt -o large.json")
        .refused(2, "larger than 16 KiB");
}

#[test]
fn a_ca_file_must_have_a_ca() {
    let office = Office::new();
    office.issue("alice", "p384", LEAF, "-days 365");
    office.judge(&["alice"], &["p384"], "");
    let desk = &office.desk;
    desk.copy("alice.crt", "ca.pem");
    desk.stage("trust inspect one.json --ca ca.pem")
        .refused(2, "trust-certificates-ca");
    // A certificate that cannot vouch is named; the others count.
    office.join(&["alice", "p384"], "ca.pem");
    desk.stage("trust inspect one.json --ca ca.pem")
        .ok()
        .says(&["is not the certificate of a CA", "1 key proven"]);
    desk.copy("p384.pem", "ca.pem");
    desk.stage("trust inspect one.json --ca ca.pem")
        .refused(2, "trust-certificates-unreadable");
    desk.stage("trust inspect one.json --require-x5c")
        .refused(2, "--ca");
}

/// A certificate says who enrolled a key; what the key may do is the root's part.
#[cfg(feature = "connected")]
#[test]
fn certificates_decide_nothing_at_import() {
    let office = Office::new();
    let desk = &office.desk;
    office.issue("alice", "under", "extendedKeyUsage=serverAuth\n", "-days 1");
    office.join(&["alice", "rsa"], "chain.pem");
    desk.stage("trust init --key alice.pem --x5c chain.pem -o root.json")
        .ok();
    desk.write("files/a.txt", "a");
    desk.stage("bundle --plain files --channel docs --key alice.pem -o one.stage")
        .ok();
    desk.stage("verify one.stage --trust root.json").ok();
    desk.stage("repo init --repo r --trust root.json --accept-unchecked-root")
        .ok();
    desk.stage("import one.stage --repo r").ok();
}
