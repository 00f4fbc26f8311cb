//! The versions of a project that one platform can have: of each, the file that an installer would take, or why there is
//! none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pep440_rs::{Version, VersionSpecifiers};

use crate::base::digest::Digest;
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::eco::preference::Preference;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::markers::Environment;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::simple::{Page, PageFile};
use crate::eco::pypi::solve::range::Range;
use crate::eco::pypi::tags::Fit;
use crate::eco::pypi::wanted;

/// What narrows the choice for one project.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Files published later, or at an unknown time, do not exist.
    pub(crate) exclude_newer: Option<Timestamp>,
    /// Whether a source distribution will do where no wheel does.
    pub(crate) sdist: bool,
    /// Versions that are taken although the publisher took them back.
    pub(crate) yanked: Option<&'a BTreeSet<Version>>,
    /// The only files that may be taken, by SHA-256.
    pub(crate) hashes: Option<&'a BTreeSet<Digest>>,
}

/// The versions, the lowest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    offers: Vec<Offer>,
    /// The same versions.
    versions: Vec<Version>,
}

/// A version and what there is of it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// The version.
    pub(crate) version: Version,
    /// Place of its file on the page, or why none is of use.
    pub(crate) file: Result<usize, Refusal>,
    /// Pythons that its file is for.
    pub(crate) requires_python: Option<VersionSpecifiers>,
}

/// Why a version cannot be had. The greatest says the most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// No file of it runs there, or there are only sources.
    NoWheel,
    /// The index states no SHA-256.
    NoDigest,
    /// Its files are not those that the requirements allow.
    OtherHash,
    /// Taken back, with the reason.
    Yanked(String),
    /// Its metadata or a requirement in it cannot be read.
    Metadata(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWheel => f.write_str("has no wheel for it"),
            Self::NoDigest => f.write_str("has no SHA-256 in the index"),
            Self::OtherHash => f.write_str("has no file with a hash that the requirements list"),
            Self::Yanked(reason) if reason.is_empty() => f.write_str("was yanked"),
            Self::Yanked(reason) => write!(f, "was yanked ({})", quoted(reason)),
            Self::Metadata(reason) => write!(f, "has metadata that cannot be used: {reason}"),
        }
    }
}

/// The best file so far.
enum Best {
    Wheel(Fit, usize),
    Sdist(usize),
    Nothing(Refusal),
}

impl Listing {
    /// What `page` has for `environment`.
    pub(crate) fn new(page: &Page, environment: &Environment, limits: Limits<'_>) -> Self {
        let mut best: BTreeMap<&Version, Best> = BTreeMap::new();
        for (at, file) in page.files.iter().enumerate() {
            if !is_old_enough(file, limits.exclude_newer) {
                continue;
            }
            let new = judge(file, at, environment, limits);
            match best.get_mut(&file.version) {
                None => {
                    best.insert(&file.version, new);
                }
                Some(known) if is_better(&new, known, page) => *known = new,
                Some(_) => {}
            }
        }
        let offers: Vec<Offer> = best
            .into_iter()
            .map(|(version, best)| offer(version, best, page))
            .collect();
        Self {
            versions: offers.iter().map(|o| o.version.clone()).collect(),
            offers,
        }
    }

    /// Every version, the lowest first.
    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that an installer tries first: an approved one, else one that is kept, else the highest. Pre-releases
    /// count when they are asked for, or when nothing else is in the range.
    pub(crate) fn choose(&self, range: &Range, likes: Likes<'_>) -> Option<&Offer> {
        let inside = |offer: &&Offer| range.contains(&offer.version);
        let fits = |offer: &&Offer| {
            (likes.prereleases || !offer.version.any_prerelease()) && range.contains(&offer.version)
        };
        let mut descending = self.offers.iter().rev();
        let is_kept = |o: &&Offer| {
            let kept = likes.kept.is_some_and(|kept| kept.contains(&o.version));
            kept && inside(o) && o.file.is_ok()
        };
        if likes.preference.has_list() {
            let name = likes.name.as_str();
            let approved = |o: &&Offer| {
                let version = o.version.to_string();
                likes.preference.is_approved(name, &version)
            };
            let kept = descending.clone().filter(is_kept).find(approved);
            let other = || descending.clone().filter(fits).filter(|o| o.file.is_ok());
            if let Some(found) = kept.or_else(|| other().find(approved)) {
                return Some(found);
            }
        }
        if let Some(found) = descending.clone().find(is_kept) {
            return Some(found);
        }
        let found = descending.clone().find(fits);
        found.or_else(|| descending.find(inside))
    }

