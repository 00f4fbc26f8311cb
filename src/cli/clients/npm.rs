//! This host's npm configuration: registries by scope, credentials, certificates, proxies. Read through
//! `npmrc-config-rs`; what that crate leaves out is added here: `npm_config_*` variables, a credential that stands at
//! a folder above the registry, `cafile`, `ca`, and the proxies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use npmrc_config_rs::{ClientCert, ConfigData, Credentials, LoadOptions, NpmrcConfig};
use url::Url;

use crate::base::text::{escaped, quoted};
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::net::roots;
use crate::net::settings::{Credential, Secret, Settings};

/// Name of the upstream in locks.
const UPSTREAM: &str = "npm";

/// Largest certificate or key file, in bytes.
const PEM_LIMIT: u64 = 1 << 20;

/// npm's configuration on this host.
pub(crate) struct NpmClient<'a> {
    ctx: &'a Context,
    config: NpmrcConfig,
    keys: BTreeSet<String>,
}

impl<'a> NpmClient<'a> {
    /// Reads the `.npmrc` of the project in `folder`, the user's, and the global one.
    pub(crate) fn load(ctx: &'a Context, folder: &Path) -> Result<Self, Failure> {
        let options = LoadOptions {
            cwd: Some(fs::canonicalize(folder)?),
            user_config: variable(ctx, "userconfig").map(PathBuf::from),
            ..LoadOptions::default()
        };
        let unreadable = |error: npmrc_config_rs::Error| {
            UsageError::new(format!(
                "npm's configuration cannot be read: {}",
                escaped(&error.to_string())
            ))
        };
        let config = NpmrcConfig::load_with_options(options).map_err(unreadable)?;
        let files = [
            config.project_config_path(),
            config.user_config_path(),
            config.global_config_path(),
        ];
        let mut keys = BTreeSet::new();
        for file in files.into_iter().flatten() {
            if let Some(data) = ConfigData::load(file).map_err(unreadable)? {
                keys.extend(data.data.into_keys());
            }
        }
        Ok(Self { ctx, config, keys })
    }

    /// A setting: `npm_config_<key>` first, as npm does.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let set = variable(self.ctx, key).or_else(|| self.config.get(key).map(str::to_owned));
        set.filter(|value| !value.is_empty() && value != "null")
    }

    /// Tells `settings` where npm packages are and how to get at them. `registry` is the manifest's.
    pub(crate) fn apply(
        &self,
        settings: &mut Settings,
        registry: Option<&str>,
    ) -> Result<(), Failure> {
        let configured = registry
            .map(str::to_owned)
            .or_else(|| self.value("registry"));
        let address = configured.unwrap_or_else(|| self.config.default_registry().into());
        settings.set_upstream(UPSTREAM, &address)?;
        // Not through the crate: it drops an address that it cannot read, and the scope's names would be asked for
        // at the public registry.
        for key in &self.keys {
            let scope = key.strip_suffix(":registry").filter(|s| s.starts_with('@'));
            if let (Some(scope), Some(address)) = (scope, self.value(key)) {
                settings.set_scope(UPSTREAM, scope, &address)?;
            }
        }
        self.credentials(settings)?;
        if let Some(file) = self.value("cafile") {
            let path = npmrc_config_rs::expand_tilde(&file);
            settings.roots.extend(roots::named_roots(&path)?);
        }
        if let Some(pem) = self.value("ca") {
            let pem = pem.replace("\\n", "\n");
            settings
                .roots
                .extend(roots::named_pem(pem.as_bytes(), "npm's setting ca")?);
        }
        Ok(())
    }

    /// Credentials are written `//host/path/:_authToken`: they are for everything below, over https; over http only
    /// where a registry of that host is configured with http.
    fn credentials(&self, settings: &mut Settings) -> Result<(), Failure> {
        let prefixes: BTreeSet<&str> = self
            .keys
            .iter()
            .filter(|key| key.starts_with("//"))
            .filter_map(|key| key.rsplit_once(':').map(|(prefix, _)| prefix))
            .collect();
        for prefix in prefixes {
            for scheme in ["https", "http"] {
                let slash = if prefix.ends_with('/') { "" } else { "/" };
                let Ok(url) = Url::parse(&format!("{scheme}:{prefix}{slash}")) else {
                    continue;
                };
                let wanted = scheme == "https"
                    || settings
                        .addresses()
                        .iter()
                        .any(|a| a.origin() == url.origin());
                if wanted && let Some(found) = self.config.credentials_for(&url) {
                    add(settings, &url, &found)?;
                }
            }
        }
        Ok(())
    }
}

fn variable(ctx: &Context, key: &str) -> Option<String> {
    let name = format!("npm_config_{}", key.replace('-', "_"));
    ctx.env(&name)
        .or_else(|| ctx.env(&name.to_ascii_uppercase()))
}

fn add(settings: &mut Settings, prefix: &Url, found: &Credentials) -> Result<(), Failure> {
    if let Some(token) = found.token() {
        settings.add_credential(prefix, Credential::Bearer(Secret::new(token)));
    } else if let Some((user, password)) = found.username_password() {
        settings.add_credential(prefix, Credential::basic(user, password));
    }
    if let Some(certificate) = found.client_cert() {
        settings.add_client_certificate(prefix, pem(certificate)?);
    }
    Ok(())
}

/// Certificates and key, one after the other.
fn pem(files: &ClientCert) -> Result<Secret, Failure> {
    let mut text = String::new();
    for path in [&files.certfile, &files.keyfile] {
        let part = String::from_utf8(fs::read(path, PEM_LIMIT)?).map_err(|_binary| {
            UsageError::new(format!(
                "{} is not a PEM file",
                quoted(&path.to_string_lossy())
            ))
        })?;
        text.push_str(&part);
        text.push('\n');
    }
    Ok(Secret::new(text))
}
