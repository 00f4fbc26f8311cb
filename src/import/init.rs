//! Making a repository, pinning its trust root, and changing the address it is served at.

use std::path::Path;

use url::Url;

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::eco::ReleaseSigner;
use crate::fs::{self, LockFile};
use crate::import::journal::{Event, Journal};
use crate::import::layout::Layout;
use crate::import::state::{self, Change, Memory, State};
use crate::import::undo::Undo;
use crate::import::{ImportError, Repository, generation, safety};
use crate::trust::root::TrustRoot;

/// Where a tree is served unless something else is said; also what `repo serve` listens on.
pub const DEFAULT_BASE_URL: &str = "http://127.0.0.1:8080";

/// What the journal says of what a repository demands of every import.
const APPROVED: &str = "every signature needs an approval";
const PROVED: &str = "every bundle needs a proof that it works";
const LINTED: &str = "every import reads the archives";

/// An address that a tree is served at: http or https, no user, query or fragment, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Reads an address; one slash at the end is taken off.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let fail = || ImportError::BaseUrl {
            found: crate::base::text::quoted(text),
        };
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let url = Url::parse(trimmed).map_err(|_bad| fail())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        // The text is compared and replaced literally by the server, so it must be the one spelling of its address.
        let canonical = url.as_str();
        let canonical = canonical.strip_suffix('/').unwrap_or(canonical);
        if plain && canonical == trimmed && !trimmed.ends_with('/') {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(fail())
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a repository is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// Where its tree will be served.
    pub base_url: Option<&'a BaseUrl>,
    /// Whether an expired bundle may be imported for a stated reason; cannot be changed afterwards.
    pub allow_expired_imports: bool,
    /// Whether every signature that counts needs an approval; may be switched on later, never off.
    pub require_approvals: bool,
    /// Whether every bundle needs a proof that it works; may be switched on later, never off.
    pub require_proof: bool,
    /// Whether every import reads the archives; may also be demanded later, and stays so.
    pub lint_imports: bool,
    /// The text of the policy that every import is judged by from now on; another one may take its place later.
    pub policy: Option<&'a str>,
}

/// What `init` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// A new repository.
    New,
    /// It existed with this trust root and address.
    Unchanged,
    /// It existed; from now on it demands more of every import.
    Stricter,
    /// It existed; every import is judged by another policy from now on.
    Judged,
    /// It existed; the address changed, and a new generation shows it (0: nothing is imported yet).
    Moved(u64),
}

/// Makes a repository at `path`, pinned to `root`; without a `fingerprint`, the journal says that nobody compared it. When it
/// exists with the same root, the address may change, and more be demanded of every import from now on.
///
/// # Errors
/// `fingerprint` given and another one than the root's (E31); an unsafe place (E41); a repository with another root.
pub fn init(
    path: &Path,
    root: &TrustRoot,
    fingerprint: Option<Digest>,
    settings: Settings<'_>,
    now: Timestamp,
    signer: &dyn ReleaseSigner,
) -> Result<Made, ImportError> {
    let found = root.fingerprint();
    if let Some(expected) = fingerprint.filter(|expected| *expected != found) {
        return Err(ImportError::Fingerprint { expected, found });
    }
    let layout = Layout::new(path);
    if fs::exists(&layout.journal()) {
        return reopen(path, root, settings, now, signer);
    }
    safety::check_place(path)?;
    for (directory, mode) in layout.directories() {
        fs::create_dir_all(&directory, mode)?;
        fs::set_mode(&directory, mode)?;
    }
    safety::check(&layout)?;
    let _lock = LockFile::try_exclusive(&layout.lock())?;
    let base_url = settings.base_url.map_or(DEFAULT_BASE_URL, BaseUrl::as_str);
    let event = match fingerprint {
        Some(_) => Event::Init,
        None => Event::InitUncheckedRoot,
    };
    let mut change = Change::new(event, now);
    let mut state = State::new(base_url, root);
    state.allow_expired_imports = settings.allow_expired_imports;
    state.require_approvals = settings.require_approvals;
    state.require_proof = settings.require_proof;
    state.lint_imports = settings.lint_imports;
    state.policy = settings.policy.map(str::to_owned);
    let judged = judged(settings.policy);
    let detail = rules(&[
        (
            settings.allow_expired_imports,
            "expired bundles may be imported for a stated reason",
        ),
        (settings.require_approvals, APPROVED),
        (settings.require_proof, PROVED),
        (settings.lint_imports, LINTED),
        (settings.policy.is_some(), &judged),
    ]);
    change.detail = detail.as_deref();
    let memory = Memory {
        state,
        root: root.clone(),
        journal: Journal::default(),
    };
    state::commit(&layout, &memory, &change, &mut Undo::default())?;
    for (directory, _mode) in layout.directories().iter().rev() {
        fs::sync_dir(directory)?;
    }
    fs::sync_dir(fs::parent(path))?;
    Ok(Made::New)
}

