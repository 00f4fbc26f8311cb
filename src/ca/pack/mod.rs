//! The private CA as hosts take it: a Debian package for the system's store, and settings for clients that do not look
//! there. The same certificates, name, prefix and time give the same bytes.
//!
//! ```text
//! ca-bundle.pem            every root in one file
//! certs/NAME-….crt         each in a file of its own
//! NAME-ca-certificates_….deb
//! ca.env  node.env  python.env  uv.env  npmrc  pip.conf  cargo-config.toml  gitconfig  curlrc
//! java-import.sh  systemd-ca.conf
//! README.md
//! ```

mod deb;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::str::FromStr;

use super::{CaBundle, CaCertificate, pem};
use crate::base::runtime::HostPath;
use crate::base::text::quoted;
use crate::base::time::Timestamp;

/// Files by their path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Name of the file with every root.
pub const BUNDLE: &str = "ca-bundle.pem";
/// Longest name.
const MOST: usize = 40;

/// A name that files of settings and packages cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {expected}")]
pub struct PackError {
    /// What it must be.
    pub expected: &'static str,
    /// What it is, quoted and escaped.
    pub found: String,
}

/// The name of an organisation in names of files and packages: lowercase letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = PackError;

    fn from_str(text: &str) -> Result<Self, PackError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fine = text.len() <= MOST
            && text.chars().all(plain)
            && text.starts_with(ends)
            && text.ends_with(ends);
        if fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(PackError {
                expected: "a name of lowercase letters, digits and hyphens, at most 40",
                found: quoted(text),
            })
        }
    }
}

impl Name {
    /// What is left of a channel's name when it is one of packages.
    pub fn of_channel(channel: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let text: String = channel.chars().map(plain).take(MOST).collect();
        let text = text.trim_matches('-').to_ascii_lowercase();
        Self(if text.is_empty() {
            "private".to_owned()
        } else {
            text
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the files are made of.
#[derive(Debug)]
pub struct Packing {
    /// The roots.
    pub roots: CaBundle,
    /// Whose they are.
    pub name: Name,
    /// Where the files go: `PREFIX/ca`.
    pub prefix: HostPath,
}

/// One certificate as a file.
struct Single<'a> {
    facts: &'a CaCertificate,
    /// Such as `agency-5c1a9f30.crt`.
    name: String,
    pem: Vec<u8>,
}

impl Packing {
    /// Every file, made at `at`.
    ///
    /// # Errors
    /// A file has no place in the Debian package.
    pub fn files(&self, at: Timestamp) -> io::Result<Files> {
        let singles = self.singles();
        let mut files = Files::new();
        files.insert(BUNDLE.to_owned(), self.roots.pem.clone());
        for single in &singles {
            files.insert(format!("certs/{}", single.name), single.pem.clone());
        }
        let package = deb::Package {
            name: &self.name,
            singles: &singles,
            version: self.version(at),
            time: at,
        };
        files.insert(package.file_name(), package.bytes()?);
        let folder = format!("{}/ca", self.prefix);
        let names: Vec<&str> = singles.iter().map(|single| single.name.as_str()).collect();
        for (name, text) in settings::all(&folder, &self.name, &names) {
            files.insert(name.to_owned(), text.into_bytes());
        }
        let readme = settings::readme(&folder, &package.file_name(), &singles);
        files.insert("README.md".to_owned(), readme.into_bytes());
        Ok(files)
    }

    fn singles(&self) -> Vec<Single<'_>> {
        let mut singles = Vec::new();
        for facts in &self.roots.certificates {
            let mut text = Vec::new();
            pem::push(&mut text, &facts.der);
            let digits: String = facts.fingerprint.hex().chars().take(8).collect();
            singles.push(Single {
                facts,
                name: format!("{}-{digits}.crt", self.name),
                pem: text,
            });
        }
        singles
    }

    /// The time, so that later packages replace earlier ones whatever roots they have, and the digest of all roots: another
    /// set has another version.
    fn version(&self, at: Timestamp) -> String {
        let time: String = at
            .to_string()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        let digest = crate::base::digest::Digest::of(&self.roots.pem).hex();
        let digits: String = digest.chars().take(8).collect();
        format!("{time}+{digits}")
    }
}
