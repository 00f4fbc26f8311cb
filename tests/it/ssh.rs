//! SSH keys: what `stage` signs with them `ssh-keygen` verifies, what `ssh-keygen` signs `stage` takes, from files and
//! through the real ssh-agent.

use std::process::{Child, Stdio};

use data_encoding::BASE64;
use serde_json::Value;
use stage::base::digest::Digest;
use stage::sign::{Passphrase, SecretKey, SignError};
use stage::trust::envelope::{ROOT_TYPE, STATEMENT_TYPE};
use stage::trust::key::PublicKey;

use crate::desk::{Desk, Ran, ran};
use crate::source;

const KINDS: [(&str, &str); 4] = [
    ("ed25519", "256"),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
];

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Makes a key with `ssh-keygen`; says so and gives up when the host has none.
fn keygen(desk: &Desk, name: &str, (kind, bits): (&str, &str), passphrase: &str) -> bool {
    let mut command = desk.command(
        "ssh-keygen",
        &format!("-q -t {kind} -b {bits} -C {name} -f {name}"),
    );
    command.args(["-N", passphrase]);
    match command.status() {
        Ok(status) => status.success(),
        Err(_none) => {
            skip("this host has no ssh-keygen");
            false
        }
    }
}

fn text(desk: &Desk, name: &str) -> String {
    String::from_utf8(desk.read(name)).unwrap()
}

/// `ssh-keygen -Y verify` of a signature blob over `message`.
fn verify(desk: &Desk, name: &str, namespace: &str, blob: &[u8], message: &[u8]) -> Ran {
    let lines: Vec<String> = BASE64
        .encode(blob)
        .as_bytes()
        .chunks(70)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    desk.write(
        "sig",
        format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            lines.join("\n")
        ),
    );
    desk.write("message", message);
    desk.write(
        "signers",
        format!("{name} {}", text(desk, &format!("{name}.pub"))),
    );
    let mut command = desk.command(
        "ssh-keygen",
        &format!("-Y verify -f signers -I {name} -n {namespace} -s sig"),
    );
    command.stdin(Stdio::from(
        std::fs::File::open(desk.path("message")).unwrap(),
    ));
    ran(command)
}

#[test]
fn ssh_keygen_verifies_what_is_signed_and_the_other_way_round() {
    for (at, kind) in KINDS.into_iter().enumerate() {
        let desk = Desk::new();
        // Every other key is encrypted.
        let passphrase = ["", "correct horse"][at % 2];
        if !keygen(&desk, "k", kind, passphrase) {
            return;
        }
        let given = Passphrase::new(passphrase.as_bytes().to_vec()).ok();
        let key = SecretKey::from_pem(&text(&desk, "k"), given.as_ref()).unwrap();
        let public = PublicKey::from_pem(&text(&desk, "k.pub")).unwrap();
        assert_eq!(key.public().unwrap(), public);
        let ours = key.sign_statement(b"{\"a\":1}").unwrap();
        let blob = BASE64.decode(ours.sig.as_bytes()).unwrap();
        verify(&desk, "k", "stage-bundle@v1", &blob, b"{\"a\":1}").ok();
        assert_ne!(
            verify(&desk, "k", "stage-root@v1", &blob, b"{\"a\":1}").code,
            0
        );
        assert_ne!(
            verify(&desk, "k", "stage-bundle@v1", &blob, b"{\"a\":2}").code,
            0
        );
        assert!(
            public
                .verifies_payload(STATEMENT_TYPE, b"{\"a\":1}", &blob)
                .unwrap()
        );
        assert!(
            !public
                .verifies_payload(ROOT_TYPE, b"{\"a\":1}", &blob)
                .unwrap()
        );
        assert!(
            !public
                .verifies_payload(STATEMENT_TYPE, b"{\"a\":2}", &blob)
                .unwrap()
        );
        if !passphrase.is_empty() {
            SecretKey::from_pem(&text(&desk, "k"), None).unwrap_err();
            let wrong = Passphrase::new(b"battery".to_vec()).unwrap();
            SecretKey::from_pem(&text(&desk, "k"), Some(&wrong)).unwrap_err();
            continue;
        }
        // Theirs, and no byte of it may be another.
        desk.write("m", "{\"a\":1}");
        ran(desk.command("ssh-keygen", "-Y sign -f k -n stage-bundle@v1 m")).ok();
        let armoured: String = text(&desk, "m.sig")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let theirs = BASE64.decode(armoured.as_bytes()).unwrap();
        assert!(
            public
                .verifies_payload(STATEMENT_TYPE, b"{\"a\":1}", &theirs)
                .unwrap()
        );
        for at in 0..theirs.len() {
            for flip in [1, 0x80] {
                let mut bad = theirs.clone();
                bad[at] ^= flip;
                let verdict = public.verifies_payload(STATEMENT_TYPE, b"{\"a\":1}", &bad);
                assert!(!verdict.unwrap(), "{kind:?}: byte {at}");
            }
            let cut = public.verifies_payload(STATEMENT_TYPE, b"{\"a\":1}", &theirs[..at]);
            assert!(!cut.unwrap(), "{kind:?}: cut at {at}");
        }
        let more = [&theirs[..], b"\0"].concat();
        assert!(
            !public
                .verifies_payload(STATEMENT_TYPE, b"{\"a\":1}", &more)
                .unwrap()
        );
    }
}

