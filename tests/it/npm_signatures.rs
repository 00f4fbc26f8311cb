//! Signatures of npm registries: two real ones of the public registry, by its old and its new key, and everything that
//! must not pass for one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::package::ReleaseId;
use stage::eco::Ecosystem as _;
use stage::eco::npm::Npm;
use stage::eco::registry_keys::RegistryKeys;
use stage::eco::vouched::{UpstreamKeys, Verdict};

/// A registry's key that is made for the test.
pub(crate) struct RegistryKey(EcdsaKeyPair);

impl RegistryKey {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn point(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// OpenSSH's fingerprint.
    pub(crate) fn id(&self) -> String {
        let parts: [&[u8]; 3] = [b"ecdsa-sha2-nistp256", b"nistp256", self.point()];
        let wire: Vec<u8> = parts
            .iter()
            .flat_map(|part| {
                let length = u32::try_from(part.len()).unwrap().to_be_bytes();
                [&length[..], part].concat()
            })
            .collect();
        format!("SHA256:{}", BASE64_NOPAD.encode(Digest::of(&wire).bytes()))
    }

    /// Its entry in a registry's list of keys.
    pub(crate) fn entry(&self, expires: Option<&str>) -> Value {
        let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let prefix = data_encoding::HEXLOWER.decode(prefix.as_bytes()).unwrap();
        let spki = BASE64.encode(&[&prefix[..], self.point()].concat());
        json!({"keyid": self.id(), "keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256",
            "key": spki, "expires": expires})
    }

    /// An entry of `dist.signatures`.
    pub(crate) fn sign(&self, release: &str, integrity: &str) -> Value {
        let message = format!("{release}:{integrity}");
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
        json!({"keyid": self.id(), "sig": BASE64.encode(signature.unwrap().as_ref())})
    }
}

pub(crate) fn keys(entries: &[Value]) -> String {
    json!({ "keys": entries }).to_string()
}

struct Real {
    name: &'static str,
    version: &'static str,
    integrity: &'static str,
    keyid: &'static str,
    sig: &'static str,
}

const NEW: Real = Real {
    name: "@github/keytar",
    version: "7.10.6",
    integrity: "sha512-mRW6cUsSG+nj4jp5gp8e91zPySaT73r+2JM6VyMZfrEgksjPmjSMr+tPGNOK3HUHV+GUU9B1LAiiYy/wmAnIxA==",
    keyid: "SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U",
    sig: "MEYCIQCP64Xw5qxgoqps5j8RE6zfggmMSLK7W6+HbycuEMbEwAIhAMqVPorro4ddiEzGlJ0KJbvZfNmT8bcl9nv6Qwa/XUzw",
};
const OLD: Real = Real {
    name: "@lydell/node-pty",
    version: "1.1.0",
    integrity: "sha512-VDD8LtlMTOrPKWMXUAcB9+LTktzuunqrMwkYR1DMRBkS6LQrCt+0/Ws1o2rMml/n3guePpS7cxhHF7Nm5K4iMw==",
    keyid: "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA",
    sig: "MEQCIFth7pIgC3jem8Gi9rQYvNJKDeMsdHkAoGSI1qYK0k7PAiBDaqZPZcn6durcR+/xYL0QVzLI2DqFEw/UAUBNQRx71w==",
};
/// When the old key was in use.
const THEN: Option<&str> = Some("2025-01-10T12:00:00.000Z");

impl Real {
    fn signature(&self) -> Value {
        json!({"keyid": self.keyid, "sig": self.sig})
    }
}

/// What is said of a release with these signatures, by the keys that travel with the program.
fn judged(real: &Real, signatures: Value, time: Option<&str>) -> Verdict {
    judged_by(&RegistryKeys::npm(), real, signatures, time)
}

fn judged_by(keys: &RegistryKeys, real: &Real, signatures: Value, time: Option<&str>) -> Verdict {
    let mut version = json!({"dist": {"integrity": real.integrity, "signatures": signatures}});
    if let Some(time) = time {
        version["time"] = time.into();
    }
    let records = json!({"schema": 1, "packages": {real.name: {"dist-tags": {}, "versions": {real.version: version}}}});
    let keys = UpstreamKeys {
        npm: keys.clone(),
        ..UpstreamKeys::shipped().unwrap()
    };
    let found = Npm.vouched(records.to_string().as_bytes(), &keys).unwrap();
    let release = ReleaseId::new(real.name, real.version);
    let (at, verdict) = found.into_iter().next().unwrap();
    assert_eq!(at.0, release);
    verdict
}

#[track_caller]
fn signed_by(verdict: &Verdict, ids: &[&str]) {
    match verdict {
        Verdict::Signed { level, by } => {
            assert_eq!(level.as_str(), "L3");
            assert_eq!(by, ids);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(verdict: &Verdict, expected: &str, part: &str) {
    match verdict {
        Verdict::Refused { code, reason } => {
            assert_eq!(code.name, expected, "{reason}");
            assert!(reason.contains(part), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_public_registry_signed_holds() {
    signed_by(&judged(&NEW, json!([NEW.signature()]), None), &[NEW.keyid]);
    signed_by(&judged(&OLD, json!([OLD.signature()]), THEN), &[OLD.keyid]);
    // Twice by one key, and one by a key that nobody knows beside a good one.
    let twice = json!([NEW.signature(), NEW.signature()]);
    signed_by(&judged(&NEW, twice, None), &[NEW.keyid]);
    let other = RegistryKey::new().sign("@github/keytar@7.10.6", NEW.integrity);
    signed_by(
        &judged(&NEW, json!([other, NEW.signature()]), None),
        &[NEW.keyid],
    );
    assert_eq!(judged(&NEW, json!([]), None), Verdict::Unsigned);
}

#[test]
fn a_signature_over_anything_else_is_refused() {
    let invalid = "npm-signature-invalid";
    let with = |change: &dyn Fn(&mut Real)| {
        let mut real = Real { ..NEW };
        change(&mut real);
        judged(&real, json!([NEW.signature()]), None)
    };
    for verdict in [
        with(&|r| r.version = "7.10.7"),
        with(&|r| r.name = "@github/keytaz"),
        with(&|r| r.integrity = OLD.integrity),
    ] {
        refused(&verdict, invalid, "is not over this release and digest");
    }
    // The key of another time, a signature that was cut or changed anywhere, and none at all.
    let other_key = json!([{"keyid": OLD.keyid, "sig": NEW.sig}]);
    refused(&judged(&NEW, other_key, THEN), invalid, "is not over this");
    let bytes = BASE64.decode(NEW.sig.as_bytes()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        for sig in [BASE64.encode(&changed), BASE64.encode(&bytes[..at])] {
            let verdict = judged(&NEW, json!([{"keyid": NEW.keyid, "sig": sig}]), None);
            refused(&verdict, invalid, "is not over this");
        }
    }
    for entry in [
        json!({"keyid": NEW.keyid}),
        json!({"sig": NEW.sig}),
        json!({"keyid": NEW.keyid, "sig": &NEW.sig[..NEW.sig.len() - 1]}),
        json!({"keyid": NEW.keyid, "sig": NEW.sig.replace('+', "-")}),
        json!(NEW.sig),
    ] {
        let both = json!([NEW.signature(), entry]);
        if entry["sig"] != NEW.sig || entry["keyid"] != NEW.keyid {
            refused(&judged(&NEW, both, None), invalid, "is not one");
        }
    }
    // A wrong one by a known key is not outvoted by a right one.
    let both = json!([NEW.signature(), {"keyid": OLD.keyid, "sig": OLD.sig}]);
    refused(&judged(&NEW, both, THEN), invalid, OLD.keyid);
    let many = vec![NEW.signature(); 17];
    refused(&judged(&NEW, json!(many), None), invalid, "more than 16");
}

#[test]
fn a_key_that_nobody_knows_or_that_had_ended_counts_for_nothing() {
    let own = RegistryKey::new();
    let signature = own.sign("@github/keytar@7.10.6", NEW.integrity);
    refused(
        &judged(&NEW, json!([signature]), None),
        "npm-signature-unknown-key",
        &own.id(),
    );
    let late = Some("2025-01-29T00:00:01.000Z");
    for time in [late, None, Some("yesterday")] {
        let verdict = judged(&OLD, json!([OLD.signature()]), time);
        refused(&verdict, "npm-signature-key-time", "it ended at 2025-01-29");
    }
    let given = RegistryKeys::parse(keys(&[own.entry(None)]).as_bytes()).unwrap();
    signed_by(
        &judged_by(&given, &NEW, json!([signature]), None),
        &[&own.id()],
    );
    // A site's own keys stand in the place of those that travel with the program.
    refused(
        &judged_by(&given, &NEW, json!([NEW.signature()]), None),
        "npm-signature-unknown-key",
        NEW.keyid,
    );
}

#[test]
fn only_a_sha_512_is_vouched_for() {
    let own = RegistryKey::new();
    let given = RegistryKeys::parse(keys(&[own.entry(None)]).as_bytes()).unwrap();
    for integrity in ["sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ""] {
        let weak = Real { integrity, ..NEW };
        let signature = own.sign("@github/keytar@7.10.6", integrity);
        let verdict = judged_by(&given, &weak, json!([signature]), None);
        refused(&verdict, "npm-signature-invalid", "is not its SHA-512");
    }
}
