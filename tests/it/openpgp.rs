//! OpenPGP against `GnuPG`: what `gpgv` refuses is refused, what is accepted here `gpgv` accepts with the same text, and
//! what we sign `gpgv` reads. Keys and messages are made by `gpg` in the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stage::base::fault::Fault as _;
use stage::base::time::Timestamp;
use stage::openpgp::keyring::Keyring;
use stage::openpgp::make::RepositoryKey;
use stage::openpgp::{OpenpgpError, Signed, verify};

const TEXT: &str = "Suite: stable\nDate: Sun, 22 Nov 2026 00:00:00 UTC\n- a line with a hyphen\n-----dashes\nSHA256:\n abc 1 main/Packages\n";

fn now() -> Timestamp {
    let now = std::time::SystemTime::now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix(i64::try_from(seconds).unwrap()).unwrap()
}

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A `GnuPG` home. Short, since the agent's socket lies in it.
struct Gpg(PathBuf);

impl Gpg {
    fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = std::env::temp_dir().join(format!("stage-gpg-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&home));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(home)
    }

    fn run(&self, args: &[&str]) -> Output {
        let output = Command::new("gpg")
            .args([
                "--batch",
                "--yes",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
            ])
            .args(["--passphrase", "", "--trust-model", "always"])
            .args(args)
            .env("GNUPGHOME", &self.0)
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "gpg {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// A key that certifies and signs; its fingerprint.
    fn key(&self, name: &str, algorithm: &str, more: &[&str]) -> String {
        let id = format!("{name}@keys.example");
        let mut args = more.to_vec();
        args.extend(["--quick-gen-key", &id, algorithm, "sign", "never"]);
        self.run(&args);
        self.fingerprint(&id)
    }

    fn fingerprint(&self, id: &str) -> String {
        let listed = self.run(&["--with-colons", "--list-keys", id]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|l| l.starts_with("fpr:")).unwrap();
        line.trim_matches(':')
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned()
    }

    fn export(&self, names: &[&str]) -> Vec<u8> {
        let mut args = vec!["--export"];
        args.extend(names);
        self.run(&args).stdout
    }

    fn clearsign(&self, text: &str, keys: &[&str], more: &[&str]) -> Vec<u8> {
        self.sign("--clearsign", text, keys, more)
    }

    fn sign(&self, how: &str, text: &str, keys: &[&str], more: &[&str]) -> Vec<u8> {
        std::fs::write(self.0.join("text"), text).unwrap();
        let mut args = more.to_vec();
        for key in keys {
            args.extend(["-u", key]);
        }
        args.extend(["-o", "-", how, "text"]);
        self.run(&args).stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let kill = Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", &self.0)
            .output();
        drop(kill);
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What `gpgv` says in apt's reading: the text it printed, when a good signature is there and no bad one.
fn gpgv(folder: &Path, keyring: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    std::fs::write(folder.join("ring.gpg"), keyring).unwrap();
    std::fs::write(folder.join("message"), message).unwrap();
    gpgv_run(folder, &["--output", "-", "message"])
}

fn gpgv_run(folder: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("gpgv")
        .args(["--status-fd", "2", "--keyring", "./ring.gpg"])
        .args(args)
        .env("GNUPGHOME", folder)
        .current_dir(folder)
        .output()
        .unwrap();
    let status = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = |word: &str| {
        status
            .lines()
            .any(|l| l.starts_with(&format!("[GNUPG:] {word} ")))
    };
    (said("GOODSIG") && said("VALIDSIG") && !said("BADSIG")).then_some(output.stdout)
}

fn judge(keyring: &[u8], message: &[u8]) -> Result<Signed, OpenpgpError> {
    verify::cleartext(message, &Keyring::parse(keyring)?, now())
}

#[test]
fn what_gpgv_refuses_is_refused_and_what_is_accepted_reads_the_same() {
    if !has("gpg") || !has("gpgv") {
        return;
    }
    let gpg = Gpg::new("agree");
    let (rsa, ed) = (
        gpg.key("rsa", "rsa2048", &[]),
        gpg.key("ed", "ed25519", &[]),
    );
    let other = gpg.key("other", "ed25519", &[]);
    let p384 = gpg.key("p384", "nistp384", &[]);
    // The primary key certifies, a subkey signs, as Debian's and Ubuntu's archive keys do.
    gpg.run(&[
        "--quick-gen-key",
        "sub@keys.example",
        "rsa2048",
        "cert",
        "never",
    ]);
    let sub = gpg.fingerprint("sub@keys.example");
    gpg.run(&["--quick-add-key", &sub, "ed25519", "sign", "never"]);
    let ring = gpg.export(&[&rsa, &ed, &p384, &sub]);
    let good = gpg.clearsign(TEXT, &[&ed], &["--digest-algo", "SHA512"]);
    let text = String::from_utf8(good.clone()).unwrap();
    let both = gpg.clearsign(TEXT, &[&rsa, &ed], &[]);
    let stranger = gpg.clearsign(TEXT, &[&other], &[]);
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let accepted: Vec<(&str, Vec<u8>)> = vec![
        ("one key", good.clone()),
        ("two keys", both.clone()),
        ("a subkey", gpg.clearsign(TEXT, &[&sub], &[])),
        ("ECDSA", gpg.clearsign(TEXT, &[&p384], &[])),
        (
            "one known, one strange",
            gpg.clearsign(TEXT, &[&other, &ed], &[]),
        ),
        (
            "SHA-512",
            gpg.clearsign(TEXT, &[&rsa], &["--digest-algo", "SHA512"]),
        ),
    ];
    for (name, message) in &accepted {
        let signed =
            judge(&ring, message).unwrap_or_else(|e| panic!("{name}: {e} {:?}", e.facts()));
        let theirs = gpgv(&gpg.0, &ring, message).unwrap_or_else(|| panic!("gpgv refuses {name}"));
        assert_eq!(
            signed.text.trim_end(),
            String::from_utf8(theirs).unwrap().trim_end(),
            "{name}"
        );
        assert_eq!(signed.text.trim_end(), TEXT.trim_end(), "{name}");
    }
    let signers = judge(&ring, &both).unwrap().signers;
    let mut keys: Vec<&str> = signers.iter().map(|s| s.certificate.as_str()).collect();
    keys.sort_unstable();
    let mut expected = [rsa.as_str(), ed.as_str()];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let by_subkey = judge(&ring, &accepted[2].1).unwrap().signers;
    assert_eq!(by_subkey[0].certificate.as_str(), sub);
    assert_ne!(by_subkey[0].key.as_str(), sub);

    let armour = "-----BEGIN PGP SIGNATURE-----";
    // Refused by both.
    let refused: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a changed byte",
            changed("main/Packages", "main/Packagez"),
            "openpgp-bad-signature",
        ),
        (
            "a key that is not pinned",
            stranger,
            "openpgp-no-valid-signature",
        ),
        (
            "no signature",
            text.split(armour).next().unwrap().into(),
            "openpgp-message",
        ),
        ("an unsigned text", TEXT.into(), "openpgp-message"),
        ("nothing", Vec::new(), "openpgp-message"),
    ];
    for (name, message, code) in &refused {
        assert!(
            gpgv(&gpg.0, &ring, message).is_none(),
            "gpgv accepts {name}"
        );
        let error = judge(&ring, message).expect_err(name);
        assert_eq!(error.code().name, *code, "{name}: {error}");
    }
    // One good signature does not make up for a bad one by a pinned key.
    let evil = String::from_utf8(gpg.clearsign("Suite: evil\n", &[&ed], &[])).unwrap();
    let mixed = text.replace(
        text.split(armour).next().unwrap(),
        evil.split(armour).next().unwrap(),
    );
    assert_eq!(
        judge(&ring, mixed.as_bytes()).unwrap_err().code().name,
        "openpgp-bad-signature"
    );
    // Frames that readers take apart differently: never accepted here, whatever gpgv says.
    let frames: Vec<(&str, Vec<u8>)> = vec![
        ("text before", format!("Suite: evil\n{text}").into()),
        ("an empty line before", format!("\n{text}").into()),
        ("text after", format!("{text}Suite: evil\n").into()),
        ("two messages", format!("{text}{text}").into()),
        ("carriage returns", text.replace('\n', "\r\n").into()),
        ("a NUL", changed("Suite: ", "Suite:\0 ")),
        (
            "another header",
            changed("\nHash: SHA512\n", "\nHash: SHA512\nSuite: evil\n"),
        ),
        (
            "text in the hash header",
            changed("\nHash: SHA512\n", "\nHash: SHA512\u{c}evil\n"),
        ),
        ("an unescaped hyphen", changed("\n- - a line", "\n-a line")),
        (
            "a foreign armour inside",
            changed(armour, &format!("-----BEGIN PGP MESSAGE-----\n{armour}")),
        ),
        ("a cut end", text.as_bytes()[..text.len() - 40].into()),
        ("not UTF-8", [good.as_slice(), b"\xff"].concat()),
    ];
    for (name, message) in &frames {
        let error = judge(&ring, message).expect_err(name);
        assert_eq!(error.code().name, "openpgp-message", "{name}: {error}");
    }
    // Every changed byte of the signed part and of the signature.
    let mut tried = 0;
    for at in (0..good.len()).step_by(3) {
        let mut message = good.clone();
        message[at] ^= 1;
        if let Ok(signed) = judge(&ring, &message) {
            // Only a `Hash` header (a hint) and the armour's checksum may differ without a difference.
            assert_eq!(signed.text.trim_end(), TEXT.trim_end(), "byte {at}");
        }
        tried += 1;
    }
    assert!(tried > 100);
}

#[test]
fn expired_revoked_and_weak_keys_do_not_count() {
    if !has("gpg") || !has("gpgv") {
        return;
    }
    let gpg = Gpg::new("weak");
    let ed = gpg.key("ed", "ed25519", &[]);
    let old = ["--faked-system-time", "20200101T000000!"];
    let then = |args: &[&str]| gpg.run(&[&old[..], args].concat());
    then(&[
        "--quick-gen-key",
        "old@keys.example",
        "ed25519",
        "sign",
        "1y",
    ]);
    let expired = gpg.fingerprint("old@keys.example");
    then(&[
        "--quick-gen-key",
        "oldsub@keys.example",
        "ed25519",
        "cert",
        "never",
    ]);
    let oldsub = gpg.fingerprint("oldsub@keys.example");
    then(&["--quick-add-key", &oldsub, "ed25519", "sign", "1y"]);
    let gone = gpg.key("gone", "ed25519", &[]);
    let sha1 = gpg.key("sha1", "rsa2048", &["--cert-digest-algo", "SHA1"]);
    gpg.run(&[
        "--quick-gen-key",
        "s1sub@keys.example",
        "rsa2048",
        "cert",
        "never",
    ]);
    let weak_sub = gpg.fingerprint("s1sub@keys.example");
    gpg.run(&[
        "--allow-weak-key-signatures",
        "--cert-digest-algo",
        "SHA1",
        "--quick-add-key",
        &weak_sub,
        "rsa2048",
        "sign",
        "never",
    ]);
    let short = gpg.key("short", "rsa1024", &[]);
    let messages = [
        (
            "SHA-1",
            gpg.clearsign(TEXT, &[&sha1], &["--digest-algo", "SHA1"]),
            sha1.clone(),
        ),
        (
            "SHA-1 self-signature",
            gpg.clearsign(TEXT, &[&sha1], &["--digest-algo", "SHA512"]),
            sha1.clone(),
        ),
        (
            "SHA-1 binding",
            gpg.clearsign(TEXT, &[&weak_sub], &["--digest-algo", "SHA512"]),
            weak_sub.clone(),
        ),
        (
            "expired",
            gpg.clearsign(TEXT, &[&expired], &old),
            expired.clone(),
        ),
        (
            "expired subkey",
            gpg.clearsign(TEXT, &[&oldsub], &old),
            oldsub.clone(),
        ),
        ("revoked", gpg.clearsign(TEXT, &[&gone], &[]), gone.clone()),
        (
            "short",
            gpg.clearsign(TEXT, &[&short], &["--digest-algo", "SHA512"]),
            short.clone(),
        ),
        (
            "SHA-224",
            gpg.clearsign(TEXT, &[&ed], &["--digest-algo", "SHA224"]),
            ed.clone(),
        ),
    ];
    let revocation = gpg.0.join(format!("openpgp-revocs.d/{gone}.rev"));
    let revocation = std::fs::read_to_string(revocation)
        .unwrap()
        .replace(":-----", "-----");
    std::fs::write(gpg.0.join("revocation"), revocation).unwrap();
    gpg.run(&["--import", "revocation"]);
    let gpgv_refuses = ["expired", "expired subkey", "revoked"];
    for (name, message, key) in &messages {
        let ring = gpg.export(&[key.as_str()]);
        let error = judge(&ring, message).expect_err(name);
        assert_eq!(
            error.code().name,
            "openpgp-no-valid-signature",
            "{name}: {error}"
        );
        assert_eq!(error.facts().len(), 1, "{name}");
        if gpgv_refuses.contains(name) {
            assert!(
                gpgv(&gpg.0, &ring, message).is_none(),
                "gpgv accepts {name}"
            );
        }
    }
    // A signature of the future, and one that a younger key says to be older than itself.
    let future = gpg.clearsign(TEXT, &[&ed], &["--faked-system-time", "20990101T000000!"]);
    judge(&gpg.export(&[&ed]), &future).unwrap_err();
    let early = gpg.clearsign(
        TEXT,
        &[&ed],
        &[
            "--ignore-time-conflict",
            "--faked-system-time",
            "20200101T000000!",
        ],
    );
    judge(&gpg.export(&[&ed]), &early).unwrap_err();
    // A good signature beside a worthless one is enough.
    let ring = [gpg.export(&[&expired]), gpg.export(&[&ed])].concat();
    let beside = gpg.clearsign(TEXT, &[&ed], &[]);
    assert_eq!(judge(&ring, &beside).unwrap().signers.len(), 1);
}

#[test]
fn a_subkey_must_be_bound_from_both_sides() {
    if !has("gpg") {
        return;
    }
    let gpg = Gpg::new("bind");
    gpg.run(&[
        "--quick-gen-key",
        "a@keys.example",
        "ed25519",
        "cert",
        "never",
    ]);
    let a = gpg.fingerprint("a@keys.example");
    gpg.run(&["--quick-add-key", &a, "ed25519", "sign", "never"]);
    gpg.run(&[
        "--quick-gen-key",
        "b@keys.example",
        "ed25519",
        "cert",
        "never",
    ]);
    let b = gpg.fingerprint("b@keys.example");
    let message = gpg.clearsign(TEXT, &[&a], &[]);
    judge(&gpg.export(&[&a]), &message).unwrap();
    // The signing subkey of one certificate hung below another: primary key and user id of `b`, subkey of `a`.
    let cut = |bytes: &[u8], from: u8| -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let tag = if bytes[at] & 0x40 == 0 {
                (bytes[at] & 0x3c) >> 2
            } else {
                bytes[at] & 0x3f
            };
            if tag == from {
                return at;
            }
            let (head, size) = match bytes[at] & 0x43 {
                0 => (2, usize::from(bytes[at + 1])),
                1 => (
                    3,
                    usize::from(bytes[at + 1]) << 8 | usize::from(bytes[at + 2]),
                ),
                _ => panic!("a packet header of another form"),
            };
            at += head + size;
        }
        panic!("no packet {from}")
    };
    let (from_a, from_b) = (gpg.export(&[&a]), gpg.export(&[&b]));
    let stolen = [from_b.as_slice(), &from_a[cut(&from_a, 14)..]].concat();
    let error = judge(&stolen, &message).unwrap_err();
    assert_eq!(error.code().name, "openpgp-no-valid-signature");
    // The primary key without its self-signature vouches for nothing.
    let user = cut(&from_a, 13);
    let subkey = cut(&from_a, 14);
    let bare = [&from_a[..user], &from_a[subkey..]].concat();
    judge(&bare, &message).unwrap_err();
}

