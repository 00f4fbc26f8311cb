//! From TOML to [`Manifest`].

use std::path::PathBuf;

use toml::de::DeValue;

use super::table::{Found, Source, Table};
use super::{
    Account, BundleSection, ExcludeNewer, FileSource, Manifest, ManifestError, Network, NpmInstall,
    Requirement, Runtime, is_channel,
};
use crate::base::digest::Digest;
use crate::base::platform::{Libc, Platform, Target};
use crate::base::time::{Span, Timestamp};

/// Days a bundle may be imported after it was made, unless the manifest says otherwise.
const EXPIRES_AFTER_DAYS: i64 = 180;
/// glibc of Debian 12, the oldest host this project is tested on.
const DEFAULT_GLIBC: &str = "2.36";
/// Kinds of npm dependencies.
const NPM_KINDS: [&str; 4] = ["prod", "optional", "peer", "dev"];

pub(super) fn manifest(file: &str, text: &str) -> Result<Manifest, ManifestError> {
    let source = Source { file, text };
    let mut top = Table::new(source, "the manifest", 0..0, source.parse()?);
    for (key, version) in [("pypi", "0.2"), ("debian", "0.2"), ("cargo", "0.2")] {
        if let Some(found) = top.take(key) {
            return Err(ManifestError::NotYet {
                key: key.to_owned(),
                version,
                place: found.place(),
            });
        }
    }
    let manifest = Manifest {
        bundle: bundle(top.take("bundle"))?,
        target: target(top.take("target"))?,
        exclude_newer: resolve(top.take("resolve"))?,
        npm: match top.take("npm") {
            Some(found) => found
                .tables("[npm]")?
                .into_iter()
                .map(npm)
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        files: match top.take("file") {
            Some(found) => found
                .tables("[[file]]")?
                .into_iter()
                .map(file_source)
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        ca_roots: ca(top.take("ca"))?,
        network: network(top.take("network"))?,
        runtime: runtime(top.take("runtime"))?,
    };
    top.finish()?;
    check_platforms(&manifest, source)?;
    Ok(manifest)
}

/// A requirement may only name platforms of the target.
fn check_platforms(manifest: &Manifest, source: Source<'_>) -> Result<(), ManifestError> {
    let known = |platforms: &[Platform]| {
        platforms
            .iter()
            .all(|p| manifest.target.platforms.contains(p))
    };
    let fail = |place| ManifestError::Value {
        key: "platforms".to_owned(),
        expected: "platforms that `[target] platforms` lists".to_owned(),
        place,
    };
    for requirement in manifest.npm.iter().flat_map(|i| &i.packages) {
        if !known(&requirement.platforms) {
            return Err(fail(requirement.place.clone()));
        }
    }
    match manifest.files.iter().find(|f| !known(&f.platforms)) {
        Some(_) => Err(fail(source.place(&(0..0)))),
        None => Ok(()),
    }
}

fn bundle(found: Option<Found<'_>>) -> Result<BundleSection, ManifestError> {
    let mut section = BundleSection {
        channel: "default".to_owned(),
        expires_after: Span::days(EXPIRES_AFTER_DAYS),
    };
    let Some(found) = found else {
        return Ok(section);
    };
    let mut table = found.table("[bundle]")?;
    if let Some(found) = table.take("channel") {
        let fail =
            found.error("a channel name: lowercase letters, digits, `.`, `_`, `-`, at most 64");
        section.channel = found.string()?;
        if !is_channel(&section.channel) {
            return Err(fail);
        }
    }
    if let Some(found) = table.take("expires-after") {
        section.expires_after = found.parsed("a duration such as \"180d\"")?;
    }
    table.finish()?;
    Ok(section)
}

fn target(found: Option<Found<'_>>) -> Result<Target, ManifestError> {
    let mut target = Target {
        platforms: vec![Platform::LinuxAmd64],
        libc: Libc::Glibc(DEFAULT_GLIBC.to_owned()),
        python: None,
        node: None,
    };
    let Some(found) = found else {
        return Ok(target);
    };
    let mut table = found.table("[target]")?;
    if let Some(found) = table.take("platforms") {
        target.platforms = platforms(found)?;
    }
    if let Some(found) = table.take("glibc") {
        target.libc = Libc::Glibc(version(found)?);
    }
    if let Some(found) = table.take("musl") {
        target.libc = Libc::Musl(version(found)?);
    }
    if let Some(found) = table.take("python") {
        target.python = Some(version(found)?);
    }
    if let Some(found) = table.take("node") {
        let fail = found.error("a full Node.js version such as \"24.21.0\"");
        let text = version(found)?;
        if text.split('.').count() != 3 {
            return Err(fail);
        }
        target.node = Some(text);
    }
    table.finish()?;
    Ok(target)
}

fn platforms(found: Found<'_>) -> Result<Vec<Platform>, ManifestError> {
    let fail = found.error("at least one platform");
    let mut out = Vec::new();
    for item in found.array()? {
        out.push(item.parsed("a platform: \"linux/amd64\" or \"linux/arm64\"")?);
    }
    out.sort_unstable();
    out.dedup();
    if out.is_empty() { Err(fail) } else { Ok(out) }
}

/// One to three dotted numbers.
fn version(found: Found<'_>) -> Result<String, ManifestError> {
    let fail = found.error("a version such as \"2.36\"");
    let text = found.string()?;
    let number =
        |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if (1..=3).contains(&text.split('.').count()) && text.split('.').all(number) {
        Ok(text)
    } else {
        Err(fail)
    }
}

fn resolve(found: Option<Found<'_>>) -> Result<Option<ExcludeNewer>, ManifestError> {
    let Some(found) = found else { return Ok(None) };
    let mut table = found.table("[resolve]")?;
    let at = match table.take("exclude-newer") {
        Some(found) => Some(moment(&found)?),
        None => None,
    };
    let age = table.take("min-age");
    let out = match (at, age) {
        (Some(_), Some(found)) => return Err(found.error("absent when `exclude-newer` is given")),
        (Some(at), None) => Some(ExcludeNewer::At(at)),
        (None, Some(found)) => Some(ExcludeNewer::MinAge(
            found.parsed("a duration such as \"7d\"")?,
        )),
        (None, None) => None,
    };
    table.finish()?;
    Ok(out)
}

/// An RFC 3339 time, as a string or as TOML's own date-time.
fn moment(found: &Found<'_>) -> Result<Timestamp, ManifestError> {
    let fail = found.error("a time such as \"2026-11-15T00:00:00Z\"");
    let text = match found.value.get_ref() {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            return Err(fail);
        }
    };
    Timestamp::from_rfc3339(&text).map_err(|_bad| fail)
}

fn npm(mut table: Table<'_>) -> Result<NpmInstall, ManifestError> {
    let place = table.place();
    let packages = match table.take("packages") {
        Some(found) => found
            .array()?
            .into_iter()
            .map(npm_requirement)
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let lockfile = table
        .take("lockfile")
        .map(Found::string)
        .transpose()?
        .map(PathBuf::from);
    let registry = table.take("registry").map(web_address).transpose()?;
    let mut include: Vec<String> = ["prod", "optional", "peer"].map(str::to_owned).to_vec();
    if let Some(found) = table.take("include") {
        include.clear();
        for item in found.array()? {
            let fail = item.error("one of \"prod\", \"optional\", \"peer\", \"dev\"");
            let kind = item.string()?;
            if !NPM_KINDS.contains(&kind.as_str()) {
                return Err(fail);
            }
            include.push(kind);
        }
        include.sort();
        include.dedup();
    }
    table.finish()?;
    let install = NpmInstall {
        packages,
        lockfile,
        registry,
        include,
        place: place.clone(),
    };
    if install.packages.is_empty() == install.lockfile.is_none() {
        let expected = "given, or else `lockfile`, and not both".to_owned();
        return Err(ManifestError::Value {
            key: "packages".to_owned(),
            expected,
            place,
        });
    }
    Ok(install)
}

fn npm_requirement(found: Found<'_>) -> Result<Requirement, ManifestError> {
    let place = found.place();
    let requirement = match found.value.get_ref() {
        DeValue::Table(_) => {
            let mut table = found.table("the requirement")?;
            let spec = table.require("spec")?.string()?;
            let platforms = table
                .take("platforms")
                .map(platforms)
                .transpose()?
                .unwrap_or_default();
            table.finish()?;
            Requirement {
                spec,
                platforms,
                place,
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Requirement {
            spec: found.string()?,
            platforms: Vec::new(),
            place,
        },
    };
    if requirement.spec.trim() != requirement.spec || requirement.spec.is_empty() {
        return Err(ManifestError::Value {
            key: "packages".to_owned(),
            expected: "package names, each with an optional `@version`".to_owned(),
            place: requirement.place,
        });
    }
    Ok(requirement)
}

/// An `http` or `https` address.
fn web_address(found: Found<'_>) -> Result<String, ManifestError> {
    let fail = found.error("an http or https address");
    let text = found.string()?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(text),
        _ => Err(fail),
    }
}

fn file_source(mut table: Table<'_>) -> Result<FileSource, ManifestError> {
    let url = web_address(table.require("url")?)?;
    let found = table.require("sha256")?;
    let fail = found.error("64 lowercase hex digits");
    let sha256 = Digest::from_hex(&found.string()?).map_err(|_bad| fail)?;
    let path = table
        .require("path")?
        .parsed("a relative path of plain ASCII names")?;
    let platforms = table
        .take("platforms")
        .map(platforms)
        .transpose()?
        .unwrap_or_default();
    table.finish()?;
    Ok(FileSource {
        url,
        sha256,
        path,
        platforms,
    })
}

fn ca(found: Option<Found<'_>>) -> Result<Vec<PathBuf>, ManifestError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let mut table = found.table("[ca]")?;
    let roots = table
        .require("roots")?
        .strings()?
        .into_iter()
        .map(PathBuf::from)
        .collect();
    table.finish()?;
    Ok(roots)
}

fn network(found: Option<Found<'_>>) -> Result<Network, ManifestError> {
    let Some(found) = found else {
        return Ok(Network::default());
    };
    let mut table = found.table("[network]")?;
    let proxy = table.take("proxy").map(web_address).transpose()?;
    let ca = table
        .take("ca")
        .map(Found::strings)
        .transpose()?
        .unwrap_or_default();
    let allow_hosts = table
        .take("allow-hosts")
        .map(Found::strings)
        .transpose()?
        .unwrap_or_default();
    table.finish()?;
    Ok(Network {
        proxy,
        ca: ca.into_iter().map(PathBuf::from).collect(),
        allow_hosts,
    })
}

fn runtime(found: Option<Found<'_>>) -> Result<Option<Runtime>, ManifestError> {
    let Some(found) = found else { return Ok(None) };
    let mut table = found.table("[runtime]")?;
    let account = match table.take("account") {
        None => Account::Existing,
        Some(found) => {
            let fail = found.error("\"existing\" or \"create\"");
            match found.string()?.as_str() {
                "existing" => Account::Existing,
                "create" => Account::Create,
                _ => return Err(fail),
            }
        }
    };
    let user = table.require("user")?.string()?;
    let found = table.require("prefix")?;
    let fail = found.error("an absolute path");
    let prefix = PathBuf::from(found.string()?);
    table.finish()?;
    if !prefix.is_absolute() {
        return Err(fail);
    }
    Ok(Some(Runtime {
        account,
        user,
        prefix,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, ManifestError};
    use crate::base::fault::Fault as _;

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse("stage.toml", text.as_bytes())
    }

    #[test]
    fn a_wrong_key_is_named_with_its_place_and_the_nearest_right_one() {
        let error = parse("[bundle]\nchannel = \"x\"\n\n[npm]\n  pakages = [\"a\"]\n").unwrap_err();
        let place = error.place().unwrap();
        assert_eq!((place.line, place.column), (5, 3));
        assert_eq!(error.facts(), [("did you mean", "`packages`".to_owned())]);
        assert_eq!(error.to_string(), "unknown key `pakages` in [npm]");
        let error = parse("[polcy]\n").unwrap_err();
        assert_eq!(error.code().name, "manifest-unknown-key");
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        let cases = [
            (
                "[bundle]\nchannel = \"Bad Name\"",
                "`channel` must be a channel name",
                2,
            ),
            (
                "[target]\nplatforms = [\"windows/amd64\"]",
                "`platforms` must be a platform",
                2,
            ),
            (
                "[target]\nnode = \"24\"",
                "`node` must be a full Node.js version",
                2,
            ),
            ("[npm]\npackages = [1]", "`packages` must be a string", 2),
            ("[npm]\n", "`packages` must be given", 1),
            (
                "[[file]]\nurl = \"ftp://x.example/y\"",
                "`url` must be an http or https address",
                2,
            ),
            (
                "[npm]\npackages = [{ spec = \"a\", platforms = [\"linux/arm64\"] }]",
                "`platforms` must be platforms",
                2,
            ),
            (
                "[resolve]\nexclude-newer = \"yesterday\"",
                "`exclude-newer` must be a time",
                2,
            ),
            ("[pypi]\n", "`pypi` is not supported", 1),
        ];
        for (text, message, line) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().starts_with(message), "{text}: {error}");
            assert_eq!(error.place().unwrap().line, line, "{text}");
        }
        assert!(matches!(
            parse("a = = 1"),
            Err(ManifestError::Syntax { .. })
        ));
        assert!(matches!(
            parse("[policy]\nfile = \"p\""),
            Err(ManifestError::UnknownKey { .. })
        ));
    }

    #[test]
    fn repeated_installs_and_platform_requirements() {
        let manifest = parse(
            "[target]\nplatforms = [\"linux/arm64\", \"linux/amd64\"]\n[[npm]]\npackages = [\"a@1\", { spec = \"b\", \
             platforms = [\"linux/arm64\"] }]\n[[npm]]\nlockfile = \"package-lock.json\"\n",
        )
        .unwrap();
        assert_eq!(manifest.npm.len(), 2);
        assert_eq!(manifest.npm[0].packages[1].platforms.len(), 1);
        assert_eq!(manifest.target.platforms[0].as_str(), "linux/amd64");
    }
}
