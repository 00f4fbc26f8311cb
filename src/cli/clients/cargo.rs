//! This host's crates registry: cargo's source replacement in `.cargo/config.toml` beside the manifest, above it, and in
//! `CARGO_HOME`, else the index that the library for it has built in. Only sparse indexes are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::text::quoted;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco::cargo::UPSTREAM;
use crate::fs;
use crate::net::settings::{Credential, Secret, Settings};

/// Largest configuration file, in bytes.
const LIMIT: u64 = 1 << 20;
/// Cargo's name of the public registry.
const PUBLIC: &str = "crates-io";
/// What cargo writes before the address of a sparse index.
const SPARSE: &str = "sparse+";
/// Most replacements that are followed.
const REPLACEMENTS: usize = 16;

/// What is read of a configuration file.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    source: BTreeMap<String, Source>,
    #[serde(default)]
    registries: BTreeMap<String, Registry>,
    #[serde(default)]
    registry: Registry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Source {
    replace_with: Option<String>,
    registry: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Registry {
    index: Option<String>,
    token: Option<String>,
}

/// Tells `settings` where the index is. `manifest` is the address that the manifest has.
pub(super) fn apply(
    ctx: &Context,
    folder: &Path,
    settings: &mut Settings,
    manifest: Option<&str>,
) -> Result<(), Failure> {
    let config = load(ctx, folder)?;
    let (name, address) = match manifest {
        Some(address) => (PUBLIC.to_owned(), format!("{SPARSE}{address}")),
        None => replaced(&config, ctx)?,
    };
    let Some(address) = sparse(&address) else {
        return Err(UsageError::new(format!(
            "cargo's source {} is no sparse index; set `index` in [cargo] to one",
            quoted(&name)
        ))
        .into());
    };
    settings.set_upstream(UPSTREAM, address)?;
    let same = |(key, registry): (&String, &Registry)| {
        let same =
            registry.index.as_deref().and_then(sparse).map(folder_of) == Some(folder_of(address));
        same.then(|| key.clone())
    };
    let mut names: Vec<String> = config.registries.iter().filter_map(same).collect();
    names.insert(0, name.clone());
    let of = |(key, registry): (&String, &Registry)| {
        let same = *key == name || registry.index.as_deref().and_then(sparse) == Some(address);
        same.then(|| registry.token.clone()).flatten()
    };
    let mut variables: Vec<String> = names
        .iter()
        .map(|name| format!("CARGO_REGISTRIES_{}_TOKEN", upper(name)))
        .collect();
    if name == PUBLIC {
        variables.push("CARGO_REGISTRY_TOKEN".to_owned());
    }
    let token = variables
        .iter()
        .find_map(|variable| ctx.env(variable))
        .or_else(|| config.registries.iter().find_map(of))
        .or_else(|| config.registry.token.clone().filter(|_| name == PUBLIC));
    if let Some(token) = token
        && let Some(base) = settings.address_of(UPSTREAM, None).cloned()
    {
        // Cargo shows it where crates are downloaded too; here never to another host.
        settings.add_host_credential(&base, Credential::Token(Secret::new(token)));
    }
    Ok(())
}

/// The address of a folder, with or without a slash at its end.
fn folder_of(address: &str) -> &str {
    address.trim_end_matches('/')
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// An address of a sparse index without cargo's prefix; that of a git index is none.
fn sparse(text: &str) -> Option<&str> {
    text.strip_prefix(SPARSE)
}

/// The source that stands for the public registry: its name and address.
fn replaced(config: &Config, ctx: &Context) -> Result<(String, String), UsageError> {
    let mut name = PUBLIC.to_owned();
    for _ in 0..REPLACEMENTS {
        let source = config.source.get(&name);
        let variable = format!("CARGO_SOURCE_{}_REPLACE_WITH", upper(&name));
        let next = ctx
            .env(&variable)
            .or_else(|| source.and_then(|source| source.replace_with.clone()));
        if let Some(next) = next {
            name = next;
            continue;
        }
        let of_registry = || config.registries.get(&name)?.index.clone();
        let address = source.and_then(|source| source.registry.clone());
        return match address.or_else(of_registry) {
            Some(address) => Ok((name, address)),
            None if name == PUBLIC => Ok((name, tame_index::CRATES_IO_HTTP_INDEX.to_owned())),
            None => Err(UsageError::new(format!(
                "cargo's source {} has no registry; set `index` in [cargo]",
                quoted(&name)
            ))),
        };
    }
    Err(UsageError::new(
        "cargo's source replacement goes round in a circle",
    ))
}

/// Every configuration, the one that counts most first wins key by key.
fn load(ctx: &Context, folder: &Path) -> Result<Config, Failure> {
    let folder = fs::canonicalize(folder)?;
    let mut homes: Vec<PathBuf> = folder.ancestors().map(|f| f.join(".cargo")).collect();
    let home = ctx.env("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(ctx.env("HOME")?).join(".cargo")));
    homes.extend(home);
    let mut all = Config::default();
    for home in homes {
        for name in ["config", "config.toml", "credentials", "credentials.toml"] {
            let path = home.join(name);
            let Some(bytes) = fs::read_optional(&path, LIMIT)? else {
                continue;
            };
            let found: Config = toml::from_slice(&bytes).map_err(|error| {
                let path = quoted(&path.to_string_lossy());
                // A message may quote a value, which in these files is a secret.
                let why = if name.starts_with("credentials") {
                    "not what cargo writes".to_owned()
                } else {
                    quoted(error.message())
                };
                UsageError::new(format!("{path} cannot be read: {why}"))
            })?;
            merge(&mut all, found);
        }
    }
    Ok(all)
}

fn merge(all: &mut Config, found: Config) {
    for (name, source) in found.source {
        let known = all.source.entry(name).or_default();
        known.replace_with = known.replace_with.take().or(source.replace_with);
        known.registry = known.registry.take().or(source.registry);
    }
    all.registry.token = all.registry.token.take().or(found.registry.token);
    for (name, registry) in found.registries {
        let known = all.registries.entry(name).or_default();
        known.index = known.index.take().or(registry.index);
        known.token = known.token.take().or(registry.token);
    }
}
