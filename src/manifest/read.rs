//! From TOML to [`Manifest`].

use std::path::PathBuf;

use toml::de::DeValue;

use super::credentials;
use super::prove;
use super::runtime;
use super::table::{Found, Source};
use super::{BundleSection, ExcludeNewer, Manifest, ManifestError, Network, is_channel};
use crate::base::platform::{Libc, Platform, Target};
use crate::base::text::visible;
use crate::base::time::{Span, Timestamp};

/// Days a bundle may be imported after it was made, unless the manifest says otherwise.
const EXPIRES_AFTER_DAYS: i64 = 180;
/// glibc of Debian 12, the oldest host this project is tested on.
const DEFAULT_GLIBC: &str = "2.36";

pub(super) fn manifest(
    file: &str,
    text: &str,
    sections: &[&'static str],
) -> Result<Manifest, ManifestError> {
    let source = Source::new(file, text);
    let mut top = source.top()?;
    for key in sections {
        // Read by their ecosystems.
        top.take(key);
    }
    // Read by the module of that name, which the enclave build does not have.
    top.take("holes");
    let (exclude_newer, approved) = resolve(top.take("resolve"))?;
    let (policy, osv) = policy(top.take("policy"))?;
    let [npm_keys, trusted_root] = evidence(top.take("evidence"))?;
    let manifest = Manifest {
        policy,
        osv,
        bundle: bundle(top.take("bundle"))?,
        target: target(top.take("target"))?,
        exclude_newer,
        approved,
        npm_keys,
        trusted_root,
        ca_roots: ca(top.take("ca"))?,
        network: network(top.take("network"))?,
        runtime: runtime::read(top.take("runtime"))?,
        prove: prove::read(top.take("prove"))?,
        without: prove::without(top.take("proof"), sections)?,
        file: file.to_owned(),
        text: text.to_owned(),
    };
    top.finish()?;
    Ok(manifest)
}

fn bundle(found: Option<Found<'_>>) -> Result<BundleSection, ManifestError> {
    let mut section = BundleSection {
        channel: "default".to_owned(),
        author: None,
        expires_after: Span::days(EXPIRES_AFTER_DAYS),
        carry_osv: false,
        carry_indexes: true,
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
    if let Some(found) = table.take("author") {
        let fail =
            found.error("one line of 1 to 200 characters, such as \"Platform <a@b.example>\"");
        let text = found.string()?;
        if text.trim().is_empty() || text.chars().count() > 200 || visible(&text) != text {
            return Err(fail);
        }
        section.author = Some(text);
    }
    if let Some(found) = table.take("expires-after") {
        section.expires_after = found.parsed("a duration such as \"180d\"")?;
    }
    if let Some(found) = table.take("carry-osv") {
        section.carry_osv = found.boolean()?;
    }
    if let Some(found) = table.take("carry-indexes") {
        section.carry_indexes = found.boolean()?;
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
        target.platforms = found.platforms()?;
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

/// What counts as too new, and the list of approved software.
fn resolve(
    found: Option<Found<'_>>,
) -> Result<(Option<ExcludeNewer>, Option<PathBuf>), ManifestError> {
    let Some(found) = found else {
        return Ok((None, None));
    };
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
    let approved = match table.take("prefer") {
        Some(found) => Some(PathBuf::from(found.string()?)),
        None => None,
    };
    table.finish()?;
    Ok((out, approved))
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

/// The policy, and the database of advisories.
fn policy(found: Option<Found<'_>>) -> Result<(Option<PathBuf>, Option<PathBuf>), ManifestError> {
    let Some(found) = found else {
        return Ok((None, None));
    };
    let mut table = found.table("[policy]")?;
    let osv = table.take("osv").map(Found::string).transpose()?;
    let file = match table.take("file") {
        Some(found) => Some(found.string()?),
        None if osv.is_some() => None,
        None => Some(table.require("file")?.string()?),
    };
    table.finish()?;
    Ok((file.map(PathBuf::from), osv.map(PathBuf::from)))
}

/// `npm-keys` and `trusted-root`.
fn evidence(found: Option<Found<'_>>) -> Result<[Option<PathBuf>; 2], ManifestError> {
    let Some(found) = found else {
        return Ok([None, None]);
    };
    let mut table = found.table("[evidence]")?;
    let keys = table.take("npm-keys").map(Found::string).transpose()?;
    let root = table.take("trusted-root").map(Found::string).transpose()?;
    table.finish()?;
    Ok([keys, root].map(|file| file.map(PathBuf::from)))
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
    let proxy = table.take("proxy").map(Found::proxy_address).transpose()?;
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
    let credentials = table
        .take("credentials")
        .map(credentials::read)
        .transpose()?;
    table.finish()?;
    Ok(Network {
        proxy,
        credentials: credentials.unwrap_or_default(),
        ca: ca.into_iter().map(PathBuf::from).collect(),
        allow_hosts,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, ManifestError};
    use crate::base::fault::Fault as _;

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse("stage.toml", text.as_bytes(), &["npm", "file"])
    }

    #[test]
    fn wrong_keys_and_values_are_refused_where_they_stand() {
        let error = parse("[polcy]\n").unwrap_err();
        assert_eq!(error.code().name, "manifest-unknown-key");
        let cases = [
            (
                "[bundle]\nchannel = \"Bad Name\"",
                "`channel` must be a channel name",
            ),
            (
                "[target]\nplatforms = [\"windows/amd64\"]",
                "`platforms` must be a platform",
            ),
            (
                "[target]\nnode = \"24\"",
                "`node` must be a full Node.js version",
            ),
            (
                "[resolve]\nexclude-newer = \"yesterday\"",
                "`exclude-newer` must be a time",
            ),
        ];
        for (text, message) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().starts_with(message), "{text}: {error}");
            assert_eq!(error.place().unwrap().line, 2, "{text}");
        }
        assert!(matches!(
            parse("a = = 1"),
            Err(ManifestError::Syntax { .. })
        ));
        assert!(matches!(
            parse("[policy]\nfil = \"p\"\nfile = \"p\""),
            Err(ManifestError::UnknownKey { .. })
        ));
    }

    #[test]
    fn tables_of_ecosystems_are_left_to_them() {
        let manifest = parse("[[npm]]\nx = 1\n[[npm]]\n[file]\n").unwrap();
        assert_eq!(manifest.tables("npm").unwrap().len(), 2);
        assert_eq!(manifest.tables("file").unwrap().len(), 1);
        assert!(manifest.tables("pypi").unwrap().is_empty());
        parse("npm = 1").unwrap().tables("npm").unwrap_err();
    }
}
