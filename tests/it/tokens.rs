//! Keys on a PKCS#11 token: `SoftHSM`, with keys that `stage key generate` made, so that both halves can be compared.

use crate::desk::{Desk, Ran, ran};

const MODULES: [&str; 2] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn module() -> Option<&'static str> {
    let found = MODULES
        .into_iter()
        .find(|m| std::path::Path::new(m).exists());
    if found.is_none() {
        eprintln!("skipped: this host has no SoftHSM");
    }
    found
}

/// A desk with a token `stage`, PIN 918273, and on it the keys `ec` (id 01) and `ed` (id 02).
fn token() -> Option<(Desk, &'static str)> {
    let module = module()?;
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("tokens")).unwrap();
    let folder = desk.path("tokens").display().to_string();
    desk.write("softhsm.conf", format!("directories.tokendir = {folder}\n"));
    desk.write("pin", "918273\n");
    tool(
        &desk,
        "--init-token --free --label stage --pin 918273 --so-pin 5678",
    )
    .ok();
    for (name, scheme, id) in [("ec", "ecdsa-p384", "01"), ("ed", "ed25519", "02")] {
        desk.stage(&format!("key generate --scheme {scheme} -o {name}.pem"))
            .ok();
        tool(
            &desk,
            &format!("--import {name}.pem --token stage --label {name} --id {id} --pin 918273"),
        )
        .ok();
        std::fs::remove_file(desk.path(&format!("{name}.pem"))).unwrap();
    }
    Some((desk, module))
}

fn tool(desk: &Desk, words: &str) -> Ran {
    let mut command = desk.command("softhsm2-util", words);
    command.env("SOFTHSM2_CONF", desk.path("softhsm.conf"));
    ran(command)
}

/// As talkative as it gets, and without the PIN in what it says.
fn stage(desk: &Desk, module: &str, words: &str) -> Ran {
    let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), words);
    command
        .arg("-vvv")
        .env("SOFTHSM2_CONF", desk.path("softhsm.conf"))
        .env("STAGE_PKCS11_MODULE", module);
    let ran = ran(command);
    for said in [&ran.stdout, &ran.stderr] {
        assert!(!said.contains("918273"), "{words}: {said}");
    }
    ran
}

#[test]
fn a_token_signs_bundles_and_roots() {
    let Some((desk, module)) = token() else {
        return;
    };
    for name in ["ec", "ed"] {
        let uri = format!("pkcs11:token=stage;object={name}?pin-source=pin");
        let public = stage(&desk, module, &format!("key public --key {uri}")).ok();
        assert_eq!(public.stdout.as_bytes(), desk.read(&format!("{name}.pub")));
    }
    desk.stage(
        "trust init --root ec.pub=rita --builder ec.pub=rita --releaser ed.pub=erin -o root.json",
    )
    .ok();
    let uri = "pkcs11:object=ec?pin-source=pin";
    stage(
        &desk,
        module,
        &format!("trust init --key {uri} -o alone.json"),
    )
    .ok();
    let alone = desk.stage("trust inspect alone.json").ok().stdout;
    assert!(alone.contains("ecdsa-p384-sha384 owner"), "{alone}");
    let ec = "pkcs11:token=stage;id=%01?pin-source=file:pin";
    // ECDSA signatures differ each time, and r or s sometimes begin with zeros.
    for round in 0..12 {
        desk.write("files/a.txt", round.to_string());
        stage(
            &desk,
            module,
            &format!("bundle --plain files --channel docs --key {ec} -o {round}.stage"),
        )
        .ok();
    }
    let ed = "pkcs11:token=stage;object=ed";
    stage(
        &desk,
        module,
        &format!("sign 3.stage --key {ed} --passphrase-file pin --trust root.json --role releaser"),
    )
    .ok();
    desk.stage("verify 3.stage --trust root.json")
        .ok()
        .says(&["approved   rita (builder)", "approved   erin (releaser)"]);
    desk.stage("trust rotate root.json -o next.json").ok();
    stage(&desk, module, &format!("trust sign next.json --key {ec}")).ok();
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["complete"]);
}

#[test]
fn what_does_not_fit_is_said_and_the_pin_is_not() {
    let Some((desk, module)) = token() else {
        return;
    };
    desk.write("wrong", "777111\n");
    let ask = |uri: &str| stage(&desk, module, &format!("key public --key {uri}"));
    for (uri, code, said) in [
        (
            "pkcs11:token=stage;object=ec?pin-source=wrong",
            1,
            "does not take the PIN",
        ),
        (
            "pkcs11:token=stage;object=none?pin-source=pin",
            1,
            "no key pair",
        ),
        (
            "pkcs11:token=other;object=ec?pin-source=pin",
            1,
            "no token fits",
        ),
        (
            "pkcs11:token=stage;object=ec?pin-source=pin&module-path=/none.so",
            1,
            "cannot be loaded",
        ),
        ("pkcs11:token=stage;object=ec", 2, "needs a PIN"),
        (
            "pkcs11:token=stage;object=ec?pin-value=918273",
            2,
            "seen by everybody",
        ),
        ("pkcs11:token=stage?pin-source=pin", 2, "names no key"),
    ] {
        let ran = ask(uri).refused(code, said);
        for secret in ["918273", "777111"] {
            assert!(
                !ran.stderr.contains(secret) && !ran.stdout.contains(secret),
                "{uri}"
            );
        }
    }
    desk.stage("key public --key pkcs11:object=ec?pin-source=pin")
        .refused(1, "module-path");
}
