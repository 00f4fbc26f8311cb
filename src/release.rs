//! `releases.toml`: the memory of what was released, committed beside the lock.
//!
//! Goals: serials rise by themselves, and anyone with the repository can rebuild the newest bundle of a channel to the
//! byte. One `[[release]]` per bundle made, sorted by channel and serial:
//!
//! ```toml
//! version = 1
//!
//! [[release]]
//! channel = "openclaw"
//! serial = 1
//! created = "2026-11-22T00:00:00Z"
//! inputs = "sha256:…"
//! statement = "sha256:…"
//! ```
//!
//! Rules, which [`Releases::decide`] follows:
//!
//! - The inputs of the channel's newest release again: its serial and `created` again.
//! - Anything else, also the inputs of an older release (going back is a release, too): the next serial, `created` is
//!   the time given.
//! - `created` never falls within a channel, since the enclave prefers the newer of two bundles: a time before the
//!   newest release is an error. Equal times are fine (`SOURCE_DATE_EPOCH`); the serial decides.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use crate::base::digest::Digest;
use crate::base::fault::{Code, Fault, Kind, Place};
use crate::base::text::{escaped, quoted};
use crate::base::time::Timestamp;
use crate::fs::{self, FsError};

/// The format version this program writes.
pub const VERSION: u32 = 1;
/// Largest file, in bytes.
const LIMIT: u64 = 16 << 20;

/// Codes of this module.
pub const CODES: &[&Code] = &[&SYNTAX, &NEWER, &ORDER, &CLOCK, &CHANGED, &UNREADABLE];

static UNREADABLE: Code = Code::new("bundle-releases-unreadable", Kind::Failed);
static SYNTAX: Code = Code::new("bundle-releases-syntax", Kind::Usage);
static NEWER: Code = Code::new("bundle-releases-newer-format", Kind::Usage);
static ORDER: Code = Code::new("bundle-releases-inconsistent", Kind::Usage);
static CLOCK: Code = Code::new("bundle-clock-went-back", Kind::Unsafe);
static CHANGED: Code = Code::new("bundle-not-reproducible", Kind::Failed);

/// Why the release memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The file could not be read or written.
    #[error("the list of releases cannot be used")]
    File {
        /// What failed.
        source: FsError,
    },
    /// Not TOML, or not the keys of this file.
    #[error("not a list of releases: {reason}")]
    Syntax {
        /// What the parser said, escaped.
        reason: String,
        /// Where.
        place: Place,
    },
    /// Written by a later version of `stage`.
    #[error("{file} has format {found}, newer than format {VERSION} of this version of stage")]
    Newer {
        /// The file, quoted and escaped.
        file: String,
        /// The format it has.
        found: u32,
    },
    /// The entries contradict each other.
    #[error("{file}: release {serial} of channel {channel} {reason}")]
    Inconsistent {
        /// The file, escaped.
        file: String,
        /// The channel, quoted and escaped.
        channel: String,
        /// The serial.
        serial: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A release would be older than the one before it.
    #[error("a new release of channel {channel} would be older than the newest one")]
    ClockWentBack {
        /// The channel, quoted and escaped.
        channel: String,
        /// When the newest release was made.
        newest: Timestamp,
        /// The time given.
        now: Timestamp,
    },
    /// The same inputs made other bytes.
    #[error("release {serial} of channel {channel} was made again with other content")]
    NotReproducible {
        /// The channel, quoted and escaped.
        channel: String,
        /// The serial.
        serial: u64,
        /// Digest of the statement on record.
        recorded: Digest,
        /// Digest of the statement made now.
        made: Digest,
    },
}

impl Fault for ReleaseError {
    fn code(&self) -> &'static Code {
        match self {
            Self::File { .. } => &UNREADABLE,
            Self::Syntax { .. } => &SYNTAX,
            Self::Newer { .. } => &NEWER,
            Self::Inconsistent { .. } => &ORDER,
            Self::ClockWentBack { .. } => &CLOCK,
            Self::NotReproducible { .. } => &CHANGED,
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ClockWentBack { newest, now, .. } => vec![
                ("newest release", newest.to_string()),
                ("time now", now.to_string()),
            ],
            Self::NotReproducible { recorded, made, .. } => vec![
                ("expected", recorded.to_string()),
                ("found", made.to_string()),
            ],
            _ => Vec::new(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Syntax { place, .. } => Some(place.clone()),
            _ => None,
        }
    }
}

/// One bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its channel.
    pub channel: String,
    /// Its serial, from 1.
    pub serial: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Digest of everything it was made from.
    pub inputs: Digest,
    /// Digest of its statement, which names everything in it.
    pub statement: Digest,
}

/// What the next bundle gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Its serial.
    pub serial: u64,
    /// Its time.
    pub created: Timestamp,
    /// Whether both are those of the channel's newest release, because its inputs are the same.
    pub reused: bool,
}

