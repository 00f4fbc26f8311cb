//! `[network] credentials` of the manifest: who is shown what, with the secret in a file or in the environment.

use std::path::Path;

use url::Url;

use crate::base::text::quoted;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::manifest;
use crate::manifest::credentials::{Login, NetworkCredential, SecretSource};
use crate::net::settings::{Credential, Secret, Settings};

/// Largest secret, in bytes.
const LIMIT: u64 = 64 << 10;

/// Adds each credential for its host: over the schemes under which the configuration names that, else over https.
pub(super) fn apply(
    ctx: &Context,
    manifest: &Path,
    given: &[NetworkCredential],
    settings: &mut Settings,
) -> Result<(), Failure> {
    for one in given {
        let credential = match &one.login {
            Login::Token(source) => Credential::Bearer(Secret::new(secret(ctx, manifest, source)?)),
            Login::Basic { user, password } => {
                Credential::basic(user, &secret(ctx, manifest, password)?)
            }
        };
        let known = settings.addresses().into_iter().chain(settings.files());
        let mut prefixes: Vec<Url> = known.filter(|url| is_host(url, &one.host)).collect();
        if prefixes.is_empty() {
            // Such as the host that an index keeps its files at.
            prefixes.extend(Url::parse(&format!("https://{}/", one.host)));
        }
        prefixes.sort();
        prefixes.dedup();
        for prefix in prefixes {
            settings.add_credential(&prefix, credential.clone());
            settings.add_host_credential(&prefix, credential.clone());
        }
    }
    Ok(())
}

/// Whether `url` is at `host`, which may have a port.
fn is_host(url: &Url, host: &str) -> bool {
    let Some(name) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let with_port = format!("{name}:{port}");
    host.eq_ignore_ascii_case(&with_port)
        || (host.eq_ignore_ascii_case(name) && url.port().is_none())
}

fn secret(ctx: &Context, manifest: &Path, source: &SecretSource) -> Result<String, Failure> {
    let (text, origin) = match source {
        SecretSource::Env(name) => {
            let found = ctx.env(name).ok_or_else(|| {
                UsageError::new(format!(
                    "the environment variable {} is not set, which [network] credentials names",
                    quoted(name)
                ))
            })?;
            (found, name.clone())
        }
        SecretSource::File(path) => {
            let path = manifest::beside(manifest, path);
            let origin = path.to_string_lossy().into_owned();
            let text = String::from_utf8(fs::read(&path, LIMIT)?).unwrap_or_default();
            (text, origin)
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(
            UsageError::new(format!("{} holds no secret of one line", quoted(&origin))).into(),
        );
    }
    Ok(text.to_owned())
}
