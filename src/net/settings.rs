//! Everything the network side is told: addresses, credentials, proxy, roots, limits. It reads no environment and no
//! configuration file itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use url::Url;

use crate::base::glob::is_like;
use crate::net::NetError;
pub use crate::net::credential::{Credential, Secret};
use crate::net::credential::{is_below, segments_in_common};
use crate::net::proxy::{Authority, ProxyRules};
use crate::upstream::{Link, Request, SafeUrl};

/// The upstream whose requests carry whole URLs: plain files.
pub const FILE_UPSTREAM: &str = "file";

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub stall: Duration,
    /// Before the second attempt; doubled for each further one, plus up to as much again at random.
    pub backoff: Duration,
    /// The longest wait that a server's `Retry-After` is granted.
    pub retry_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            backoff: Duration::from_millis(300),
            retry_after: Duration::from_mins(1),
        }
    }
}

/// Is told about each request, one masked line.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// The settings.
#[derive(Clone)]
pub struct Settings {
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Most requests at a time.
    pub jobs: usize,
    /// Whether only the cache may answer.
    pub offline: bool,
    /// Proxies.
    pub proxy: ProxyRules,
    /// Certification authorities that servers are judged by, and no others.
    pub roots: Vec<CertificateDer<'static>>,
    /// Hosts (`host` or `host:port`) that may be contacted; `None` = any that is asked for.
    pub allow_hosts: Option<BTreeSet<String>>,
    /// How long things may take.
    pub timing: Timing,
    /// Is told about each request.
    pub log: Option<Log>,
    /// Whether requests are large and answers to them take their time: [`crate::net::upload`] keeps the time itself then.
    pub uploads: bool,
    bases: BTreeMap<String, Url>,
    scopes: BTreeMap<(String, String), Url>,
    mirrors: BTreeMap<String, Vec<Url>>,
    /// By upstream: names of packages, and where these are.
    routes: BTreeMap<String, Vec<(String, Url)>>,
    files: BTreeMap<String, Url>,
    credentials: Vec<(Url, Credential)>,
    /// Those for whole hosts, each with the address it was configured for.
    host_credentials: Vec<(Url, Credential)>,
    certificates: Vec<(Url, Secret)>,
    secrets: BTreeSet<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bases", &self.bases)
            .field("scopes", &self.scopes)
            .field("credentials", &self.credentials.len())
            .field("proxy", &self.proxy)
            .field("roots", &self.roots.len())
            .field("allow_hosts", &self.allow_hosts)
            .field("jobs", &self.jobs)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Defaults, with the cache in `cache`: 24 requests at a time, no upstream, no proxy, no roots.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            jobs: 24,
            offline: false,
            proxy: ProxyRules::default(),
            roots: Vec::new(),
            allow_hosts: None,
            timing: Timing::default(),
            log: None,
            uploads: false,
            bases: BTreeMap::new(),
            scopes: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            routes: BTreeMap::new(),
            files: BTreeMap::new(),
            credentials: Vec::new(),
            host_credentials: Vec::new(),
            certificates: Vec::new(),
            secrets: BTreeSet::new(),
        }
    }

    /// Sets the address of an upstream. A user name and password in it become a credential for it.
    pub fn set_upstream(&mut self, name: &str, address: &str) -> Result<(), NetError> {
        let base = self.address(name, address)?;
        self.bases.insert(name.to_owned(), base);
        Ok(())
    }

    /// Sets the address of an upstream for one scope, such as `@agency`.
    pub fn set_scope(&mut self, name: &str, scope: &str, address: &str) -> Result<(), NetError> {
        let base = self.address(name, address)?;
        self.scopes
            .insert((name.to_owned(), scope.to_owned()), base);
        Ok(())
    }

    /// Adds an address with the same content, which is asked when those before it do not answer.
    pub fn add_mirror(&mut self, name: &str, address: &str) -> Result<(), NetError> {
        let base = self.address(name, address)?;
        self.mirrors.entry(name.to_owned()).or_default().push(base);
        Ok(())
    }

    /// Sets the address of an upstream for the packages of some names: its own address is never asked for them, and this one
    /// for no others.
    pub fn add_route(&mut self, name: &str, pattern: &str, address: &str) -> Result<(), NetError> {
        let base = self.address(name, address)?;
        let routes = self.routes.entry(name.to_owned()).or_default();
        routes.push((pattern.to_owned(), base));
        Ok(())
    }

    /// Every address that is set, sorted.
    pub fn addresses(&self) -> Vec<Url> {
        let named = self.bases.values().chain(self.scopes.values());
        let routes = self.routes.values().flatten().map(|(_, base)| base);
        let named = named.chain(routes);
        let set: BTreeSet<&Url> = named.chain(self.mirrors.values().flatten()).collect();
        set.into_iter().cloned().collect()
    }

    /// The address of an upstream without scope, then those of its mirrors.
    pub fn addresses_of(&self, name: &str) -> Vec<Url> {
        let mirrors = self.mirrors.get(name).into_iter().flatten();
        self.bases
            .get(name)
            .into_iter()
            .chain(mirrors)
            .cloned()
            .collect()
    }

    /// The URLs of plain files, sorted.
    pub fn files(&self) -> Vec<Url> {
        let set: BTreeSet<&Url> = self.files.values().collect();
        set.into_iter().cloned().collect()
    }

    /// Mirrors that can stand in for a host: those of every upstream at `host` and `port`. `None` when an upstream there
    /// has no mirror.
    pub fn mirrors_of(&self, host: &str, port: u16) -> Option<Vec<Url>> {
        let mut found = Vec::new();
        let here =
            |url: &Url| url.host_str() == Some(host) && url.port_or_known_default() == Some(port);
        for (name, _) in self.bases.iter().filter(|(_, base)| here(base)) {
            found.extend(self.mirrors.get(name)?.iter().cloned());
        }
        let routes = self.routes.values().flatten().map(|(_, base)| base);
        let others = self.scopes.values().chain(self.files.values());
        let elsewhere = others.chain(routes).any(here);
        (!found.is_empty() && !elsewhere).then_some(found)
    }

    /// Shows the credential of an upstream to its whole host: indexes keep their files beside themselves.
    pub fn widen_credential(&mut self, name: &str) {
        let base = self.bases.get(name).cloned();
        let Some(base) = base else { return };
        if let Some(credential) = self.credential(&base).cloned() {
            self.add_host_credential(&base, credential);
        }
    }

    /// Says where a plain file comes from: locks name it by its path in the enclave, only the manifest has the URL.
    pub fn set_file(&mut self, path: &str, url: Url) {
        self.files.insert(path.to_owned(), url);
    }

    /// The URL of a plain file.
    pub fn file(&self, path: &str) -> Option<&Url> {
        self.files.get(path)
    }

    /// The address of an upstream, for one scope or in general.
    pub fn address_of(&self, name: &str, scope: Option<&str>) -> Option<&Url> {
        let scoped = scope.map(|scope| (name.to_owned(), scope.to_owned()));
        scoped
            .and_then(|key| self.scopes.get(&key))
            .or_else(|| self.bases.get(name))
    }

    /// Shows `credential` to everything below `prefix`, and to nothing else.
    pub fn add_credential(&mut self, prefix: &Url, credential: Credential) {
        self.remember_credential(&credential);
        self.credentials.push((prefix.clone(), credential));
    }

    /// Shows `credential` to the whole host of `base`. Where several registries of one host have credentials, each gets its
    /// own: the one whose address has most leading segments in common with what is asked for.
    pub fn add_host_credential(&mut self, base: &Url, credential: Credential) {
        self.remember_credential(&credential);
        self.host_credentials.push((base.clone(), credential));
    }

    fn remember_credential(&mut self, credential: &Credential) {
        let (Credential::Bearer(secret)
        | Credential::Token(secret)
        | Credential::Basic(secret)
        | Credential::Key(secret)) = credential;
        self.remember(&secret.0);
        if let Credential::Basic(secret) = credential
            && let Ok(raw) = BASE64.decode(secret.0.as_bytes())
            && let Ok(text) = String::from_utf8(raw)
            && let Some((_, password)) = text.split_once(':')
        {
            self.remember(password);
        }
    }

    /// Shows a client certificate (PEM: certificates and private key) to everything below `prefix`.
    pub fn add_client_certificate(&mut self, prefix: &Url, pem: Secret) {
        self.certificates.push((prefix.clone(), pem));
    }

    /// Sets the proxies.
    pub fn set_proxy(&mut self, rules: ProxyRules) {
        let secrets: Vec<String> = rules
            .urls()
            .filter_map(|url| Some(url.with_secrets().password()?.to_owned()))
            .collect();
        for secret in secrets {
            self.remember(&secret);
        }
        self.proxy = rules;
    }

    /// The URLs of a request: below its upstream's address, then below its mirrors' in their order.
    pub fn urls_for(&self, request: &Request) -> Result<Vec<Url>, NetError> {
        let mut urls = vec![self.url_for(request)?];
        let own = self.base(&request.upstream, &request.path);
        let mirrored = own.is_ok_and(|base| self.bases.get(&request.upstream) == Some(base));
        let mirrors = self.mirrors.get(&request.upstream).filter(|_| mirrored);
        for mirror in mirrors.into_iter().flatten() {
            let url = self.url_at(request, mirror)?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        Ok(urls)
    }

    /// The URL of a request, below its upstream's address.
    pub fn url_for(&self, request: &Request) -> Result<Url, NetError> {
        if request.upstream == FILE_UPSTREAM {
            let known = self.files.get(&request.path).cloned();
            return known.ok_or_else(|| NetError::NoAddress {
                upstream: format!(
                    "{FILE_UPSTREAM} {}",
                    crate::base::text::quoted(&request.path)
                ),
            });
        }
        self.url_at(request, self.base(&request.upstream, &request.path)?)
    }

    /// The URL of a request, below `base`.
    fn url_at(&self, request: &Request, base: &Url) -> Result<Url, NetError> {
        if let Some(link) = &request.link {
            return self.linked(request, link, base);
        }
        let leaves = || NetError::Url {
            text: crate::base::text::quoted(&request.path),
        };
        let url = Url::parse(&format!("{base}{}", request.path)).map_err(|_bad| leaves())?;
        let inside = url.origin() == base.origin() && url.path().starts_with(base.path());
        if inside { Ok(url) } else { Err(leaves()) }
    }

    /// What a document of the upstream links to, which may be at another host.
    fn linked(&self, request: &Request, link: &Link, base: &Url) -> Result<Url, NetError> {
        let page = Request {
            path: link.page.clone(),
            link: None,
            ..request.clone()
        };
        let joined = self.url_at(&page, base)?.join(&link.href).ok();
        let found = joined.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        found.ok_or_else(|| NetError::Url {
            text: crate::base::text::quoted(&link.href),
        })
    }

    /// The address of an upstream that is asked for what is at `path` below it.
    pub fn base(&self, upstream: &str, path: &str) -> Result<&Url, NetError> {
        let routes = self.routes.get(upstream).into_iter().flatten();
        let name = path.split('/').next().unwrap_or(path);
        for (pattern, base) in routes {
            if is_like(pattern, name) {
                return Ok(base);
            }
        }
        let scope = path.starts_with('@').then(|| {
            let end = path.find(['/', '%']).unwrap_or(path.len());
            path.get(..end).unwrap_or(path).to_owned()
        });
        self.address_of(upstream, scope.as_deref())
            .ok_or_else(|| NetError::NoAddress {
                upstream: crate::base::text::escaped(upstream),
            })
    }

    /// Whether `url` will be shown a credential.
    pub fn has_credential(&self, url: &Url) -> bool {
        self.credential(url).is_some()
    }

    /// The credential for `url`: that of the nearest address; a prefix of it before another address of its host.
    pub(super) fn credential(&self, url: &Url) -> Option<&Credential> {
        let hosts = self.host_credentials.iter();
        let hosts = hosts.filter(|(base, _)| base.origin() == url.origin());
        let prefixes = self.credentials.iter().filter(|(p, _)| is_below(url, p));
        hosts
            .chain(prefixes)
            .max_by_key(|(address, _)| segments_in_common(address, url))
            .map(|(_, credential)| credential)
    }

    /// Prefixes and PEM of the client certificates.
    pub(super) fn certificates(&self) -> &[(Url, Secret)] {
        &self.certificates
    }

    /// Whether `url` may be contacted.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let Some(allowed) = &self.allow_hosts else {
            return true;
        };
        let host = url.host_str().unwrap_or_default();
        allowed.contains(host) || allowed.contains(&Authority(url).to_string())
    }

    /// `text` without any secret that these settings know.
    pub fn masked(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            log(&self.masked(&line()));
        }
    }

    /// Masks a text from now on that is a part of a credential.
    pub fn hide(&mut self, secret: &Secret) {
        self.remember(&secret.0);
    }

    /// Keeps a secret for masking, as it is and percent-decoded. Very short ones would mask ordinary words.
    fn remember(&mut self, secret: &str) {
        let decoded: String = url::form_urlencoded::parse(format!("x={secret}").as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect();
        for form in [secret.to_owned(), decoded] {
            if form.len() >= 4 {
                self.secrets.insert(form);
            }
        }
    }

    fn address(&mut self, name: &str, address: &str) -> Result<Url, NetError> {
        let slash = if address.ends_with('/') { "" } else { "/" };
        let parsed = web_url(&format!("{address}{slash}"));
        let mut base = parsed
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| NetError::Address {
                upstream: crate::base::text::escaped(name),
            })?;
        let (user, password) = (
            base.username().to_owned(),
            base.password().map(str::to_owned),
        );
        if base.set_username("").is_err() || base.set_password(None).is_err() {
            return Err(NetError::Address {
                upstream: crate::base::text::escaped(name),
            });
        }
        if !user.is_empty() || password.is_some() {
            let decode = |text: &str| {
                let pair = format!("x={}", text.replace('+', "%2B"));
                url::form_urlencoded::parse(pair.as_bytes())
                    .map(|(_, value)| value.into_owned())
                    .collect::<String>()
            };
            let password = password.unwrap_or_default();
            self.remember(&password);
            let credential = Credential::basic(&decode(&user), &decode(&password));
            self.add_credential(&base, credential);
        }
        Ok(base)
    }
}