/// Every release on record, sorted by channel and serial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Releases {
    entries: Vec<Release>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    release: Vec<Release>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Releases {
    /// Reads the file at `path`; a missing one is an empty list.
    pub fn load(path: &Path) -> Result<Self, ReleaseError> {
        let bytes =
            fs::read_optional(path, LIMIT).map_err(|source| ReleaseError::File { source })?;
        match bytes {
            Some(bytes) => Self::parse(&path.to_string_lossy(), &bytes),
            None => Ok(Self::default()),
        }
    }

    /// Parses the bytes of a file that the user calls `file`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ReleaseError> {
        let lossy = String::from_utf8_lossy(bytes);
        let syntax = |reason: &str, offset| ReleaseError::Syntax {
            reason: escaped(reason),
            place: place(file, &lossy, offset),
        };
        let text = std::str::from_utf8(bytes).map_err(|e| syntax("not UTF-8", e.valid_up_to()))?;
        let fail = |e: &toml::de::Error| syntax(e.message(), e.span().map_or(0, |s| s.start));
        let Version { version } = toml::from_str(text).map_err(|e| fail(&e))?;
        if version > VERSION {
            return Err(ReleaseError::Newer {
                file: quoted(file),
                found: version,
            });
        }
        let parsed: File = toml::from_str(text).map_err(|e| fail(&e))?;
        if parsed.version != VERSION {
            return Err(syntax("there is no format 0", 0));
        }
        let mut entries = parsed.release;
        entries.sort();
        check(file, &entries)?;
        Ok(Self { entries })
    }

    /// Every release, sorted by channel and serial.
    pub fn entries(&self) -> &[Release] {
        &self.entries
    }

    /// The newest release of a channel.
    pub fn newest(&self, channel: &str) -> Option<&Release> {
        self.entries.iter().rfind(|r| r.channel == channel)
    }

    /// What a bundle made from `inputs` at `now` gets.
    pub fn decide(
        &self,
        channel: &str,
        inputs: Digest,
        now: Timestamp,
    ) -> Result<Decision, ReleaseError> {
        let Some(newest) = self.newest(channel) else {
            return Ok(Decision {
                serial: 1,
                created: now,
                reused: false,
            });
        };
        if newest.inputs == inputs {
            return Ok(Decision {
                serial: newest.serial,
                created: newest.created,
                reused: true,
            });
        }
        if now < newest.created {
            return Err(ReleaseError::ClockWentBack {
                channel: quoted(channel),
                newest: newest.created,
                now,
            });
        }
        Ok(Decision {
            serial: newest.serial + 1,
            created: now,
            reused: false,
        })
    }

    /// Puts a finished bundle on record. The newest release made again changes nothing, if its statement is the same.
    pub fn record(&mut self, release: Release) -> Result<(), ReleaseError> {
        if let Some(known) = self.newest(&release.channel)
            && (known.serial, known.inputs) == (release.serial, release.inputs)
        {
            return if *known == release {
                Ok(())
            } else {
                Err(ReleaseError::NotReproducible {
                    channel: quoted(&release.channel),
                    serial: release.serial,
                    recorded: known.statement,
                    made: release.statement,
                })
            };
        }
        let mut entries = self.entries.clone();
        entries.push(release);
        entries.sort();
        check("releases.toml", &entries)?;
        self.entries = entries;
        Ok(())
    }

    /// The bytes of the file.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = format!(
            "# Made by `stage bundle`: commit it, never change it by hand.\nversion = {VERSION}\n"
        );
        for release in &self.entries {
            // Writing to a String cannot fail; channels hold no character that TOML would escape.
            if write!(
                out,
                "\n[[release]]\nchannel = \"{}\"\nserial = {}\ncreated = \"{}\"\ninputs = \"{}\"\nstatement = \"{}\"\n",
                release.channel, release.serial, release.created, release.inputs, release.statement
            )
            .is_err()
            {}
        }
        out.into_bytes()
    }

    /// Replaces the file at `path`, all or nothing.
    pub fn write(&self, path: &Path) -> Result<(), ReleaseError> {
        fs::write_atomic(path, &self.canonical(), 0o644)
            .map_err(|source| ReleaseError::File { source })
    }
}

/// Serials from 1 without repetition, times that never fall, channels in their grammar.
fn check(file: &str, entries: &[Release]) -> Result<(), ReleaseError> {
    let mut before: Option<&Release> = None;
    for release in entries {
        let wrong = |reason| ReleaseError::Inconsistent {
            file: escaped(file),
            channel: quoted(&release.channel),
            serial: release.serial,
            reason,
        };
        if !crate::manifest::is_channel(&release.channel) {
            return Err(wrong("has no valid channel name"));
        }
        if release.serial == 0 || release.serial > crate::base::json::MAX_INTEGER {
            return Err(wrong("has a serial out of range"));
        }
        if let Some(before) = before.filter(|b| b.channel == release.channel) {
            if before.serial == release.serial {
                return Err(wrong("is listed twice"));
            }
            if before.created > release.created {
                return Err(wrong("is older than the one before it"));
            }
        }
        before = Some(release);
    }
    Ok(())
}

