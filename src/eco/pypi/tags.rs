//! Which wheels run on the target (PyPA "Platform compatibility tags": PEP 425, 600, 656), and which of them is the
//! best: the order that installers ask in.

use std::collections::BTreeMap;

use crate::base::platform::{Libc, Platform};
use crate::eco::pypi::filename::Wheel;

/// The tags that the interpreter of one platform takes.
#[derive(Debug, Clone)]
pub(crate) struct Tags {
    /// Minor version of CPython 3.
    minor: u64,
    /// Platform tags, each with its place in the order.
    platforms: BTreeMap<String, usize>,
}

/// How well a wheel fits: the lowest is the best.
pub(crate) type Fit = (u8, u64, usize);

impl Tags {
    /// Tags of CPython 3.`minor`; `None` when the version of the C library is none.
    pub(crate) fn new(minor: u64, libc: &Libc, platform: Platform) -> Option<Self> {
        let machine = match platform {
            Platform::LinuxAmd64 => "x86_64",
            Platform::LinuxArm64 => "aarch64",
        };
        let names = match libc {
            Libc::Glibc(version) => manylinux(minor_of(version, "2.")?, machine, platform),
            Libc::Musl(version) => musllinux(minor_of(version, "1.")?, machine),
        };
        let platforms = names.into_iter().zip(0..).collect();
        Some(Self { minor, platforms })
    }

    /// How well a wheel fits by its best tag; `None` when it does not run there.
    pub(crate) fn fit(&self, wheel: &Wheel) -> Option<Fit> {
        wheel.tags().filter_map(|tag| self.fit_one(tag)).min()
    }

    fn fit_one(&self, (python, abi, platform): (&str, &str, &str)) -> Option<Fit> {
        let of_c = python
            .strip_prefix("cp3")
            .and_then(|m| m.parse::<u64>().ok());
        let of_any = match python {
            "py3" => Some(self.minor),
            _ => python
                .strip_prefix("py3")
                .and_then(|m| m.parse::<u64>().ok()),
        };
        let age = |minor: Option<u64>| self.minor.checked_sub(minor?);
        // After the matching version comes `py3`, then older ones.
        let plain = |age: u64| {
            if python == "py3" {
                1
            } else {
                age + u64::from(age > 0)
            }
        };
        if platform == "any" {
            return match (abi, age(of_c), age(of_any)) {
                ("none", Some(0), _) => Some((3, 0, 0)),
                ("none", _, Some(age)) => Some((4, plain(age), 0)),
                _ => None,
            };
        }
        let place = *self.platforms.get(platform)?;
        match (abi, age(of_c), age(of_any)) {
            ("none", _, Some(age)) => Some((2, plain(age), place)),
            ("none", Some(0), _) => Some((1, 1, place)),
            ("abi3", Some(age), _) if self.minor - age >= 2 => Some((1, age * 2, place)),
            (abi, Some(0), _) if abi == python => Some((0, 0, place)),
            _ => None,
        }
    }
}

/// The second number of a version such as `2.36`.
fn minor_of(version: &str, major: &str) -> Option<u64> {
    let rest = version.strip_prefix(major)?;
    let minor = rest.split('.').next().unwrap_or(rest);
    minor.parse().ok().filter(|minor| *minor <= 999)
}

/// Newest first; the old names for three of them after their number; at last what was built for one distribution.
fn manylinux(minor: u64, machine: &str, platform: Platform) -> Vec<String> {
    let oldest = match platform {
        Platform::LinuxAmd64 => 5,
        Platform::LinuxArm64 => 17,
    };
    let mut names = Vec::new();
    for level in (oldest..=minor).rev() {
        names.push(format!("manylinux_2_{level}_{machine}"));
        match level {
            17 => names.push(format!("manylinux2014_{machine}")),
            12 => names.push(format!("manylinux2010_{machine}")),
            5 => names.push(format!("manylinux1_{machine}")),
            _ => {}
        }
    }
    names.push(format!("linux_{machine}"));
    names
}

fn musllinux(minor: u64, machine: &str) -> Vec<String> {
    let levels = (1..=minor).rev();
    let names = levels.map(|level| format!("musllinux_1_{level}_{machine}"));
    names.chain([format!("linux_{machine}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::Tags;
    use crate::base::platform::{Libc, Platform};
    use crate::eco::pypi::filename::Filename;

    fn tags(libc: Libc, platform: Platform) -> Tags {
        Tags::new(12, &libc, platform).unwrap()
    }

    fn fit(tags: &Tags, end: &str) -> Option<super::Fit> {
        let name = format!("a-1-{end}.whl");
        let parsed = Filename::parse(&name, &"a".parse().unwrap()).unwrap();
        tags.fit(parsed.wheel().unwrap())
    }

    #[test]
    fn wheels_are_taken_in_the_order_of_installers() {
        let glibc = tags(Libc::Glibc("2.36".to_owned()), Platform::LinuxAmd64);
        let order = [
            "cp312-cp312-manylinux_2_36_x86_64",
            "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp312-cp312-manylinux2014_x86_64",
            "cp312-cp312-manylinux2010_x86_64",
            "cp312-cp312-manylinux1_x86_64",
            "cp312-cp312-linux_x86_64",
            "cp312-abi3-manylinux_2_5_x86_64",
            "cp312-none-manylinux_2_17_x86_64",
            "cp37-abi3-manylinux_2_17_x86_64",
            "py312-none-manylinux_2_17_x86_64",
            "py2.py3-none-manylinux1_x86_64",
            "py38-none-manylinux1_x86_64",
            "cp312-none-any",
            "py312-none-any",
            "py2.py3-none-any",
            "py30-none-any",
        ];
        let fits: Vec<_> = order.iter().map(|end| fit(&glibc, end).unwrap()).collect();
        assert!(fits.is_sorted_by(|a, b| a < b), "{fits:?}");
        for other in [
            "cp312-cp312-manylinux_2_37_x86_64",
            "cp312-cp312-manylinux_2_17_aarch64",
            "cp312-cp312-musllinux_1_1_x86_64",
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp313-abi3-manylinux_2_17_x86_64",
            "cp312-cp312t-manylinux_2_17_x86_64",
            "cp312-cp312-win_amd64",
            "cp312-cp312-macosx_11_0_universal2",
            "py2-none-any",
            "py313-none-any",
            "cp311-none-any",
            "cp39-none-manylinux1_x86_64",
            "pp310-pypy310_pp73-manylinux_2_17_x86_64",
        ] {
            assert_eq!(fit(&glibc, other), None, "{other}");
        }
    }

    #[test]
    fn arm_and_musl_have_their_own() {
        let arm = tags(Libc::Glibc("2.36".to_owned()), Platform::LinuxArm64);
        assert!(fit(&arm, "cp312-cp312-manylinux2014_aarch64").is_some());
        assert_eq!(fit(&arm, "cp312-cp312-manylinux_2_5_aarch64"), None);
        let musl = tags(Libc::Musl("1.2".to_owned()), Platform::LinuxAmd64);
        assert!(fit(&musl, "cp312-cp312-musllinux_1_2_x86_64").is_some());
        assert_eq!(fit(&musl, "cp312-cp312-musllinux_1_3_x86_64"), None);
        assert_eq!(fit(&musl, "cp312-cp312-manylinux_2_17_x86_64"), None);
        assert!(Tags::new(12, &Libc::Glibc("3.1".to_owned()), Platform::LinuxAmd64).is_none());
    }
}