/// The root of a URL's host.
pub fn root_of(url: &Url) -> Url {
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    root.set_fragment(None);
    root
}

/// An `http` or `https` URL with a host.
pub fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// `url` as it may be shown: no user, no password, no fragment, and nothing of its query, where signed addresses
/// carry their signature.
pub fn shown(url: &Url) -> SafeUrl {
    let mut url = url.clone();
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    SafeUrl::new(url)
}

/// `https://host:port` of a URL, as the list of hosts shows it.
pub fn host_of(url: &Url) -> String {
    let host = Authority(url).to_string();
    format!("{}://{}", url.scheme(), crate::base::text::escaped(&host))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Credential, Secret, Settings};
    use crate::upstream::{Link, Request, Want};

    fn request(upstream: &str, path: &str) -> Request {
        Request {
            upstream: upstream.to_owned(),
            path: path.to_owned(),
            accept: None,
            limit: 10,
            want: Want::Document,
            link: None,
        }
    }

    fn settings() -> Settings {
        let mut settings = Settings::new(PathBuf::new());
        settings
            .set_upstream("npm", "https://u:S3CR3T@npm.example/all")
            .unwrap();
        settings
            .set_scope("npm", "@in", "https://in.example:8443/")
            .unwrap();
        settings
    }

    #[test]
    fn the_scope_decides_and_nothing_leaves_the_base() {
        let mut settings = settings();
        let address: url::Url = "https://f.example/x?y=1".parse().unwrap();
        settings.set_file("tools/x", address.clone());
        let url = |path: &str| settings.url_for(&request("npm", path)).map(String::from);
        assert_eq!(url("x").unwrap(), "https://npm.example/all/x");
        assert_eq!(url("@o%2fx").unwrap(), "https://npm.example/all/@o%2fx");
        assert_eq!(url("@in%2fx").unwrap(), "https://in.example:8443/@in%2fx");
        assert_eq!(
            url("@in/x/-/x.tgz").unwrap(),
            "https://in.example:8443/@in/x/-/x.tgz"
        );
        for bad in ["../x", "a/../../x"] {
            url(bad).expect_err(bad);
        }
        settings.url_for(&request("pypi", "x")).unwrap_err();
        let file = |path: &str| settings.url_for(&request("file", path));
        assert_eq!(file("tools/x").unwrap(), address);
        for other in ["tools/y", "https://f.example/x?y=1", "file:///etc/passwd"] {
            file(other).expect_err(other);
        }
    }

    #[test]
    fn links_lead_where_their_document_says() {
        let settings = settings();
        let url = |href: &str| {
            let link = Link {
                page: "simple/x/".to_owned(),
                href: href.to_owned(),
            };
            let linked = Request {
                link: Some(link),
                ..request("npm", "x/x-1.whl")
            };
            settings.url_for(&linked).map(String::from)
        };
        let found = url("../../files/x-1.whl#sha256=ab").unwrap();
        assert_eq!(found, "https://npm.example/all/files/x-1.whl#sha256=ab");
        let elsewhere = "https://files.example/x-1.whl";
        assert_eq!(url(elsewhere).unwrap(), elsewhere);
        for bad in ["file:///etc/passwd", "ftp://x.example/y", "https://"] {
            url(bad).expect_err(bad);
        }
    }

    #[test]
    fn credentials_belong_to_a_prefix_and_are_never_shown() {
        let mut settings = settings();
        let deep = "https://npm.example/all/deep/".parse().unwrap();
        settings.add_credential(&deep, Credential::Bearer(Secret::new("T0KEN")));
        let header = |url: &str| {
            let url = url.parse().unwrap();
            settings.credential(&url).map(Credential::header)
        };
        assert_eq!(
            header("https://npm.example/all/x").as_deref(),
            Some("Basic dTpTM0NSM1Q=")
        );
        assert_eq!(
            header("https://npm.example/all/deep/x").as_deref(),
            Some("Bearer T0KEN")
        );
        for other in [
            "https://npm.example/x",
            "http://npm.example/all/x",
            "https://npm.example:8443/all/x",
            "https://evil.example/all/x",
        ] {
            assert_eq!(header(other), None, "{other}");
        }
        // Two registries of one host, whose files lie beside their indexes.
        for (base, token) in [("pypi/main/simple/", "P1P1"), ("cargo/main/index/", "C4C4")] {
            let base = format!("https://art.example/api/{base}").parse().unwrap();
            settings.add_host_credential(&base, Credential::Token(Secret::new(token)));
        }
        let header = |url: &str| {
            let url = format!("https://art.example/{url}").parse().unwrap();
            settings.credential(&url).map(Credential::header)
        };
        for (url, token) in [
            ("api/pypi/main/simple/x/", "P1P1"),
            ("api/pypi/main/packages/x.whl", "P1P1"),
            ("api/cargo/main/index/3/x", "C4C4"),
            ("api/cargo/main/v1/crates/x", "C4C4"),
            ("elsewhere", "C4C4"),
        ] {
            assert_eq!(header(url).as_deref(), Some(token), "{url}");
        }
        let text = format!("{settings:?} {:?}", settings.credentials);
        assert!(
            !text.contains("S3CR3T") && !text.contains("T0KEN"),
            "{text}"
        );
        assert_eq!(
            settings.masked("a S3CR3T b dTpTM0NSM1Q= c T0KEN"),
            "a *** b *** c ***"
        );
    }
}