/// Keys of nobody, whose private number OpenSSH wrote with two bytes less than its curve's: one P-256 key in 65,536 is
/// so, one P-521 key in 512. The locked files hold the same keys.
#[test]
fn private_numbers_that_begin_with_zeros_are_read() {
    for name in ["short-p256", "short-p521"] {
        let desk = Desk::new();
        let data = |file: &str| std::fs::read(source::root().join("tests/data/ssh").join(file));
        desk.write("k", data(name).unwrap());
        desk.write("locked", data(&format!("{name}-locked")).unwrap());
        desk.write("k.pub", data(&format!("{name}.pub")).unwrap());
        let public = PublicKey::from_pem(&text(&desk, "k.pub")).unwrap();
        let passphrase = Passphrase::new(b"correct horse".to_vec()).unwrap();
        let wrong = Passphrase::new(b"battery".to_vec()).unwrap();
        let locked = text(&desk, "locked");
        for key in [
            SecretKey::from_pem(&text(&desk, "k"), None).unwrap(),
            SecretKey::from_pem(&locked, Some(&passphrase)).unwrap(),
        ] {
            assert_eq!(key.public().unwrap(), public);
            let ours = key.sign_statement(b"s").unwrap();
            let blob = BASE64.decode(ours.sig.as_bytes()).unwrap();
            verify(&desk, "k", "stage-bundle@v1", &blob, b"s").ok();
        }
        let refused = SecretKey::from_pem(&locked, Some(&wrong)).unwrap_err();
        assert!(matches!(refused, SignError::PassphraseWrong), "{refused}");
        let refused = SecretKey::from_pem(&locked, None).unwrap_err();
        assert!(matches!(refused, SignError::PassphraseMissing), "{refused}");
    }
}

#[test]
fn every_cipher_of_ssh_keygen_is_read() {
    let passphrase = Passphrase::new(b"correct horse".to_vec()).unwrap();
    for cipher in [
        "aes128-cbc",
        "aes256-ctr",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let desk = Desk::new();
        let mut command = desk.command("ssh-keygen", "-q -t ecdsa -b 521 -f k -a 2 -Z");
        command.args([cipher, "-N", "correct horse"]);
        let Ok(status) = command.status() else {
            return skip("this host has no ssh-keygen");
        };
        assert!(status.success(), "{cipher}");
        let key = SecretKey::from_pem(&text(&desk, "k"), Some(&passphrase)).unwrap();
        let public = PublicKey::from_pem(&text(&desk, "k.pub")).unwrap();
        assert_eq!(key.public().unwrap(), public, "{cipher}");
    }
}

