//! Names of distribution files: wheels (PyPA "Binary distribution format": PEP 427, 425, 491) and source distributions
//! ("Source distribution format": PEP 625, and the older names that are still published).

use std::fmt;

use crate::base::platform::Platform;
use crate::base::text::quoted;
use crate::eco::pypi::is_version;
use crate::eco::pypi::name::{Name, is_name, normalized};

/// Longest file name, in bytes.
const MAX: usize = 255;
/// Most tags in one set of a wheel's name.
const MAX_TAGS: usize = 64;

/// A file name that names no file of the project. Texts are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file name {file} {reason}")]
pub struct FilenameError {
    /// The name, quoted.
    pub file: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A distribution file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filename {
    /// A wheel.
    Wheel(Wheel),
    /// A source distribution.
    Sdist(Sdist),
}

/// `{name}-{version}(-{build})?-{python}-{abi}-{platform}.whl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// The project.
    pub name: Name,
    /// Version as the name has it (`_` stands for `-`).
    pub version: String,
    /// Build tag: its number and what follows. A wheel without sorts before every one with.
    pub build: Option<(u64, String)>,
    /// Python tags, such as `cp312` or `py3`.
    pub pythons: Vec<String>,
    /// ABI tags, such as `abi3` or `none`.
    pub abis: Vec<String>,
    /// Platform tags, such as `manylinux_2_17_x86_64` or `any`.
    pub platforms: Vec<String>,
}

/// `{name}-{version}.tar.gz`, or an older form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdist {
    /// The project.
    pub name: Name,
    /// Version as the name has it.
    pub version: String,
    /// How it is packed: the end of the name.
    pub form: &'static str,
}

/// Ends of source distributions' names that pip takes. PEP 625 allows the first only.
const SDIST_FORMS: [&str; 6] = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar"];

impl Filename {
    /// Reads a file name; `project` is whose it must be (an old sdist's name does not say where its version starts).
    pub fn parse(file: &str, project: &Name) -> Result<Self, FilenameError> {
        let fail = |reason| FilenameError {
            file: quoted(file),
            reason,
        };
        if file.len() > MAX {
            return Err(fail("is too long"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_+!".contains(&b);
        if !file.bytes().all(plain) || !file.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(fail("has characters that no distribution file has"));
        }
        let parsed = match file.strip_suffix(".whl") {
            Some(stem) => Self::Wheel(wheel(stem).map_err(fail)?),
            None => Self::Sdist(sdist(file, project).map_err(fail)?),
        };
        if parsed.name() == project {
            Ok(parsed)
        } else {
            Err(fail("is of another project"))
        }
    }

    /// The project.
    pub const fn name(&self) -> &Name {
        match self {
            Self::Wheel(wheel) => &wheel.name,
            Self::Sdist(sdist) => &sdist.name,
        }
    }

    /// Version as the name has it.
    pub fn version(&self) -> &str {
        match self {
            Self::Wheel(wheel) => &wheel.version,
            Self::Sdist(sdist) => &sdist.version,
        }
    }

    /// The wheel, if it is one.
    pub const fn wheel(&self) -> Option<&Wheel> {
        match self {
            Self::Wheel(wheel) => Some(wheel),
            Self::Sdist(_) => None,
        }
    }

    /// Whether the file can be of use on a machine of this platform, as far as operating system and architecture go.
    pub fn serves(&self, platform: Platform) -> bool {
        match self {
            Self::Wheel(wheel) => wheel.serves(platform),
            Self::Sdist(_) => true,
        }
    }
}

impl Wheel {
    /// As [`Filename::serves`].
    pub fn serves(&self, platform: Platform) -> bool {
        let machine = match platform {
            Platform::LinuxAmd64 => "_x86_64",
            Platform::LinuxArm64 => "_aarch64",
        };
        let fits = |tag: &String| tag == "any" || (tag.contains("linux") && tag.ends_with(machine));
        self.platforms.iter().any(fits)
    }

    /// Every combination of its tags: Python, ABI, platform.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.pythons.iter().flat_map(move |python| {
            self.abis.iter().flat_map(move |abi| {
                let platforms = self.platforms.iter();
                platforms.map(move |platform| (python.as_str(), abi.as_str(), platform.as_str()))
            })
        })
    }
}

impl fmt::Display for Sdist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.name, self.version, self.form)
    }
}

fn wheel(stem: &str) -> Result<Wheel, &'static str> {
    let parts: Vec<&str> = stem.split('-').collect();
    let (name, version, build, tags) = match parts.as_slice() {
        [name, version, tags @ ..] if tags.len() == 3 => (name, version, None, tags),
        [name, version, build, tags @ ..] if tags.len() == 3 => {
            (name, version, Some(build_tag(build)?), tags)
        }
        _ => return Err("is not name, version, tags as a wheel's is"),
    };
    let [pythons, abis, platforms] = tags else {
        return Err("has not three sets of tags");
    };
    let name = name
        .parse()
        .map_err(|_bad| "does not start with a project name")?;
    if !is_version(version) {
        return Err("has no version");
    }
    Ok(Wheel {
        name,
        version: (*version).to_owned(),
        build,
        pythons: tag_set(pythons)?,
        abis: tag_set(abis)?,
        platforms: tag_set(platforms)?,
    })
}

