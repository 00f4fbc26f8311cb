//! From manifest, environment and this host's client configurations to a network client.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::cli::Context;
use crate::cli::clients::{self, npm::NpmClient};
use crate::cli::egress;
use crate::cli::project::Project;
use crate::cli::ui::{Failure, Ui};
use crate::eco::install::Address;
use crate::fs;
use crate::manifest::{self, Network};
use crate::net::proxy::ProxyRules;
use crate::net::roots::{self, HostRoots};
use crate::net::settings::{Settings, host_of, web_url};
use crate::net::{HttpUpstream, NetError};
use crate::store::Store;

/// A client, and what it will need to reach.
#[derive(Debug)]
pub struct Connection {
    /// The client.
    pub upstream: HttpUpstream,
    /// The cache folder.
    pub cache: PathBuf,
    /// One URL of each upstream that the manifest needs.
    needed: Vec<Url>,
}

/// Makes the client for a project. Contacts nobody.
pub fn open(ctx: &Context, project: &Project) -> Result<Connection, Failure> {
    let cache = ctx.cache_dir()?;
    let manifest = &project.manifest;
    let mut settings = of_host(ctx)?;
    for file in &manifest.network.ca {
        let path = manifest::beside(&project.manifest_path, file);
        settings.roots.extend(roots::named_roots(&path)?);
    }
    let allowed: BTreeSet<String> = manifest.network.allow_hosts.iter().cloned().collect();
    settings.allow_hosts = (!allowed.is_empty()).then_some(allowed);
    let addresses = project.addresses();
    let folder = fs::parent(&project.manifest_path);
    let npm = if clients::upstreams(&addresses).contains("npm") {
        Some(NpmClient::load(ctx, folder)?)
    } else {
        None
    };
    settings.set_proxy(proxy(ctx, &manifest.network, npm.as_ref())?);
    clients::apply(ctx, folder, &addresses, npm.as_ref(), &mut settings)?;
    let given = &manifest.network.credentials;
    clients::credentials(ctx, &project.manifest_path, given, &mut settings)?;
    let needed = needed(&addresses, &settings);
    let upstream = HttpUpstream::new(settings)?;
    Ok(Connection {
        upstream,
        cache,
        needed,
    })
}

/// Settings as the command line and this host have them, before anything is said of whom to reach.
pub(crate) fn of_host(ctx: &Context) -> Result<Settings, Failure> {
    let mut settings = Settings::new(ctx.cache_dir()?);
    settings.offline = ctx.global.offline;
    if let Some(jobs) = ctx.global.jobs {
        settings.jobs = usize::from(jobs);
    }
    if ctx.global.verbose > 1 {
        // A printer of its own: with -v there is no progress display that the lines could disturb.
        let ui = Ui::new(*ctx.ui.options());
        settings.log = Some(Arc::new(move |line| ui.detail(line)));
    }
    settings.roots = HostRoots {
        file: ctx.env("SSL_CERT_FILE").map(PathBuf::from),
        folders: ctx.env("SSL_CERT_DIR"),
    }
    .load()?;
    Ok(settings)
}

/// The store of downloaded artifacts.
pub fn store(ctx: &Context) -> Result<Store, Failure> {
    Ok(Store::open(&ctx.cache_dir()?.join("store"))?)
}

/// The manifest's proxy; else the environment's; else npm's own.
fn proxy(
    ctx: &Context,
    network: &Network,
    npm: Option<&NpmClient<'_>>,
) -> Result<ProxyRules, NetError> {
    if let Some(proxy) = &network.proxy {
        let exceptions = ctx.env("no_proxy").or_else(|| ctx.env("NO_PROXY"));
        return ProxyRules::fixed(proxy, exceptions.as_deref());
    }
    let of_npm = |name: &str| {
        let npm = npm?;
        match name {
            "HTTPS_PROXY" => npm.value("https-proxy").or_else(|| npm.value("proxy")),
            "HTTP_PROXY" => npm.value("proxy"),
            "NO_PROXY" => npm.value("noproxy"),
            _ => None,
        }
    };
    ProxyRules::from_variables(&|name| ctx.env(name).or_else(|| of_npm(name)))
}

/// One URL of each upstream that is needed before anything is known.
fn needed(addresses: &BTreeSet<Address>, settings: &Settings) -> Vec<Url> {
    let url = |address: &Address| match address {
        Address::File { url, .. } => web_url(url),
        // Only when the upstream itself does not answer.
        Address::Mirror { .. } | Address::Route { .. } => None,
        Address::Upstream { name, first, .. } => {
            let scope = first.starts_with('@').then_some(first.as_str());
            settings.address_of(name, scope).cloned()
        }
    };
    let all: BTreeSet<Url> = addresses.iter().filter_map(url).collect();
    all.into_iter().collect()
}

impl Connection {
    /// Contacts every host that is needed; an error names all that cannot be reached.
    pub fn preflight(&self) -> Result<(), NetError> {
        self.upstream.preflight(&self.needed)
    }

    /// The hosts that will be asked, as `https://host:port`, sorted.
    pub fn hosts(&self) -> Vec<String> {
        let hosts: BTreeSet<String> = self.needed.iter().map(host_of).collect();
        hosts.into_iter().collect()
    }

    /// The proxies in use, without their secrets.
    pub fn proxy(&self) -> Option<String> {
        let all: BTreeSet<String> = self
            .upstream
            .settings()
            .proxy
            .urls()
            .map(ToString::to_string)
            .collect();
        let all: Vec<String> = all.into_iter().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Every host contacted so far, sorted.
    pub fn egress(&self) -> Vec<String> {
        let contacts = self.upstream.egress();
        contacts.iter().map(ToString::to_string).collect()
    }

    /// Keeps what was contacted beside the project's lock.
    pub fn record_egress(&self, project: &Project) -> Result<(), Failure> {
        egress::record(&project.lock_path, self.upstream.egress())
    }
}