/// No byte of a file can be another, but those that nothing is compared with: the check numbers, which only must be equal,
/// and the comment.
#[test]
fn a_damaged_secret_key_is_refused_or_is_the_same_key() {
    for kind in KINDS {
        let desk = Desk::new();
        if !keygen(&desk, "k", kind, "") {
            return;
        }
        let (begin, end) = (
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----END OPENSSH PRIVATE KEY-----",
        );
        let armoured = |bytes: &[u8]| format!("{begin}\n{}\n{end}\n", BASE64.encode(bytes));
        let body: String = text(&desk, "k")
            .lines()
            .filter(|l| !l.starts_with('-'))
            .collect();
        let good = BASE64.decode(body.as_bytes()).unwrap();
        let public = PublicKey::from_pem(&text(&desk, "k.pub")).unwrap();
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            match SecretKey::from_pem(&armoured(&bad), None) {
                Ok(key) => assert_eq!(key.public().unwrap(), public, "{kind:?}: byte {at}"),
                Err(_refused) => refused += 1,
            }
            SecretKey::from_pem(&armoured(&good[..at]), None).unwrap_err();
        }
        // The comment is the one byte `k`.
        assert_eq!(refused, good.len() - 1, "{kind:?}");
        SecretKey::from_pem(&armoured(&[&good[..], b"\0"].concat()), None).unwrap_err();
    }
}

#[test]
fn the_signature_of_another_ssh_key_or_kind_does_not_count() {
    let desk = Desk::new();
    if !keygen(&desk, "one", KINDS[0], "") || !keygen(&desk, "two", KINDS[0], "") {
        return;
    }
    let key = SecretKey::from_pem(&text(&desk, "one"), None).unwrap();
    let other = PublicKey::from_pem(&text(&desk, "two.pub")).unwrap();
    let blob = BASE64
        .decode(key.sign_statement(b"s").unwrap().sig.as_bytes())
        .unwrap();
    assert!(!other.verifies_payload(STATEMENT_TYPE, b"s", &blob).unwrap());
    // RSA keys are told apart from keys, and secret ones of that kind are not used.
    assert!(keygen(&desk, "rsa", ("rsa", "2048"), ""));
    PublicKey::from_pem(&text(&desk, "rsa.pub")).unwrap_err();
    SecretKey::from_pem(&text(&desk, "rsa"), None).unwrap_err();
    for bad in [
        "ssh-ed25519 AAAA",
        "ssh-ed25519",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJdDFd7NyEJvFhVWsX5kdmLpN0Cd6kIrsxa8ykYbSYGA",
        "sk-ssh-ed25519@openssh.com AAAA",
    ] {
        PublicKey::from_pem(bad).unwrap_err();
    }
}

/// A root with an SSH key in every role, and a bundle to sign.
fn office(kind: (&str, &str)) -> Option<Desk> {
    let desk = Desk::new();
    for name in ["rita", "alice", "bob"] {
        if !keygen(&desk, name, kind, "") {
            return None;
        }
    }
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    desk.write("files/a.txt", "a");
    Some(desk)
}