#[test]
fn detached_signatures_armoured_and_binary() {
    if !has("gpg") || !has("gpgv") {
        return;
    }
    let gpg = Gpg::new("detached");
    let (ed, rsa) = (
        gpg.key("ed", "ed25519", &[]),
        gpg.key("rsa", "rsa2048", &[]),
    );
    let sums = "00aa  node.tar.xz\n";
    let ring = gpg.run(&["--armor", "--export", &ed]).stdout;
    let more = gpg.run(&["--armor", "--export", &rsa]).stdout;
    let ring = [
        b"Keys of the publisher\n".as_slice(),
        &ring,
        b"and another\n",
        &more,
    ]
    .concat();
    let keyring = Keyring::parse(&ring).unwrap();
    assert_eq!(keyring.fingerprints().len(), 2);
    let binary = gpg.sign("--detach-sign", sums, &[&rsa], &[]);
    let armoured = gpg.sign("--detach-sign", sums, &[&ed], &["--armor"]);
    for signature in [&binary, &armoured] {
        assert_eq!(
            verify::detached(sums.as_bytes(), signature, &keyring, now())
                .unwrap()
                .len(),
            1
        );
        let error =
            verify::detached(b"00ab  node.tar.xz\n", signature, &keyring, now()).unwrap_err();
        assert_eq!(error.code().name, "openpgp-bad-signature");
    }
    let trailing = [armoured.as_slice(), b"more\n"].concat();
    verify::detached(sums.as_bytes(), &trailing, &keyring, now()).unwrap_err();
    for cut in 0..binary.len() {
        assert!(
            verify::detached(sums.as_bytes(), &binary[..cut], &keyring, now()).is_err(),
            "{cut}"
        );
    }
    let only_ed = Keyring::parse(&gpg.export(&[&ed])).unwrap();
    let error = verify::detached(sums.as_bytes(), &binary, &only_ed, now()).unwrap_err();
    assert_eq!(error.code().name, "openpgp-no-valid-signature");
    for bad in [b"".as_slice(), b"\x99\x01", b"hello", &binary] {
        assert_eq!(
            Keyring::parse(bad).unwrap_err().code().name,
            "openpgp-keyring"
        );
    }
}

