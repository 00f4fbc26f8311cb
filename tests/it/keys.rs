//! Keys through the program: what it writes OpenSSL reads, and the other way round; passphrases by every way; profile
//! fips; and which crates a receipt names.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::desk::{Desk, ran};
use crate::source;

fn openssl(desk: &Desk, words: &str) -> crate::desk::Ran {
    ran(desk.command("openssl", words))
}

#[test]
fn what_is_written_openssl_reads() {
    let desk = Desk::new();
    desk.write("pw", "correct horse\n");
    desk.write("wrong", "battery\n");
    for scheme in ["ed25519", "ecdsa-p384"] {
        for (file, passphrase) in [("plain", ""), ("locked", " --passphrase-file pw")] {
            let name = format!("{scheme}-{file}");
            desk.stage(&format!(
                "key generate --scheme {scheme} -o {name}.pem{passphrase}"
            ))
            .ok();
            let mode = desk.path(&format!("{name}.pem")).metadata().unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o600);
            let public = openssl(
                &desk,
                &format!("pkey -in {name}.pem -passin file:pw -pubout"),
            )
            .ok();
            assert_eq!(public.stdout.as_bytes(), desk.read(&format!("{name}.pub")));
        }
        let locked = format!("{scheme}-locked.pem");
        let text = String::from_utf8(desk.read(&locked)).unwrap();
        assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY"));
        openssl(&desk, &format!("asn1parse -in {locked}"))
            .ok()
            .says(&[":PBES2", ":scrypt", ":aes-256-cbc"]);
        let wrong = openssl(
            &desk,
            &format!("pkey -in {locked} -passin file:wrong -noout"),
        );
        assert_ne!(wrong.code, 0);
        desk.stage(&format!(
            "key public --key {locked} --passphrase-file wrong"
        ))
        .refused(2, "wrong passphrase");
        desk.stage(&format!("key public --key {locked}"))
            .refused(2, "no passphrase");
    }
}

#[test]
fn what_openssl_writes_is_read() {
    let desk = Desk::new();
    desk.write("pw", "correct horse\n");
    openssl(&desk, "genpkey -algorithm ed25519 -out ed.pem").ok();
    openssl(
        &desk,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ec.pem",
    )
    .ok();
    openssl(
        &desk,
        "ecparam -name secp384r1 -genkey -noout -out sec1.pem",
    )
    .ok();
    let mut files = vec![
        "ed.pem".to_owned(),
        "ec.pem".to_owned(),
        "sec1.pem".to_owned(),
    ];
    for key in ["ed", "ec"] {
        for (name, how) in [
            ("scrypt", "-scrypt"),
            ("pbkdf2", "-v2 aes-256-cbc"),
            ("aes128", "-v2 aes-128-cbc -v2prf hmacWithSHA512"),
        ] {
            let file = format!("{key}-{name}.pem");
            openssl(
                &desk,
                &format!("pkcs8 -topk8 -in {key}.pem -out {file} {how} -passout file:pw"),
            )
            .ok();
            files.push(file);
        }
    }
    for file in files {
        let theirs = openssl(&desk, &format!("pkey -in {file} -passin file:pw -pubout")).ok();
        let ours = desk
            .stage(&format!("key public --key {file} --passphrase-file pw"))
            .ok();
        assert_eq!(ours.stdout, theirs.stdout, "{file}");
    }
    // Keys of other kinds are told apart from files that are none.
    openssl(
        &desk,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.pem",
    )
    .ok();
    desk.stage("key public --key p256.pem")
        .refused(2, "trust-secret-key-scheme");
    desk.write("none.pem", "not a key\n");
    desk.stage("key public --key none.pem")
        .refused(2, "trust-secret-key-unreadable");
}

