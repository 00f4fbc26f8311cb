//! What this host's own clients are configured with: addresses, credentials, certificates. The manifest's address stands
//! over all of it; without any, the default that an installed client or a library made for it carries; no address is
//! written in this program.

pub(super) mod apt;
mod cargo;
mod netrc;
mod network;
pub(super) mod npm;
mod pip;

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco::install::Address;
use crate::manifest::credentials::NetworkCredential;
use crate::net::settings::{Settings, web_url};

/// Tells `settings` where everything in `addresses` is, and how to get at it. `folder` is the manifest's.
pub(super) fn apply(
    ctx: &Context,
    folder: &Path,
    addresses: &BTreeSet<Address>,
    npm: Option<&npm::NpmClient<'_>>,
    settings: &mut Settings,
) -> Result<(), Failure> {
    let mut archives = Vec::new();
    for name in upstreams(addresses) {
        let manifest = configured(addresses, name)?;
        match (name, npm, manifest) {
            ("npm", Some(npm), _) => npm.apply(settings, manifest)?,
            ("pypi", ..) => pip::apply(ctx, settings, manifest)?,
            // `debian`, `debian-2` and so on: the archives of all sources.
            (name, _, manifest) if name == "debian" || name.starts_with("debian-") => {
                archives.extend(apt::apply(ctx, settings, name, manifest)?);
            }
            ("cargo", ..) => cargo::apply(ctx, folder, settings, manifest)?,
            (_, _, Some(address)) => settings.set_upstream(name, address)?,
            // Named as missing by whoever asks for it.
            (_, _, None) => {}
        }
    }
    for address in addresses {
        match address {
            Address::File { path, url } => {
                if let Some(url) = web_url(url) {
                    settings.set_file(path, url);
                }
            }
            Address::Mirror { name, url, .. } => settings.add_mirror(name, url)?,
            Address::Route { name, pattern, url } => settings.add_route(name, pattern, url)?,
            Address::Upstream { .. } => {}
        }
    }
    if !archives.is_empty() {
        apt::logins(ctx, settings, &archives)?;
    }
    netrc::apply(ctx, settings)
}

/// What the manifest says itself about credentials stands over every client's.
pub(super) fn credentials(
    ctx: &Context,
    manifest: &Path,
    given: &[NetworkCredential],
    settings: &mut Settings,
) -> Result<(), Failure> {
    network::apply(ctx, manifest, given, settings)
}

/// Names of the upstreams, each once.
pub(super) fn upstreams(addresses: &BTreeSet<Address>) -> BTreeSet<&str> {
    let names = addresses.iter().filter_map(|address| match address {
        Address::Upstream { name, .. } => Some(name.as_str()),
        Address::Mirror { .. } | Address::Route { .. } | Address::File { .. } => None,
    });
    names.collect()
}

/// The address that the manifest gives an upstream; all installs that need it must agree.
fn configured<'a>(
    addresses: &'a BTreeSet<Address>,
    upstream: &str,
) -> Result<Option<&'a str>, UsageError> {
    let of = addresses.iter().filter_map(|address| match address {
        Address::Upstream {
            name, configured, ..
        } if name == upstream => Some(configured.as_deref()),
        Address::Upstream { .. }
        | Address::Mirror { .. }
        | Address::Route { .. }
        | Address::File { .. } => None,
    });
    let named: BTreeSet<Option<&str>> = of.collect();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (found, None) => Ok(found.flatten()),
        (_, Some(_)) => Err(UsageError::new(format!(
            "all [[{upstream}]] installs must name the same address, or none"
        ))),
    }
}
