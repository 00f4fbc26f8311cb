//! Running a scanner over the blobs of a verified bundle and the files of its medium, or taking what another one said.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use super::medium::OnMedium;
use crate::base::digest::Digest;
use crate::base::text::{amount, is_plain, quoted, shown};
use crate::base::time::Timestamp;
use crate::cli::scratch::Scratch;
use crate::cli::ui::Failure;
use crate::cli::{self, UsageError};
use crate::fs;
use crate::transfer::inside::{self, Kind};
use crate::transfer::report;
use crate::transfer::{
    Definitions, Line, NOT_TOLD, Noted, Scan, Scanner, TransferError, Verdict, clamav,
};

/// Where Debian and others keep the definitions of `ClamAV`.
pub(super) const DATABASE: &str = "/var/lib/clamav";

/// A scanner that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// `clamscan`, with limits of ours
    Clamav,
    /// `clamdscan`: the daemon, with the limits of its configuration
    Clamd,
}

/// What to look at: each file by its name in reports, with where it is and its size.
pub(super) type Targets = BTreeMap<String, (PathBuf, u64)>;

/// What was said.
pub(super) struct Scanned {
    pub(super) scanner: Scanner,
    pub(super) scans: BTreeMap<String, Scan>,
    pub(super) findings: Vec<Noted>,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
}

/// A scanner that is ready.
pub(super) struct Ready {
    engine: Engine,
    /// The whole path: the scanner runs elsewhere.
    database: PathBuf,
    scanner: Scanner,
}