    /// What there is of one version.
    pub(crate) fn get(&self, version: &Version) -> Option<&Offer> {
        let at = self.versions.binary_search(version).ok()?;
        self.offers.get(at)
    }
}

/// What is taken first of the versions of a project.
#[derive(Clone, Copy)]
pub(crate) struct Likes<'a> {
    /// Versions that the lock has.
    pub(crate) kept: Option<&'a BTreeSet<Version>>,
    /// Name of the project.
    pub(crate) name: &'a Name,
    /// Tells versions that the site has approved.
    pub(crate) preference: &'a Preference,
    /// Whether pre-releases are asked for.
    pub(crate) prereleases: bool,
}

/// Whether a file was there at that time.
fn is_old_enough(file: &PageFile, limit: Option<Timestamp>) -> bool {
    let Some(limit) = limit else {
        return true;
    };
    let time = file.upload_time.as_deref();
    let time = time.and_then(|text| Timestamp::from_rfc3339(text).ok());
    time.is_some_and(|time| time <= limit)
}

fn judge(file: &PageFile, at: usize, environment: &Environment, limits: Limits<'_>) -> Best {
    let best = match &file.parsed {
        Filename::Wheel(wheel) => match environment.tags.fit(wheel) {
            Some(fit) => Best::Wheel(fit, at),
            None => return Best::Nothing(Refusal::NoWheel),
        },
        Filename::Sdist(_) if limits.sdist => Best::Sdist(at),
        Filename::Sdist(_) => return Best::Nothing(Refusal::NoWheel),
    };
    if let Some(reason) = &file.yanked
        && !limits.yanked.is_some_and(|y| y.contains(&file.version))
    {
        return Best::Nothing(Refusal::Yanked(reason.clone()));
    }
    match (file.sha256, limits.hashes) {
        (None, _) => Best::Nothing(Refusal::NoDigest),
        (Some(digest), Some(allowed)) if !allowed.contains(&digest) => {
            Best::Nothing(Refusal::OtherHash)
        }
        _ => best,
    }
}

/// A wheel is better than sources, among wheels the best fit, then the higher build number, then the first one.
fn is_better(new: &Best, known: &Best, page: &Page) -> bool {
    let build = |at: &usize| {
        let file = page.files.get(*at)?;
        file.parsed.wheel()?.build.clone()
    };
    match (new, known) {
        (Best::Wheel(new, at), Best::Wheel(known, was)) => {
            new < known || (new == known && build(at) > build(was))
        }
        (Best::Wheel(..), Best::Sdist(_) | Best::Nothing(_))
        | (Best::Sdist(_), Best::Nothing(_)) => true,
        (Best::Nothing(new), Best::Nothing(known)) => new > known,
        (Best::Sdist(_) | Best::Nothing(_), _) => false,
    }
}

fn offer(version: &Version, best: Best, page: &Page) -> Offer {
    let file = match best {
        Best::Wheel(_, at) | Best::Sdist(at) => Ok(at),
        Best::Nothing(refusal) => Err(refusal),
    };
    let of_file = file.as_ref().ok().and_then(|at| page.files.get(*at));
    let requires = of_file.and_then(|f| f.requires_python.as_deref());
    Offer {
        version: version.clone(),
        requires_python: requires.and_then(wanted::specifiers),
        file,
    }
}