#[test]
fn bundles_and_roots_are_signed_with_ssh_keys() {
    for kind in [KINDS[0], KINDS[2], KINDS[3]] {
        let Some(desk) = office(kind) else {
            return;
        };
        desk.stage("trust inspect root.json")
            .ok()
            .says(&["sshsig bob"]);
        desk.stage("bundle --plain files --channel docs --key alice -o one.stage")
            .ok();
        desk.stage("sign one.stage --key bob --trust root.json")
            .ok();
        desk.stage("verify one.stage --trust root.json")
            .ok()
            .says(&["approved   alice (builder)", "approved   bob (releaser)"]);
        approvals_verify(&desk);
        // By hand: the statement and the signature slot of the bundle, and ssh-keygen.
        ran(desk.command("tar", "-xf one.stage statement.json signatures.json")).ok();
        let slot: Value = serde_json::from_str(text(&desk, "signatures.json").trim()).unwrap();
        let signatures = slot["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), 2);
        for (name, entry) in ["alice", "bob"].iter().zip(signatures) {
            let blob = BASE64
                .decode(entry["sig"].as_str().unwrap().as_bytes())
                .unwrap();
            let statement = desk.read("statement.json");
            verify(&desk, name, "stage-bundle@v1", &blob, &statement).ok();
            let public = PublicKey::from_pem(&text(&desk, &format!("{name}.pub"))).unwrap();
            assert_eq!(entry["keyid"], Digest::of(public.spki()).hex());
        }
        desk.stage("trust rotate root.json -o next.json").ok();
        desk.stage("trust sign next.json --key rita").ok();
        desk.stage("trust inspect next.json")
            .ok()
            .says(&["complete"]);
        desk.stage("key inspect bob.pub").ok().says(&["sshsig"]);
        let line = desk.stage("key public --key bob").ok().stdout;
        assert!(text(&desk, "bob.pub").starts_with(line.trim()));
    }
}

/// `ssh-keygen` on both approvals, which have a namespace of their own.
fn approvals_verify(desk: &Desk) {
    let list: Vec<Value> = serde_json::from_slice(&desk.read("one.stage.approvals.json")).unwrap();
    assert_eq!(list.len(), 2);
    for envelope in list {
        let decoded = |value: &Value| BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
        let payload = decoded(&envelope["payload"]);
        let blob = decoded(&envelope["signatures"][0]["sig"]);
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        let person = statement["predicate"]["person"].as_str().unwrap();
        verify(desk, person, "stage-approval@v1", &blob, &payload).ok();
        assert_ne!(
            verify(desk, person, "stage-bundle@v1", &blob, &payload).code,
            0
        );
    }
}

/// An ssh-agent that ends with the test.
struct Agent(Child);

impl Agent {
    fn new(desk: &Desk) -> Self {
        let mut command = desk.command("ssh-agent", "-D -a agent.sock");
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        while !desk.path("agent.sock").exists() {
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_agent_signs_for_the_public_key() {
    for kind in [KINDS[0], KINDS[2]] {
        let Some(desk) = office(kind) else {
            return;
        };
        let _agent = Agent::new(&desk);
        let with_agent = |program: &str, words: &str| {
            let mut command = desk.command(program, words);
            command.env("SSH_AUTH_SOCK", desk.path("agent.sock"));
            ran(command)
        };
        let binary = env!("CARGO_BIN_EXE_stage");
        with_agent("ssh-add", "-q alice").ok();
        // The secret keys are gone; the agent has one of them.
        for name in ["alice", "bob"] {
            std::fs::remove_file(desk.path(name)).unwrap();
        }
        with_agent(
            binary,
            "bundle --plain files --channel docs --key alice.pub -o one.stage",
        )
        .ok();
        let said = desk
            .stage("verify one.stage --trust root.json --format json")
            .json();
        assert_eq!(said["refused"]["code"], "trust-threshold");
        let approvals = String::from_utf8(desk.read("one.stage.approvals.json")).unwrap();
        assert_eq!(approvals.matches("\"payload\"").count(), 1);
        with_agent(
            binary,
            "sign one.stage --key alice.pub --trust root.json --ticket CHG1",
        )
        .ok()
        .says(&["Approved by alice (builder)", "as before 1 signature"]);
        with_agent(binary, "sign one.stage --key bob.pub --trust root.json")
            .refused(1, "does not have the key");
        desk.stage("sign one.stage --key bob.pub --trust root.json")
            .refused(2, "SSH_AUTH_SOCK");
        let mut nobody = desk.command(binary, "sign one.stage --key bob.pub --trust root.json");
        nobody.env("SSH_AUTH_SOCK", desk.path("none.sock"));
        ran(nobody).refused(1, "cannot be reached");
        desk.stage("verify one.stage --trust root.json")
            .refused(4, "trust-threshold");
        desk.stage("sign one.stage --key alice.pub --trust root.json")
            .refused(2, "SSH_AUTH_SOCK");
    }
}
