//! The Python environment of the target, as markers ask for it (PyPA "Dependency specifiers", "Environment markers"):
//! what is unknown about a host that is not this one is empty, as `uv --python-platform` has it.

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use crate::base::platform::{Libc, Platform, Target};
use crate::eco::pypi::tags::Tags;

/// One platform of the target.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// The platform.
    pub(crate) platform: Platform,
    /// Version of the interpreter, three numbers.
    pub(crate) python: Version,
    /// What markers see.
    pub(crate) markers: MarkerEnvironment,
    /// The wheels that run there.
    pub(crate) tags: Tags,
    /// For messages, such as `linux/amd64 with Python 3.12 and glibc 2.36`.
    pub(crate) shown: String,
}

impl Environment {
    /// Of `platform` of the target; the error says what the target lacks.
    pub(crate) fn new(target: &Target, platform: Platform) -> Result<Self, String> {
        let text = target.python.as_ref().ok_or("it names no `python`")?;
        let fail = || "`python` is not a version such as 3.12 or 3.12.4".to_owned();
        let version: Version = text.parse().map_err(|_bad| fail())?;
        let plain = version.only_release() == version && version.epoch() == 0;
        let full = match (plain, version.release()) {
            (true, [3, minor]) => Version::new([3, *minor, 0]),
            (true, [3, minor, patch]) => Version::new([3, *minor, *patch]),
            _ => return Err(fail()),
        };
        let minor = full.release().get(1).copied().unwrap_or_default();
        let short = format!("3.{minor}");
        let machine = match platform {
            Platform::LinuxAmd64 => "x86_64",
            Platform::LinuxArm64 => "aarch64",
        };
        let builder = MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full.to_string(),
            os_name: "posix",
            platform_machine: machine,
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full.to_string(),
            python_version: &short,
            sys_platform: "linux",
        };
        let tags = Tags::new(minor, &target.libc, platform);
        let libc = match &target.libc {
            Libc::Glibc(version) => format!("glibc {version}"),
            Libc::Musl(version) => format!("musl {version}"),
        };
        Ok(Self {
            platform,
            markers: builder.try_into().map_err(|_bad| fail())?,
            tags: tags.ok_or_else(|| format!("no wheel can be for {libc}"))?,
            shown: format!("{platform} with Python {text} and {libc}"),
            python: full,
        })
    }

    /// Whether `Requires-Python` lets this interpreter in. As uv has it, only the lower end counts: what was published
    /// before a Python came out cannot know it.
    pub(crate) fn admits(&self, requires: &pep440_rs::VersionSpecifiers) -> bool {
        use pep440_rs::Operator;
        requires.iter().all(|specifier| match specifier.operator() {
            Operator::LessThan
            | Operator::LessThanEqual
            | Operator::NotEqual
            | Operator::NotEqualStar => true,
            Operator::Equal | Operator::ExactEqual => *specifier.version() <= self.python,
            Operator::EqualStar | Operator::TildeEqual => *specifier.version() <= self.python,
            Operator::GreaterThan | Operator::GreaterThanEqual => specifier.contains(&self.python),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;
    use crate::base::platform::{Libc, Platform, Target};

    fn environment(python: Option<&str>) -> Result<Environment, String> {
        let target = Target {
            platforms: Platform::ALL.to_vec(),
            libc: Libc::Glibc("2.36".to_owned()),
            python: python.map(str::to_owned),
            node: None,
        };
        Environment::new(&target, Platform::LinuxArm64)
    }

    #[test]
    fn markers_see_the_target_and_not_this_host() {
        let found = environment(Some("3.12")).unwrap();
        for (marker, holds) in [
            ("python_full_version == '3.12.0'", true),
            ("python_version < '3.10'", false),
            (
                "platform_machine == 'aarch64' and sys_platform == 'linux'",
                true,
            ),
            ("platform_release == '' and os_name == 'posix'", true),
            ("implementation_name == 'cpython'", true),
        ] {
            let tree: pep508_rs::MarkerTree = marker.parse().unwrap();
            assert_eq!(tree.evaluate(&found.markers, &[]), holds, "{marker}");
        }
        for bad in [
            None,
            Some("2.7"),
            Some("3"),
            Some("3.12rc1"),
            Some("x"),
            Some("3.12.1.2"),
        ] {
            environment(bad).unwrap_err();
        }
    }

    #[test]
    fn only_the_lower_end_of_requires_python_counts() {
        let found = environment(Some("3.12")).unwrap();
        for (text, admitted) in [
            (">=3.8", true),
            (">=3.8,<3.12", true),
            (">=3.12.1", false),
            (">=3.13", false),
            ("~=3.10", true),
            ("!=3.12.0", true),
            ("==3.12.*", true),
            ("==3.13.*", false),
            ("<4", true),
        ] {
            assert_eq!(found.admits(&text.parse().unwrap()), admitted, "{text}");
        }
    }
}