impl Ready {
    /// Asks it who it is and what it knows.
    pub(super) fn new(
        scratch: &mut Scratch,
        engine: Engine,
        database: &Path,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program(engine));
        command.arg("--version");
        let said = scratch.run(command).map_err(|error| absent(&error))?;
        let text = String::from_utf8_lossy(&said.stdout);
        let unknown =
            || TransferError::scanner(format!("asked for its version, it said {}", quoted(&text)));
        let (version, loaded) = clamav::version(&text).ok_or_else(unknown)?;
        let (definitions, date) = match engine {
            Engine::Clamav => definitions(database)?,
            // It says none where it has no file of a publisher.
            Engine::Clamd => match loaded {
                Some(loaded) => loaded,
                None => definitions(database)?,
            },
        };
        let limits = match engine {
            Engine::Clamav => clamav::LIMITS
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            Engine::Clamd => BTreeMap::new(),
        };
        let name = match engine {
            Engine::Clamav => "ClamAV clamscan",
            Engine::Clamd => "ClamAV clamd",
        };
        let scanner = Scanner {
            name: line(name)?,
            version: line(&version)?,
            definitions: Definitions {
                version: line(&definitions)?,
                date,
            },
            limits,
        };
        let database = match engine {
            Engine::Clamav => fs::canonicalize(database)?,
            Engine::Clamd => PathBuf::new(),
        };
        Ok(Self {
            engine,
            database,
            scanner,
        })
    }

    /// Who it is.
    pub(super) const fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Has it look at each file, and at the members of those archives that it does not open.
    pub(super) fn scan(
        &self,
        scratch: &mut Scratch,
        targets: &Targets,
    ) -> Result<Scanned, Failure> {
        let started = cli::now();
        let mut scans = self.look(scratch, targets)?;
        self.look_inside(scratch, targets, &mut scans)?;
        Ok(Scanned {
            findings: not_told(&self.scanner),
            scanner: self.scanner.clone(),
            scans,
            started,
            ended: cli::now(),
        })
    }

    /// One run over all of it.
    fn look(
        &self,
        scratch: &mut Scratch,
        targets: &Targets,
    ) -> Result<BTreeMap<String, Scan>, Failure> {
        let list = scratch.folder().join("list");
        let (mut names, mut sizes, mut lines) = (BTreeMap::new(), BTreeMap::new(), String::new());
        for (name, (path, size)) in targets {
            let path = path.to_str().map(str::to_owned);
            let path =
                path.ok_or_else(|| UsageError::new("the scratch folder's name is not UTF-8"))?;
            lines = lines + &path + "\n";
            sizes.insert(path.clone(), *size);
            names.insert(path, name);
        }
        fs::write_unsynced(&list, lines.as_bytes(), 0o600)?;
        let mut command = Command::new(program(self.engine));
        match self.engine {
            Engine::Clamav => {
                command.args(clamav::OPTIONS);
                for (name, value) in clamav::LIMITS {
                    command.arg(format!("--{name}={value}"));
                }
                command.arg("--database").arg(&self.database);
                command.arg("--tempdir").arg(scratch.subfolder("tmp")?);
            }
            Engine::Clamd => {
                command.args(clamav::DAEMON_OPTIONS);
            }
        }
        command.arg("--file-list").arg(&list);
        let said = scratch.run(command).map_err(|error| absent(&error))?;
        let output = String::from_utf8_lossy(&said.stdout);
        let complaint = String::from_utf8_lossy(&said.stderr);
        let scans = match clamav::results(&output, &sizes) {
            Ok(scans) => scans,
            // A scanner that could not even begin says why on the other channel.
            Err(_) if output.trim().is_empty() => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        clamav::exit(said.status.code(), &scans, &complaint)?;
        if scans.is_empty() && !sizes.is_empty() {
            return Err(TransferError::scanner("it said nothing").into());
        }
        let scans = scans.into_iter();
        Ok(scans
            .filter_map(|(path, scan)| Some(((*names.get(&path)?).clone(), scan)))
            .collect())
    }

    /// Unpacks what the scanner does not open by itself, and what something was found in, to say where; and has it look at
    /// the members.
    fn look_inside(
        &self,
        scratch: &mut Scratch,
        targets: &Targets,
        scans: &mut BTreeMap<String, Scan>,
    ) -> Result<(), Failure> {
        let mut within = Targets::new();
        let blobs = targets
            .iter()
            .filter(|(name, _)| Digest::from_hex(name).is_ok());
        for (name, (path, _)) in blobs {
            let scan = scans.entry(name.clone()).or_default();
            let kind = inside::kind(path)?;
            if kind == Kind::Zip && self.engine == Engine::Clamav {
                cut_off(path, scan)?;
            }
            if kind != Kind::Closed && !scan.is_found() {
                continue;
            }
            let folder = scratch.subfolder(&format!("inside/{name}"))?;
            let members = inside::members(path, &folder)?;
            if kind == Kind::Closed && !members.is_whole {
                scan.add(Verdict::Unreadable, "it cannot be unpacked whole");
            }
            for (number, member) in members.names.iter().enumerate() {
                let file = folder.join(number.to_string());
                let size = fs::size(&file)?;
                within.insert(format!("{name} {number} {member}"), (file, size));
            }
        }
        if within.is_empty() {
            return Ok(());
        }
        for (place, scan) in self.look(scratch, &within)? {
            let mut parts = place.splitn(3, ' ');
            let (name, member) = (parts.next(), parts.nth(1).unwrap_or_default());
            let blob = name.and_then(|name| scans.get_mut(name));
            if let Some(blob) = blob.filter(|_| scan.result != Verdict::Clean) {
                let said = format!("{} in {}", scan.said.join(", "), quoted(member));
                blob.add(scan.result, said);
            }
        }
        Ok(())
    }
}

/// Of what is larger, the scanner reads the beginning and says nothing of the rest.
fn cut_off(path: &Path, scan: &mut Scan) -> Result<(), Failure> {
    match inside::larger(path, clamav::MAX_FILE)? {
        None => scan.add(Verdict::Unreadable, "its list of members cannot be read"),
        Some(names) => {
            for name in names {
                let said = format!(
                    "only the first {} of {}",
                    amount(clamav::MAX_FILE),
                    quoted(&name)
                );
                scan.add(Verdict::Limit, said);
            }
        }
    }
    Ok(())
}

