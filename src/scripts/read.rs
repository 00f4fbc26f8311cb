//! Reading archives in the store for the code that they run. Archives are streamed; of their files only manifests are
//! held.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::{Moment, Scripts, Seen};
use crate::archives::Archive;
use crate::base::limits::Limited;
use crate::base::progress::{Progress, Unit};
use crate::base::text::escaped;
use crate::base::workers;
use crate::eco::cargo::scripts as cargo;
use crate::eco::npm::scripts::{self as npm, Installed};
use crate::fs::{self, FsError, OpenFile};
use crate::lint::Form;
use crate::unpack::{self, Member, Part, Visit};

/// Most archives that are read at the same time.
const MAX_WORKERS: usize = 8;
/// Largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 4 << 20;
/// Most packages inside of one archive.
const MAX_PACKAGES: usize = 10_000;
/// Most pieces of code that are told of one archive.
const MOST_TOLD: usize = 20;
/// Characters of a command that are told.
const MAX_COMMAND: usize = 200;
/// What dpkg runs (Debian Policy 6.1, and debconf's `config`).
const MAINTAINER: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

/// What these archives run by themselves.
///
/// # Errors
/// A file cannot be opened. An archive that cannot be read is named as one.
pub fn read(archives: &[Archive<'_>], progress: &dyn Progress) -> Result<Scripts, FsError> {
    let jobs: Vec<_> = archives
        .iter()
        .filter(|a| is_looked_into(a.form()))
        .collect();
    progress.begin("Reading install scripts", jobs.len() as u64, Unit::Items);
    let results = workers::map(&jobs, MAX_WORKERS, |archive| {
        let seen = fs::open(&archive.path).map(|file| look(file, archive.form()));
        progress.advance(1);
        seen
    });
    progress.end();
    let mut found = BTreeMap::new();
    for (archive, seen) in jobs.iter().zip(results) {
        found.insert(archive.digest().hex(), seen?);
    }
    Ok(Scripts(found))
}

/// Python packages run nothing when they are installed; what is built from source says so by its file name.
const fn is_looked_into(form: &Form) -> bool {
    match form {
        Form::Package | Form::Crate(_) | Form::Debian => true,
        Form::Wheel | Form::Zip | Form::Tarball => false,
    }
}

fn look(file: OpenFile, form: &Form) -> Seen {
    let runs = match form {
        Form::Package => packages(file),
        Form::Crate(folder) => built(file, folder),
        Form::Debian => maintained(file),
        Form::Wheel | Form::Zip | Form::Tarball => Ok(BTreeSet::new()),
    };
    runs.map_or_else(|bad| Seen::Unread(escaped(&bad.to_string())), Seen::Runs)
}

type Runs = io::Result<BTreeSet<(Moment, String)>>;

/// npm's: the package itself, and the packages that it brings along, whose scripts npm runs too.
fn packages(file: OpenFile) -> Runs {
    let mut found: BTreeMap<String, Installed> = BTreeMap::new();
    let mut with_gyp = BTreeSet::new();
    walk(file, Part::Data, &mut |path, member| {
        // Clients drop the first folder, whatever its name.
        let (_, inside) = path.split_once('/').unwrap_or_default();
        let (folder, name) = inside.rsplit_once('/').unwrap_or(("", inside));
        if !is_package(folder) {
            return Ok(());
        }
        match (name, member) {
            ("package.json", Member::File(bytes)) => {
                if found.len() >= MAX_PACKAGES {
                    return Err(io::Error::other(format!(
                        "more than {MAX_PACKAGES} packages"
                    )));
                }
                let package = npm::read(&manifest(bytes)?);
                // Of the package itself everything hangs on it; what npm cannot read inside, it does not run.
                let package = match package {
                    None if folder.is_empty() => {
                        return Err(io::Error::other("its package.json cannot be read"));
                    }
                    package => package.unwrap_or_default(),
                };
                found.insert(folder.to_owned(), package);
            }
            ("binding.gyp", _) => drop(with_gyp.insert(folder.to_owned())),
            _ => {}
        }
        Ok(())
    })?;
    let mut runs = BTreeSet::new();
    for (folder, mut package) in found {
        if with_gyp.contains(&folder) {
            package.with_gyp();
        }
        let place = match folder.as_str() {
            "" => String::new(),
            folder => format!("{folder}: "),
        };
        let said = package.commands.into_iter();
        runs.extend(said.map(|(event, command)| {
            let command: String = command.chars().take(MAX_COMMAND).collect();
            let what = format!("{place}{event}: {command}");
            (Moment::Install, escaped(&what))
        }));
        if runs.len() >= MOST_TOLD {
            break;
        }
    }
    Ok(runs)
}

/// Whether a folder of a package is the package, or one that it brings along.
fn is_package(folder: &str) -> bool {
    let mut last = folder.rsplit('/');
    let (name, above) = (last.next().unwrap_or_default(), last.next());
    folder.is_empty()
        || above == Some("node_modules")
        || (above.is_some_and(|scope| scope.starts_with('@'))
            && last.next() == Some("node_modules")
            && !name.is_empty())
}

/// cargo's: the manifest in the crate's own folder.
fn built(file: OpenFile, folder: &str) -> Runs {
    let (mut cargo_toml, mut has_default) = (None, false);
    walk(file, Part::Data, &mut |path, member| {
        let inside = path.strip_prefix(folder).and_then(|p| p.strip_prefix('/'));
        match (inside, member) {
            (Some("Cargo.toml"), Member::File(bytes)) => cargo_toml = Some(manifest(bytes)?),
            (Some(cargo::DEFAULT), _) => has_default = true,
            _ => {}
        }
        Ok(())
    })?;
    let built = cargo_toml.and_then(|text| cargo::read(&text, has_default));
    let built = built.ok_or_else(|| io::Error::other("its Cargo.toml cannot be read"))?;
    let scripts = built.scripts.iter().take(MOST_TOLD);
    let mut runs: BTreeSet<_> = scripts
        .map(|name| (Moment::BuildScript, escaped(name)))
        .collect();
    if built.is_macro {
        runs.insert((Moment::ProcMacro, String::new()));
    }
    Ok(runs)
}

/// dpkg's: the scripts beside the control file. A link of such a name is run as well.
fn maintained(file: OpenFile) -> Runs {
    let mut runs = BTreeSet::new();
    walk(file, Part::Control, &mut |path, _| {
        let name = path.strip_prefix("DEBIAN/").unwrap_or_default();
        if MAINTAINER.contains(&name) {
            runs.insert((Moment::Maintainer, name.to_owned()));
        }
        Ok(())
    })?;
    Ok(runs)
}

/// Goes through an archive; paths have no leading `./`. A file that is no archive is an error.
fn walk(file: OpenFile, part: Part, visit: &mut Visit<'_>) -> io::Result<()> {
    let kind = unpack::walk(file, part, &mut |path, member| {
        visit(path.trim_start_matches("./"), member)
    })?;
    match kind {
        unpack::Container::Tar | unpack::Container::Debian => Ok(()),
        _ => Err(io::Error::other("it is no archive of its kind")),
    }
}

fn manifest(bytes: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Limited::new(bytes, MAX_MANIFEST).read_to_end(&mut text)?;
    Ok(text)
}