/// A build tag starts with a digit; its number counts first, then the rest as text.
fn build_tag(text: &str) -> Result<(u64, String), &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits).unwrap_or_default();
    let number = number
        .parse()
        .map_err(|_bad| "has a build tag without a number")?;
    Ok((number, rest.to_owned()))
}

fn tag_set(text: &str) -> Result<Vec<String>, &'static str> {
    let tags: Vec<String> = text.split('.').map(str::to_ascii_lowercase).collect();
    let is_tag = |tag: &String| {
        !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if tags.len() > MAX_TAGS || !tags.iter().all(is_tag) {
        return Err("has a set of tags that is none");
    }
    Ok(tags)
}

fn sdist(file: &str, project: &Name) -> Result<Sdist, &'static str> {
    let (stem, form) = SDIST_FORMS
        .into_iter()
        .find_map(|form| Some((file.strip_suffix(form)?, form)))
        .ok_or("is neither a wheel nor a source distribution")?;
    // The first `-` behind which the project's name ends: in old names the name has some of its own.
    let found = stem.match_indices('-').find_map(|(at, _)| {
        let (name, version) = stem.split_at_checked(at)?;
        let whole = is_name(name) && normalized(name) == project.as_str();
        whole.then(|| version.get(1..)).flatten()
    });
    match found {
        Some(version) if is_version(version) => Ok(Sdist {
            name: project.clone(),
            version: version.to_owned(),
            form,
        }),
        Some(_) => Err("has no version"),
        None => Err("is of another project"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Filename, Name};
    use crate::base::platform::Platform;

    fn read(file: &str, project: &str) -> Result<Filename, &'static str> {
        let project: Name = project.parse().unwrap();
        Filename::parse(file, &project).map_err(|error| error.reason)
    }

    #[test]
    fn wheels_with_build_tags_and_compressed_sets() {
        let file =
            "Zope.Interface-1.0_1-2b-cp36.cp37-abi3-manylinux1_x86_64.manylinux_2_5_x86_64.whl";
        let found = read(file, "zope-interface").unwrap();
        let wheel = found.wheel().unwrap();
        assert_eq!(
            (found.version(), wheel.name.as_str()),
            ("1.0_1", "zope-interface")
        );
        assert_eq!(wheel.build, Some((2, "b".to_owned())));
        let tags: Vec<_> = wheel.tags().collect();
        assert_eq!(tags.len(), 4);
        assert_eq!(tags[1], ("cp36", "abi3", "manylinux_2_5_x86_64"));
        assert!(found.serves(Platform::LinuxAmd64) && !found.serves(Platform::LinuxArm64));
    }

    #[test]
    fn what_serves_which_machine() {
        let both = |file: &str| {
            let found = read(file, "a").unwrap();
            Platform::ALL.map(|platform| found.serves(platform))
        };
        assert_eq!(both("a-1-py3-none-any.whl"), [true, true]);
        assert_eq!(both("a-1.tar.gz"), [true, true]);
        assert_eq!(
            both("a-1-cp312-cp312-musllinux_1_2_aarch64.whl"),
            [false, true]
        );
        assert_eq!(
            both("a-1-cp312-cp312-macosx_10_9_x86_64.whl"),
            [false, false]
        );
        assert_eq!(both("a-1-cp312-cp312-win_amd64.whl"), [false, false]);
        let fat = "a-1-cp312-cp312-manylinux2014_x86_64.manylinux2014_aarch64.whl";
        assert_eq!(both(fat), [true, true]);
    }

    #[test]
    fn sdists_new_and_old() {
        for (file, project, version, form) in [
            (
                "zope_interface-1.0.tar.gz",
                "zope-interface",
                "1.0",
                ".tar.gz",
            ),
            (
                "python-dateutil-2.9.0.zip",
                "python-dateutil",
                "2.9.0",
                ".zip",
            ),
            ("a-1.0-1.tar.bz2", "a", "1.0-1", ".tar.bz2"),
            ("a-b-1.tgz", "a-b", "1", ".tgz"),
        ] {
            let Filename::Sdist(found) = read(file, project).unwrap() else {
                panic!()
            };
            assert_eq!((found.version.as_str(), found.form), (version, form));
        }
    }

    #[test]
    fn other_projects_and_hostile_names_are_refused() {
        for (file, project) in [
            ("a-1-py3-none-any.whl", "b"),
            ("a-1.tar.gz", "b"),
            ("ab-1.tar.gz", "a"),
            ("a-1-py3-none.whl", "a"),
            ("a-1-x-py3-none-any.whl", "a"),
            ("a-1-1-2-py3-none-any.whl", "a"),
            ("a--py3-none-any.whl", "a"),
            ("a-1-py3..py2-none-any.whl", "a"),
            ("a-1-py3-none-any.whl\n", "a"),
            ("../a-1.tar.gz", "a"),
            ("a-1/../x.tar.gz", "a"),
            ("a-<b>.tar.gz", "a"),
            ("a-1.exe", "a"),
            ("a-.tar.gz", "a"),
            (".whl", "a"),
        ] {
            read(file, project).unwrap_err();
        }
        read(&format!("a-1-py3-none-{}.whl", "any.".repeat(80)), "a").unwrap_err();
        assert_eq!(
            read(&format!("a-1-{}.whl", "x".repeat(300)), "a"),
            Err("is too long")
        );
        let digits = format!("a-1-{}-py3-none-any.whl", "9".repeat(40));
        read(&digits, "a").unwrap_err();
    }
}