/// Takes what another scanner said.
pub(super) fn reported(file: &Path, targets: &Targets, now: Timestamp) -> Result<Scanned, Failure> {
    let bytes = fs::read(file, report::LIMIT).map_err(|error| UsageError::unreadable(&error))?;
    let report = report::parse(&bytes, now)?;
    Ok(Scanned {
        scans: report.scans(targets.keys())?,
        findings: not_told(&report.scanner),
        scanner: report.scanner,
        started: report.started,
        ended: report.ended,
    })
}

/// The blobs in `folder`, and the files of the medium where they are: a link to one would do for `clamscan`, but `clamdscan`
/// does not follow it, and calls it clean.
pub(super) fn targets<'a>(
    blobs: impl Iterator<Item = (Digest, u64)>,
    folder: &Path,
    files: impl Iterator<Item = &'a OnMedium>,
) -> Result<Targets, Failure> {
    let mut targets = Targets::new();
    for (digest, size) in blobs {
        targets.insert(digest.hex(), (folder.join(digest.hex()), size));
    }
    for OnMedium { path, file } in files {
        let place = fs::canonicalize(path)?;
        let name = quoted(&file.name);
        if !place
            .to_str()
            .is_some_and(|text| text.chars().all(is_plain))
        {
            let message = format!("the name or folder of {name} cannot be handed to a scanner");
            return Err(UsageError::new(message).next("rename it").into());
        }
        if targets
            .insert(file.name.clone(), (place, file.size))
            .is_some()
        {
            let message = format!("two files of the medium are called {name}");
            return Err(UsageError::new(message).into());
        }
    }
    Ok(targets)
}

const fn program(engine: Engine) -> &'static str {
    match engine {
        Engine::Clamav => "clamscan",
        Engine::Clamd => "clamdscan",
    }
}

fn absent(error: &fs::FsError) -> TransferError {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    TransferError::scanner(format!("{error}: {}", cause.unwrap_or_default()))
}

fn line(text: &str) -> Result<Line, TransferError> {
    let unusable =
        |bad| TransferError::scanner(format!("it calls itself {}, and {bad}", quoted(text)));
    text.parse().map_err(unusable)
}

/// Where nobody told limits, what was cut off may be called clean.
fn not_told(scanner: &Scanner) -> Vec<Noted> {
    if !scanner.limits.is_empty() {
        return Vec::new();
    }
    let name = scanner.name.as_str();
    vec![Noted {
        code: NOT_TOLD.name.to_owned(),
        subject: name.to_owned(),
        message: "its limits are those of its own configuration; whether it tells what it left out is not known".to_owned(),
    }]
}

/// Version and date of the definitions in a folder: what the newest file of a publisher says of itself; of files without
/// such a header, their digest and the time of the newest.
fn definitions(folder: &Path) -> Result<(String, Timestamp), Failure> {
    let all = fs::list(folder).map_err(|error| {
        UsageError::unreadable(&error).next("name the folder of the definitions with --database")
    })?;
    let (mut versions, mut newest, mut plain) = (Vec::new(), None, Vec::new());
    for path in all
        .iter()
        .filter(|path| fs::metadata(path).is_ok_and(|known| known.is_file()))
    {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut head = Vec::new();
        fs::open(path)?
            .take(clamav::HEADER)
            .read_to_end(&mut head)
            .map_err(fs::context("read", path))?;
        match clamav::header(&head) {
            Some((version, date)) => {
                versions.push(format!("{name} {version}"));
                newest = newest.max(Some(date));
            }
            None => plain.push(path),
        }
    }
    if let Some(date) = newest {
        return Ok((versions.join(", "), date));
    }
    let mut digests = String::new();
    for path in &plain {
        digests += &Digest::of(&fs::read(path, report::LIMIT)?).hex();
        let time = fs::modified(path)?;
        let since = time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        newest = newest.max(Timestamp::from_unix(seconds).ok());
    }
    let nothing = || UsageError::new(format!("there are no definitions in {}", shown(folder)));
    let date = newest.ok_or_else(nothing)?;
    let what = cli::ui::plural(plain.len(), "own file");
    Ok((format!("{what}, {}", Digest::of(digests.as_bytes())), date))
}
