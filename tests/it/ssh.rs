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
        let key = SecretKey::from_pem(&text(&desk, "k"), given.as_ref());
        if kind.1 == "521" {
            assert!(matches!(key, Err(SignError::SshFile)));
            continue;
        }
        let key = match key {
            // One key in 256 has a number that begins with a zero byte.
            Err(SignError::SshFile | SignError::PassphraseWrong) if kind.0 == "ecdsa" => {
                skip("an ECDSA key of OpenSSH that is not read from a file");
                continue;
            }
            key => key.unwrap(),
        };
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
    for kind in [KINDS[0], KINDS[2]] {
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
