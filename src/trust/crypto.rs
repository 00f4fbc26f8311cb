//! Which crates do the cryptography. Receipts name them, so that an auditor can tell; none of them is a certified module.

use serde_json::{Value, json};

/// A crate that makes or checks signatures or digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// Its version in this build.
    pub version: &'static str,
    /// What it does here.
    pub does: &'static str,
}

/// The crates of this build. A test compares the versions with `Cargo.lock`.
pub const MODULES: [Module; 2] = [
    Module {
        name: "aws-lc-rs",
        version: "1.19.0",
        does: "ECDSA P-384, SHA-256, SHA-384, SHA-512, random numbers",
    },
    Module {
        name: "ed25519-dalek",
        version: "3.0.0",
        does: "Ed25519",
    },
];

/// What a receipt says about the cryptography. `fips_host` is whether the host's kernel is in FIPS mode, which says
/// nothing about these crates.
pub fn receipt(fips_host: bool) -> Value {
    let modules: Vec<Value> = MODULES
        .iter()
        .map(|m| json!({"name": m.name, "version": m.version, "does": m.does}))
        .collect();
    json!({"modules": modules, "certified": false, "host_fips_mode": fips_host})
}

/// Reads the kernel's `fips_enabled`: FIPS mode is `1`.
pub fn is_fips_mode(text: &[u8]) -> bool {
    text.trim_ascii() == b"1"
}

#[cfg(test)]
mod tests {
    use super::is_fips_mode;

    #[test]
    fn only_one_is_fips_mode() {
        assert!(is_fips_mode(b"1\n"));
        for other in [&b"0\n"[..], b"", b"11", b"yes"] {
            assert!(!is_fips_mode(other));
        }
    }
}