#[test]
fn the_repository_key_is_reproducible_and_gpgv_reads_what_it_signs() {
    let made: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let key = RepositoryKey::from_seed([7; 32], made, "stage repository").unwrap();
    let again = RepositoryKey::from_seed([7; 32], made, "stage repository").unwrap();
    assert_eq!(
        key.binary_certificate().unwrap(),
        again.binary_certificate().unwrap()
    );
    let read = RepositoryKey::parse(key.armored_secret().unwrap().as_bytes()).unwrap();
    assert_eq!(read.fingerprint(), key.fingerprint());
    assert!(!format!("{key:?}").contains("PRIVATE"));
    let signed = key.sign_cleartext(TEXT, at).unwrap();
    assert_eq!(signed, read.sign_cleartext(TEXT, at).unwrap());
    let ring = key.binary_certificate().unwrap();
    let ours = judge(&ring, signed.as_bytes()).unwrap();
    assert_eq!(ours.text.trim_end(), TEXT.trim_end());
    assert_eq!(ours.signers[0].created, at);
    let detached = key.sign_detached(TEXT.as_bytes(), at).unwrap();
    let keyring = Keyring::parse(key.armored_certificate().unwrap().as_bytes()).unwrap();
    verify::detached(TEXT.as_bytes(), detached.as_bytes(), &keyring, now()).unwrap();
    let fresh = RepositoryKey::generate(made, "stage repository").unwrap();
    assert_ne!(fresh.fingerprint(), key.fingerprint());
    for bad in ["", "x", &key.armored_certificate().unwrap()] {
        assert_eq!(
            RepositoryKey::parse(bad.as_bytes())
                .unwrap_err()
                .code()
                .name,
            "openpgp-secret-key"
        );
    }
    if !has("gpgv") {
        return;
    }
    let gpg = Gpg::new("ours");
    let theirs = gpgv(&gpg.0, &ring, signed.as_bytes()).expect("gpgv reads the legacy form");
    assert_eq!(
        String::from_utf8(theirs).unwrap().trim_end(),
        TEXT.trim_end()
    );
    std::fs::write(gpg.0.join("text"), TEXT).unwrap();
    std::fs::write(gpg.0.join("text.gpg"), &detached).unwrap();
    assert!(gpgv_run(&gpg.0, &["text.gpg", "text"]).is_some());
    // Seeds whose signatures or public keys begin with zero bits make shorter integers.
    for seed in 0..64 {
        let key = RepositoryKey::from_seed([seed; 32], made, "n").unwrap();
        let signed = key.sign_cleartext(TEXT, at).unwrap();
        assert!(
            judge(&key.binary_certificate().unwrap(), signed.as_bytes()).is_ok(),
            "{seed}"
        );
        if seed % 8 == 0 {
            let ring = key.binary_certificate().unwrap();
            assert!(gpgv(&gpg.0, &ring, signed.as_bytes()).is_some(), "{seed}");
        }
    }
}
