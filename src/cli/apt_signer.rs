//! Signs the repository's apt index: with the key in `state/`, made at `repo init` (or, in a repository that is older
//! than that, when a signature is first needed), or with a command that the site configured, such as one that asks an
//! HSM. What the command gives back is verified against the site's certificate before anything is published.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind};
use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::eco::{ReleaseSigner, SignedIndex};
use crate::fs::{self, FsError};
use crate::import::layout::{APT_KEY, APT_SIGNING, Layout};
use crate::import::listing::{self, Listing};
use crate::openpgp::keyring::Keyring;
use crate::openpgp::make::RepositoryKey;
use crate::openpgp::{OpenpgpError, verify};

/// Codes of this module.
pub const CODES: &[&Code] = &[&COMMAND];

static COMMAND: Code = Code::new("import-apt-sign-command", Kind::Failed);

/// Largest key or certificate, in bytes.
const LIMIT: u64 = 1 << 20;
/// User id of the key.
const NAME: &str = "stage repository";
/// How far ahead the clock of a signing device may be, in seconds.
const AHEAD: i64 = 600;
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A signing command that did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the apt signing command {reason}")]
pub struct CommandError {
    reason: String,
}

impl Fault for CommandError {
    fn code(&self) -> &'static Code {
        &COMMAND
    }
}

/// `state/apt-signing.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    /// What `sh -c` runs: the Release on standard input, signatures on standard output.
    command: String,
    /// The armoured certificate that signatures must verify with.
    certificate: String,
}

/// The signer of one repository.
pub(crate) struct AptSigner {
    state: PathBuf,
    now: Timestamp,
}

impl fmt::Debug for AptSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AptSigner")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl AptSigner {
    /// For the repository whose state is in `state`.
    pub(crate) fn new(state: &Path, now: Timestamp) -> Self {
        Self {
            state: state.to_owned(),
            now,
        }
    }

    /// Makes the key, unless there is one or a command.
    pub(crate) fn prepare(&self) -> Result<(), Box<dyn Fault>> {
        if self.configured()?.is_none() {
            self.key()?;
        }
        Ok(())
    }

    /// Has the command sign a text and holds that against the certificate: what would fail at the first import fails now,
    /// before anything is made.
    pub(crate) fn try_out(
        command: &str,
        certificate: &[u8],
        now: Timestamp,
    ) -> Result<(), Box<dyn Fault>> {
        let text = "Origin: stage\nDescription: a trial signature\n";
        let certificate = String::from_utf8_lossy(certificate);
        let signed = run(command, text)?;
        Ok(check(&signed, text, &certificate, now.plus_seconds(AHEAD))?)
    }

    /// From now on this command signs, and `certificate` (binary or armoured) is what clients get.
    pub(crate) fn configure(
        &self,
        command: &str,
        certificate: &[u8],
    ) -> Result<(), Box<dyn Fault>> {
        Keyring::parse(certificate)?;
        let text = std::str::from_utf8(certificate).map_err(|_binary| CommandError {
            reason: "needs an armoured certificate".to_owned(),
        })?;
        let configured = Configured {
            command: command.to_owned(),
            certificate: text.to_owned(),
        };
        let bytes = crate::base::json::to_canonical(&configured).map_err(|e| CommandError {
            reason: format!("cannot be written down: {e}"),
        })?;
        self.keep(APT_SIGNING, &bytes)
    }

    fn configuration(&self) -> PathBuf {
        self.state.join(APT_SIGNING)
    }

    /// Writes a file that signing needs, and its line into the list that an audit holds it against.
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Fault>> {
        let list = self.layout().signing_list();
        let known = fs::read_optional(&list, LIMIT)?.and_then(|bytes| listing::parse(&bytes));
        let mut known = known.unwrap_or_default();
        // Interrupted in between, nothing is vouched for, and no damage is seen where there is none.
        fs::remove_file(&list)?;
        fs::write_atomic(&self.state.join(name), bytes, 0o600)?;
        known.insert(name.to_owned(), Digest::of(bytes));
        self.vouch(&known)
    }

    fn vouch(&self, files: &Listing) -> Result<(), Box<dyn Fault>> {
        let files = files.iter().map(|(name, digest)| (name.as_str(), *digest));
        let list = self.layout().signing_list();
        Ok(fs::write_atomic(&list, &listing::lines(files), 0o600)?)
    }

    fn layout(&self) -> Layout {
        Layout::new(fs::parent(&self.state))
    }

    fn configured(&self) -> Result<Option<Configured>, Box<dyn Fault>> {
        let Some(bytes) = fs::read_optional(&self.configuration(), LIMIT)? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&bytes).map_err(|e| CommandError {
            reason: format!(
                "cannot be read from state/apt-signing.json: {}",
                escaped(&e.to_string())
            ),
        })?;
        Ok(Some(read))
    }

    /// The key of the repository, made now if there is none.
    fn key(&self) -> Result<RepositoryKey, Box<dyn Fault>> {
        let path = self.state.join(APT_KEY);
        if let Some(bytes) = fs::read_optional(&path, LIMIT)? {
            return Ok(RepositoryKey::parse(&bytes)?);
        }
        let key = RepositoryKey::generate(self.now, NAME)?;
        self.keep(APT_KEY, key.armored_secret()?.as_bytes())?;
        Ok(key)
    }
}

