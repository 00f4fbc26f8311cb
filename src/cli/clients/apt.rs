//! This host's apt sources: `sources.list` and `sources.list.d` in both forms of `sources.list(5)`, where `APT_CONFIG`
//! says they are or else below `/etc/apt`; and the passwords of `auth.conf` (`apt_auth.conf(5)`). Sources without
//! `Signed-By` are believed as apt does: by the keys of `trusted.gpg` and `trusted.gpg.d`. `trusted=yes` is not.

use std::path::{Path, PathBuf};

use crate::base::text::quoted;
use crate::cli::clients::netrc;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco::debian::control;
use crate::eco::debian::{host_upstreams, skipped_sources, upstream_name};
use crate::fs;
use crate::manifest::starter::toml_string;
use crate::net::settings::{Credential, Settings};

/// Largest configuration file, in bytes.
const LIMIT: u64 = 1 << 20;

/// Where apt's configuration is.
struct Places {
    list: PathBuf,
    parts: PathBuf,
    etc: PathBuf,
}

/// Tells `settings` where the host's archives are; `manifest` is the address that the manifest gives `name`. Names of the
/// upstreams, for [`logins`].
pub(super) fn apply(
    ctx: &Context,
    settings: &mut Settings,
    name: &str,
    manifest: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let mut names = vec![name.to_owned()];
    if let Some(address) = manifest {
        settings.set_upstream(name, address)?;
    } else {
        let text = sources(ctx)?;
        let text = String::from_utf8_lossy(&text);
        let found = host_upstreams(&text)
            .map_err(|reason| UsageError::new(format!("apt's sources cannot be used: {reason}")))?;
        for (number, uri) in found.iter().enumerate() {
            settings.set_upstream(&upstream_name(number), uri)?;
            names.push(upstream_name(number));
        }
    }
    Ok(names)
}

/// All sources in the order in which apt reads them, in deb822 form.
pub(in crate::cli) fn sources(ctx: &Context) -> Result<Vec<u8>, Failure> {
    let places = places(ctx)?;
    let mut files = vec![places.list.clone()];
    if fs::exists(&places.parts) {
        files.extend(fs::list(&places.parts)?);
    }
    let mut out = String::new();
    let trusted = trusted(&places.etc)?;
    for path in files {
        let deb822 = path.extension().is_some_and(|e| e == "sources");
        if !deb822 && path.extension().is_none_or(|e| e != "list") {
            continue;
        }
        let Some(bytes) = fs::read_optional(&path, LIMIT)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let read = if deb822 {
            stanzas(&text, &trusted)
        } else {
            lines(&text, &trusted)
        };
        let read = read.map_err(|reason| {
            let path = quoted(&path.to_string_lossy());
            UsageError::new(format!("{path} cannot be read: {reason}"))
        })?;
        out.push_str(&read);
    }
    Ok(out.into_bytes())
}

fn places(ctx: &Context) -> Result<Places, Failure> {
    let mut etc = PathBuf::from("/etc/apt");
    let (mut list, mut parts) = (
        PathBuf::from("sources.list"),
        PathBuf::from("sources.list.d"),
    );
    if let Some(path) = ctx.env("APT_CONFIG") {
        let bytes = fs::read_optional(Path::new(&path), LIMIT)?.unwrap_or_default();
        for line in String::from_utf8_lossy(&bytes).lines() {
            let Some((key, value)) = line.trim().split_once(char::is_whitespace) else {
                continue;
            };
            let value = PathBuf::from(value.trim().trim_end_matches(';').trim_matches('"'));
            match key.to_ascii_lowercase().as_str() {
                "dir::etc" => etc = value,
                "dir::etc::sourcelist" => list = value,
                "dir::etc::sourceparts" => parts = value,
                _ => {}
            }
        }
    }
    Ok(Places {
        list: etc.join(list),
        parts: etc.join(parts),
        etc,
    })
}

/// The keyrings that count for sources which name none.
fn trusted(etc: &Path) -> Result<String, Failure> {
    let folder = etc.join("trusted.gpg.d");
    let mut all = vec![etc.join("trusted.gpg")];
    if fs::exists(&folder) {
        all.extend(fs::list(&folder)?);
    }
    let is_keyring = |path: &&PathBuf| path.extension().is_some_and(|e| e == "gpg" || e == "asc");
    let mut names = Vec::new();
    for path in all.iter().filter(is_keyring) {
        if fs::read_optional(path, LIMIT)?.is_some_and(|bytes| !bytes.is_empty()) {
            names.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(names.join(", "))
}

/// A file of stanzas: comments taken out, keyrings written in.
fn stanzas(text: &str, trusted: &str) -> Result<String, String> {
    let kept: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut out = String::new();
    for stanza in control::stanzas(&kept) {
        let stanza = stanza.map_err(|e| e.to_string())?;
        out.push_str(stanza.text());
        out.push('\n');
        if stanza.field("Signed-By").is_none() {
            out.push_str("Signed-By: ");
            out.push_str(trusted);
            out.push('\n');
        }
        out.push('\n');
    }
    Ok(out)
}

/// A file of lines such as `deb [signed-by=/k.gpg arch=amd64] https://a.example/debian bookworm main`.
fn lines(text: &str, trusted: &str) -> Result<String, String> {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ").map(str::trim_start) else {
            continue;
        };
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .ok_or_else(|| format!("{} has no end", quoted(line)))?,
            None => ("", rest),
        };
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let [uri, suite, components @ ..] = words.as_slice() else {
            return Err(format!("{} is no source", quoted(line)));
        };
        let option = |name: &str| {
            let pairs = options
                .split_ascii_whitespace()
                .filter_map(|o| o.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.replace(',', " "))
                .next()
        };
        let signed_by = option("signed-by").unwrap_or_else(|| trusted.to_owned());
        let archs = option("arch")
            .map(|a| format!("Architectures: {a}\n"))
            .unwrap_or_default();
        let components = components.join(" ");
        let stanza = format!(
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\n{archs}Signed-By: {signed_by}\n\n"
        );
        out.push_str(&stanza);
    }
    Ok(out)
}

