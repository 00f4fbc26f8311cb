//! Inputs that are not there: every command says which, what to do, and exits as a pipeline expects it. A bundle that is
//! missing is a failure (the medium may not be mounted), any other input is wrong use.

use crate::desk::Desk;

#[test]
fn every_input_that_is_missing_is_named_with_what_to_do() {
    let desk = Desk::new();
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("repo init --repo repo --trust root.json --accept-unchecked-root")
        .ok();
    desk.write("plain/a", "x");
    desk.write("stage.toml", "[bundle]\nchannel = \"c\"\n[npm]\npackages = [\"a\"]\nregistry = \"http://127.0.0.1:1/\"\n");
    desk.stage("bundle --plain plain --key k.pem -o x.stage")
        .ok();
    let path = "look whether the path is right";
    let lock = "run `stage resolve` first";
    let root = "name a trust root that is there";
    let keys = "name a file of keys that is there";
    for (words, code, says, hint) in [
        ("verify none.stage --trust root.json", 1, "none.stage", path),
        ("import none.stage --repo repo", 1, "none.stage", path),
        (
            "import none.stage --repo repo --dry-run",
            1,
            "none.stage",
            path,
        ),
        ("inspect none.stage", 1, "none.stage", path),
        ("sign none.stage --key k.pem", 1, "none.stage", path),
        ("diff x.stage none.stage", 1, "none.stage", path),
        ("prove none.stage --trust root.json", 1, "none.stage", path),
        (
            "ticket none.stage --trust root.json -o p",
            1,
            "none.stage",
            path,
        ),
        (
            "ticket x.stage --trust none.json -o p",
            2,
            "none.json",
            root,
        ),
        (
            "ticket x.stage --trust root.json --key none.pem -o p",
            2,
            "none.pem",
            "name a key that is there",
        ),
        ("sbom none.stage", 1, "none.stage", path),
        ("ca check none.pem", 2, "none.pem", "name a PEM file"),
        ("ca pack none.pem -o p", 2, "none.pem", "name a PEM file"),
        (
            "inspect none.lock",
            2,
            "there is no lock at \"none.lock\"",
            lock,
        ),
        (
            "diff none.lock x.stage",
            2,
            "there is no lock at \"none.lock\"",
            lock,
        ),
        (
            "export none.lock --as apt-pins",
            2,
            "there is no lock at \"none.lock\"",
            lock,
        ),
        (
            "vex none.lock --as openvex -o out.json",
            2,
            "there is no lock at \"none.lock\"",
            lock,
        ),
        ("fetch", 2, "there is no lock at \"stage.lock\"", lock),
        ("holes", 2, "there is no lock at \"stage.lock\"", lock),
        (
            "bundle --key k.pem -o y.stage",
            2,
            "there is no lock at \"stage.lock\"",
            lock,
        ),
        (
            "resolve -f none.toml",
            2,
            "none.toml",
            "make one with `stage init`",
        ),
        (
            "resolve --osv none",
            2,
            "there is no vulnerability database at \"none\"",
            "give an export of OSV",
        ),
        (
            "repo vulns --repo repo --osv none",
            2,
            "\"none\"",
            "ECOSYSTEM/all.zip",
        ),
        (
            "policy check --policy none.toml",
            2,
            "none.toml",
            "`stage policy init` writes one",
        ),
        (
            "repo init --repo new --trust root.json --accept-unchecked-root --policy none.toml",
            2,
            "none.toml",
            "`stage policy init` writes one",
        ),
        (
            "repo init --repo new --trust none.json --accept-unchecked-root",
            2,
            "none.json",
            root,
        ),
        ("verify x.stage --trust none.json", 2, "none.json", root),
        ("trust inspect none.json", 2, "none.json", root),
        (
            "bundle --key none.pem -o y.stage",
            2,
            "none.pem",
            "name a key that is there",
        ),
        (
            "sign x.stage --key none.pem",
            2,
            "none.pem",
            "name a key that is there",
        ),
        (
            "bundle --key k.pem --trust none.json -o y.stage",
            2,
            "none.json",
            "stage trust init",
        ),
        (
            "bundle --plain none --channel c --key k.pem -o y.stage",
            2,
            "there is no folder at \"none\"",
            "name the folder",
        ),
        (
            "verify x.stage --trust root.json --upstream --npm-keys none.json",
            2,
            "none.json",
            keys,
        ),
        (
            "verify x.stage --trust root.json --upstream --trusted-root none.json",
            2,
            "none.json",
            keys,
        ),
        (
            "verify x.stage --trust root.json --upstream --debian-keyring none.gpg",
            2,
            "none.gpg",
            keys,
        ),
    ] {
        let ran = desk.stage(words);
        assert_eq!(ran.code, code, "{words}: {}{}", ran.stdout, ran.stderr);
        for said in ["error[", says, hint] {
            assert!(
                ran.stderr.contains(said),
                "{words}: {said} not in {}",
                ran.stderr
            );
        }
        assert!(ran.stderr.contains("\nhint: "), "{words}: {}", ran.stderr);
    }
    for made in ["y.stage", "out.json", "new", "stage.lock"] {
        assert!(!desk.path(made).exists(), "{made}");
    }
    // What the manifest names is looked for before anything is asked, too.
    desk.write(
        "stage.toml",
        "[policy]\nosv = \"osv\"\n[npm]\npackages = [\"a\"]\nregistry = \"http://127.0.0.1:1/\"\n",
    );
    desk.stage("resolve")
        .refused(2, "there is no vulnerability database at \"./osv\"");
}