#[test]
fn a_passphrase_comes_by_file_descriptor_or_environment_and_is_never_shown() {
    let desk = Desk::new();
    desk.write("pw", "S3CR3T words\n");
    desk.stage("key generate -o k.pem --passphrase-file pw")
        .ok();
    let public = String::from_utf8(desk.read("k.pub")).unwrap();
    let binary = env!("CARGO_BIN_EXE_stage");
    let mut by_variable = desk.command(binary, "key public --key k.pem -vv");
    by_variable.env("STAGE_KEY_PASSPHRASE", "S3CR3T words");
    let mut by_descriptor = desk.command(binary, "key public --key k.pem --passphrase-fd 0 -vv");
    by_descriptor.stdin(Stdio::from(std::fs::File::open(desk.path("pw")).unwrap()));
    for command in [by_variable, by_descriptor] {
        let done = ran(command).ok();
        assert_eq!(done.stdout, public);
        assert!(!done.stderr.contains("S3CR3T"));
    }
    // From a pipe, too.
    let mut child = desk
        .command(binary, "key public --key k.pem --passphrase-fd 0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(b"S3CR3T words").unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, public.as_bytes());
    let mut wrong = desk.command(binary, "key public --key k.pem -vv --format json");
    wrong.env("STAGE_KEY_PASSPHRASE", "S3CR3T wordz");
    let refused = ran(wrong);
    assert_eq!(refused.code, 2);
    assert!(!refused.stdout.contains("S3CR3T") && !refused.stderr.contains("S3CR3T"));
}

#[test]
fn profile_fips_takes_p384_only() {
    let desk = Desk::new();
    desk.key("ed");
    desk.stage("key generate --profile fips -o ec.pem")
        .ok()
        .says(&["ecdsa-p384-sha384"]);
    desk.stage("key generate --profile fips --scheme ed25519 -o no.pem")
        .refused(2, "profile fips");
    assert!(!desk.path("no.pem").exists());
    desk.stage("trust init --profile fips --key ed.pem -o root.json")
        .refused(2, "profile fips takes only ecdsa-p384-sha384");
    desk.stage("trust init --profile fips --key ec.pem --person olga -o root.json")
        .ok();
    desk.stage("trust add root.json --profile fips --key ed.pub=erin --role releaser -o next.json")
        .refused(2, "the key of \"erin\" is ed25519");
    desk.stage("trust add root.json --key ed.pub=erin --role transfer -o next.json")
        .ok();
    desk.stage("trust rotate next.json --profile fips -o next.json")
        .refused(2, "profile fips");
}

#[test]
fn receipts_name_the_crates_that_are_built_in() {
    let lock = std::fs::read_to_string(source::root().join("Cargo.lock")).unwrap();
    for module in stage::trust::crypto::MODULES {
        let entry = format!(
            "name = \"{}\"\nversion = \"{}\"\n",
            module.name, module.version
        );
        assert!(lock.contains(&entry), "{entry} is not in Cargo.lock");
    }
    let receipt = stage::trust::crypto::receipt(true);
    assert_eq!(receipt["certified"], false);
    assert_eq!(receipt["host_fips_mode"], true);
    let text = receipt.to_string().to_lowercase();
    assert!(
        !text.contains("compliant") && !text.contains("validated"),
        "{text}"
    );
}

#[test]
fn a_fingerprint_is_read_aloud_and_typed_in_again() {
    let desk = Desk::new();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let plain = desk.fingerprint("root.json");
    assert!(plain.starts_with("sha256:") && plain.len() == 71, "{plain}");
    let words = desk
        .stage("trust fingerprint --words root.json")
        .ok()
        .stdout;
    assert_eq!(words.split_whitespace().count(), 24);
    let groups = desk
        .stage("trust fingerprint --groups root.json")
        .ok()
        .stdout;
    assert_eq!(groups.split_whitespace().count(), 16);
    let init = |fingerprint: &str, repo: &str| {
        let mut command = desk.command(
            env!("CARGO_BIN_EXE_stage"),
            &format!("repo init --trust root.json --repo {repo} --fingerprint"),
        );
        command.arg(fingerprint);
        ran(command)
    };
    for (at, text) in [&plain, &words, &groups, &words.to_uppercase()]
        .into_iter()
        .enumerate()
    {
        init(text, &format!("r{at}")).ok();
    }
    let mut said: Vec<&str> = words.split_whitespace().collect();
    said[3] = "zzz";
    init(&said.join(" "), "no").refused(2, "word 4, \"zzz\", is not in the list");
    init(&said[..20].join(" "), "no").refused(2, "20 words or groups");
    // Words of another root: both fingerprints are shown.
    desk.key("other");
    desk.stage("trust init --key other.pem -o other.json").ok();
    let others = desk
        .stage("trust fingerprint --words other.json")
        .ok()
        .stdout;
    init(&others, "no").refused(4, &plain);
    assert!(!desk.path("no/state").exists());
    let journal = String::from_utf8(desk.read("r1/state/journal.jsonl")).unwrap();
    assert!(journal.contains("\"event\":\"init\""), "{journal}");
}

#[test]
fn a_root_that_nobody_compared_is_journalled_so() {
    let desk = Desk::new();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("repo init --trust root.json --repo r")
        .refused(2, "--fingerprint");
    desk.stage("repo init --trust root.json --repo r --accept-unchecked-root")
        .ok()
        .says(&["was not compared"]);
    let journal = String::from_utf8(desk.read("r/state/journal.jsonl")).unwrap();
    assert!(
        journal.contains("\"event\":\"init-unchecked-root\""),
        "{journal}"
    );
    desk.stage("repo status --repo r").ok();
}