fn place(file: &str, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    Place {
        file: escaped(file),
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().unwrap_or(before).chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Release, ReleaseError, Releases};
    use crate::base::digest::Digest;
    use crate::base::fault::Fault as _;
    use crate::base::time::Timestamp;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + hour * 3600).unwrap()
    }

    fn make(releases: &mut Releases, inputs: &str, now: Timestamp) -> Decision {
        let inputs = Digest::of(inputs.as_bytes());
        let decision = releases.decide("claw", inputs, now).unwrap();
        let statement = format!("{inputs} {} {}", decision.serial, decision.created);
        releases
            .record(Release {
                channel: "claw".to_owned(),
                serial: decision.serial,
                created: decision.created,
                inputs,
                statement: Digest::of(statement.as_bytes()),
            })
            .unwrap();
        decision
    }

    fn decision(serial: u64, created: Timestamp, reused: bool) -> Decision {
        Decision {
            serial,
            created,
            reused,
        }
    }

    #[test]
    fn the_same_inputs_are_the_same_release_and_going_back_is_a_new_one() {
        let mut releases = Releases::default();
        assert_eq!(make(&mut releases, "a", at(0)), decision(1, at(0), false));
        assert_eq!(make(&mut releases, "a", at(1)), decision(1, at(0), true));
        assert_eq!(make(&mut releases, "b", at(2)), decision(2, at(2), false));
        assert_eq!(make(&mut releases, "a", at(3)), decision(3, at(3), false));
        assert_eq!(make(&mut releases, "a", at(4)), decision(3, at(3), true));
        assert_eq!(releases.entries().len(), 3);
    }

    #[test]
    fn time_may_stand_still_but_not_fall() {
        let mut releases = Releases::default();
        make(&mut releases, "a", at(5));
        assert_eq!(make(&mut releases, "b", at(5)), decision(2, at(5), false));
        assert_eq!(make(&mut releases, "b", at(1)), decision(2, at(5), true));
        let error = releases
            .decide("claw", Digest::of(b"c"), at(4))
            .unwrap_err();
        assert!(matches!(error, ReleaseError::ClockWentBack { .. }));
        let other = releases.decide("other", Digest::of(b"c"), at(4)).unwrap();
        assert_eq!(other, decision(1, at(4), false));
    }

    #[test]
    fn the_same_inputs_with_another_statement_are_noticed() {
        let mut releases = Releases::default();
        make(&mut releases, "a", at(0));
        let mut other = releases.entries()[0].clone();
        other.statement = Digest::of(b"other");
        let error = releases.record(other).unwrap_err();
        assert_eq!(error.code().name, "bundle-not-reproducible");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut releases = Releases::default();
        make(&mut releases, "a", at(0));
        make(&mut releases, "b", at(1));
        let bytes = releases.canonical();
        let again = Releases::parse("releases.toml", &bytes).unwrap();
        assert_eq!(again, releases);
        assert_eq!(again.canonical(), bytes);
        assert_eq!(
            Releases::parse("r", b"version = 1\n").unwrap(),
            Releases::default()
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        let mut releases = Releases::default();
        make(&mut releases, "a", at(0));
        let good = String::from_utf8(releases.canonical()).unwrap();
        let extra = Releases::parse("dir/releases.toml", format!("{good}extra = 1\n").as_bytes());
        let place = extra.unwrap_err().place().unwrap();
        assert_eq!((place.file.as_str(), place.line), ("dir/releases.toml", 10));
        for (from, to, code) in [
            ("version = 1", "version = 2", "bundle-releases-newer-format"),
            ("version = 1", "version = 0", "bundle-releases-syntax"),
            ("version = 1", "", "bundle-releases-syntax"),
            ("serial = 1", "serial = 0", "bundle-releases-inconsistent"),
            ("serial = 1", "serial = -1", "bundle-releases-syntax"),
            ("\"claw\"", "\"../claw\"", "bundle-releases-inconsistent"),
            ("sha256:", "sha1:", "bundle-releases-syntax"),
        ] {
            let text = good.replacen(from, to, 1);
            let error = Releases::parse("r", text.as_bytes()).unwrap_err();
            assert_eq!(error.code().name, code, "{to}");
        }
        let entry = good.split_once("[[release]]").unwrap().1;
        let twice = format!("{good}\n[[release]]{entry}");
        for bad in [twice.as_bytes(), &[0xff]] {
            let error = Releases::parse("r", bad).unwrap_err();
            assert!(error.code().name.starts_with("bundle-releases-"), "{error}");
        }
    }
}