/// What the journal says of a policy.
fn judged(policy: Option<&str>) -> String {
    let digest = policy.map(|text| Digest::of(text.as_bytes()).to_string());
    format!(
        "every import is judged by policy {}",
        digest.unwrap_or_default()
    )
}

/// The rules that apply, for the journal.
fn rules(all: &[(bool, &str)]) -> Option<String> {
    let rules: Vec<&str> = all
        .iter()
        .filter_map(|(applies, rule)| applies.then_some(*rule))
        .collect();
    (!rules.is_empty()).then(|| rules.join("; "))
}

/// `init` on a repository that exists.
fn reopen(
    path: &Path,
    root: &TrustRoot,
    settings: Settings<'_>,
    now: Timestamp,
    signer: &dyn ReleaseSigner,
) -> Result<Made, ImportError> {
    let mut repository = Repository::open(path)?;
    let state = &repository.memory.state;
    if state.root != root.fingerprint() {
        return Err(ImportError::OtherRoot {
            pinned: state.root,
            given: root.fingerprint(),
        });
    }
    if settings.allow_expired_imports && !state.allow_expired_imports {
        return Err(ImportError::ExpiredNotAllowed);
    }
    let state = &mut repository.memory.state;
    let other = settings.policy.is_some() && settings.policy != state.policy.as_deref();
    let judged = judged(settings.policy);
    let demanded = rules(&[
        (
            settings.require_approvals && !state.require_approvals,
            APPROVED,
        ),
        (settings.require_proof && !state.require_proof, PROVED),
        (settings.lint_imports && !state.lint_imports, LINTED),
        (other, &judged),
    ]);
    state.require_approvals |= settings.require_approvals;
    state.require_proof |= settings.require_proof;
    state.lint_imports |= settings.lint_imports;
    if let Some(policy) = settings.policy.filter(|_| other) {
        state.policy = Some(policy.to_owned());
    }
    let moved = settings
        .base_url
        .filter(|url| url.as_str() != state.base_url);
    let Some(base_url) = moved else {
        let (event, made) = if other {
            (Event::Policy, Made::Judged)
        } else {
            (Event::Stricter, Made::Stricter)
        };
        return repository.settled(demanded, event, made, now);
    };
    base_url.as_str().clone_into(&mut state.base_url);
    let change = Change {
        detail: demanded.as_deref(),
        ..Change::new(Event::BaseUrl, now)
    };
    let number = repository.render_active(&change, signer)?;
    Ok(Made::Moved(number))
}

impl Repository {
    /// Writes down what is demanded from now on, if that is new; nothing that is published changes.
    fn settled(
        &mut self,
        demanded: Option<String>,
        event: Event,
        made: Made,
        now: Timestamp,
    ) -> Result<Made, ImportError> {
        let Some(demanded) = demanded else {
            return Ok(Made::Unchanged);
        };
        let change = Change {
            detail: Some(demanded.as_str()),
            ..Change::new(event, now)
        };
        state::commit(&self.layout, &self.memory, &change, &mut self.undo)?;
        Ok(made)
    }

    /// Publishes the active bundles again as a new generation; with no generation yet, only commits the state.
    pub(crate) fn render_active(
        &mut self,
        change: &Change<'_>,
        signer: &dyn ReleaseSigner,
    ) -> Result<u64, ImportError> {
        let state = &self.memory.state;
        if state.generation == 0 {
            state::commit(&self.layout, &self.memory, change, &mut self.undo)?;
            return Ok(0);
        }
        let number = state.generation + 1;
        let publishing = self.publishing(change.now, signer);
        let bundles = self.load_active(None)?;
        let tree = generation::render(bundles, state, number, &publishing)?;
        self.publish(&tree, change)?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::BaseUrl;

    #[test]
    fn only_the_one_spelling_of_an_address_is_taken() {
        for (text, kept) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://repo.example/", "https://repo.example"),
            ("https://repo.example/stage", "https://repo.example/stage"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().as_str(), kept);
        }
        for bad in [
            "",
            "repo.example",
            "ftp://repo.example",
            "http://u:p@repo.example",
            "http://repo.example?x",
            "http://repo.example#x",
            "HTTP://repo.example",
            "http://repo.example:80",
            "http://repo.example/a/../b",
            "http://repo.example//",
            "http://",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