impl ReleaseSigner for AptSigner {
    fn sign(&self, text: &str, at: Timestamp) -> Result<SignedIndex, Box<dyn Fault>> {
        let (signed, certificate) = if let Some(configured) = self.configured()? {
            (run(&configured.command, text)?, configured.certificate)
        } else {
            let key = self.key()?;
            let signed = SignedIndex {
                inline: Some(key.sign_cleartext(text, at)?),
                detached: Some(key.sign_detached(text.as_bytes(), at)?),
            };
            (signed, key.armored_certificate()?)
        };
        check(
            &signed,
            text,
            &certificate,
            at.max(self.now).plus_seconds(AHEAD),
        )?;
        Ok(signed)
    }

    fn certificate(&self) -> Result<String, Box<dyn Fault>> {
        match self.configured()? {
            Some(configured) => Ok(configured.certificate),
            None => Ok(self.key()?.armored_certificate()?),
        }
    }
}

/// What is published must verify, and must be over exactly this text.
fn check(
    signed: &SignedIndex,
    text: &str,
    certificate: &str,
    now: Timestamp,
) -> Result<(), OpenpgpError> {
    let keyring = Keyring::parse(certificate.as_bytes())?;
    if let Some(inline) = &signed.inline {
        let found = verify::cleartext(inline.as_bytes(), &keyring, now)?;
        if found.text.trim_end() != text.trim_end() {
            return Err(OpenpgpError::Message {
                reason: "another text was signed than the one that was given".to_owned(),
            });
        }
    }
    if let Some(detached) = &signed.detached {
        verify::detached(text.as_bytes(), detached.as_bytes(), &keyring, now)?;
    }
    Ok(())
}

/// Gives `text` to the command and takes what it prints apart: a cleartext signed message, a detached signature, or one
/// after the other.
fn run(command: &str, text: &str) -> Result<SignedIndex, CommandError> {
    let fail = |reason: String| CommandError { reason };
    let started = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = started.map_err(|e| fail(format!("did not start: {e}")))?;
    // A command that does not read everything fails by what it gives back.
    let fed = child
        .stdin
        .take()
        .map(|mut pipe| pipe.write_all(text.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|e| fail(format!("cannot be waited for: {e}")))?;
    if !output.status.success() {
        return Err(fail(format!("failed: {}", output.status)));
    }
    if let Some(Err(error)) = fed {
        return Err(fail(format!("did not read the Release: {error}")));
    }
    let printed = String::from_utf8(output.stdout)
        .map_err(|_binary| fail("gave no armoured signature".to_owned()))?;
    let (mut inline, mut rest) = (None, printed.as_str());
    if printed.starts_with("-----BEGIN PGP SIGNED MESSAGE-----")
        && let Some((message, after)) = printed.split_once(END)
    {
        inline = Some(format!("{message}{END}\n"));
        rest = after;
    }
    let rest = rest.trim_start();
    let detached = rest.starts_with(SIGNATURE).then(|| rest.to_owned());
    if inline.is_none() && detached.is_none() {
        return Err(fail("gave no signature".to_owned()));
    }
    Ok(SignedIndex { inline, detached })
}

/// The armoured certificate and the suites of the apt repository that is published below `current`.
pub(crate) fn published(current: &Path) -> Result<(Vec<String>, Option<String>), FsError> {
    let debian = current.join("debian");
    let dists = debian.join("dists");
    let mut suites = Vec::new();
    if fs::exists(&dists) {
        let names = fs::list(&dists)?.into_iter();
        suites.extend(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())));
    }
    let key = fs::read_optional(&debian.join(crate::eco::debian::repo::KEY_FILE), LIMIT)?;
    Ok((suites, key.and_then(|bytes| String::from_utf8(bytes).ok())))
}