/// Passwords by machine, with or without a path; http only where it says so. Mirrors are addresses like the others.
pub(super) fn logins(
    ctx: &Context,
    settings: &mut Settings,
    names: &[String],
) -> Result<(), Failure> {
    let etc = places(ctx)?.etc;
    let mut files = vec![etc.join("auth.conf")];
    let parts = etc.join("auth.conf.d");
    if fs::exists(&parts) {
        files.extend(fs::list(&parts)?);
    }
    let is_read = |path: &&PathBuf| path.extension().is_some_and(|e| e == "conf");
    for path in files.iter().filter(is_read) {
        let bytes = match fs::read_optional(path, LIMIT) {
            Ok(found) => found.unwrap_or_default(),
            // Readable by the administrator only: then it is not for this account.
            Err(_denied) => continue,
        };
        for (machine, (login, password)) in netrc::parse(&String::from_utf8_lossy(&bytes)) {
            let wanted = if machine.contains("://") {
                machine.clone()
            } else {
                format!("https://{machine}")
            };
            let wanted = wanted.trim_end_matches('/');
            let addresses = names.iter().flat_map(|name| settings.addresses_of(name));
            for address in addresses.collect::<Vec<_>>() {
                let below = address.as_str().strip_prefix(wanted);
                if below.is_some_and(|rest| rest.starts_with('/'))
                    && !settings.has_credential(&address)
                {
                    settings.add_credential(&address, Credential::basic(&login, &password));
                }
            }
        }
    }
    Ok(())
}

/// Says aloud which of the host's sources are left out, since apt on this host takes packages from them.
pub(in crate::cli) fn name_skipped(ctx: &Context, sources: &[u8]) {
    let skipped = skipped_sources(&String::from_utf8_lossy(sources));
    if !skipped.is_empty() {
        ctx.ui.warn(&format!(
            "apt sources of this host that are not reached by http or https are left out: {}",
            skipped.join(", ")
        ));
    }
}

/// The lines that a starter manifest gets: this host's sources as `[[debian.source]]` tables, commented out.
pub(in crate::cli) fn starter(ctx: &Context) -> Option<String> {
    let sources = sources(ctx).ok()?;
    name_skipped(ctx, &sources);
    let text = String::from_utf8(sources).ok()?;
    let mut out = String::new();
    for source in crate::eco::debian::host_sources(&text).ok()? {
        let list = |all: &[String]| {
            all.iter()
                .map(|s| toml_string(s))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let table = format!(
            "# [[debian.source]]               # of this host's apt, which is the default\n# uri = {}\n# suites = [{}]\n\
             # components = [{}]\n# signed-by = {}\n",
            toml_string(&source.uri),
            list(&source.suites),
            list(&source.components),
            toml_string(source.keyring.as_deref()?),
        );
        out.push_str(&table);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{lines, stanzas};

    #[test]
    fn both_forms_become_one() {
        let text = "# old\ndeb [ signed-by=/k.gpg arch=amd64,arm64 ] https://a.example/debian bookworm main contrib # x\n\
                    deb-src https://a.example/debian bookworm main\n\ndeb http://b.example sid main\n";
        assert_eq!(
            lines(text, "/t.gpg, /u.asc").unwrap(),
            "Types: deb\nURIs: https://a.example/debian\nSuites: bookworm\nComponents: main contrib\nArchitectures: \
             amd64 arm64\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://b.example\nSuites: sid\nComponents: \
             main\nSigned-By: /t.gpg, /u.asc\n\n"
        );
        lines("deb [x https://a.example s main", "").unwrap_err();
        lines("deb https://a.example", "").unwrap_err();
        let text = "Types: deb\n# why\nURIs: http://a.example\nSuites: x\nComponents: main\n\n# off\nTypes: deb\nSigned-By: /k\n";
        assert_eq!(
            stanzas(text, "/t").unwrap(),
            "Types: deb\nURIs: http://a.example\nSuites: x\nComponents: main\nSigned-By: /t\n\nTypes: deb\nSigned-By: /k\n\n"
        );
    }
}
