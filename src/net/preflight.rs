//! Before the work starts: is every host that will be needed there?

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;
use url::Url;

use crate::net::client::{Ask, Engine};
use crate::net::proxy::Authority;

/// A host that cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Its name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `host:port` of the proxy that was used.
    pub via: Option<String>,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.host, self.port, self.reason)
    }
}

/// Asks each different host of `urls` for anything, all at once; any answer is a good one.
pub(super) async fn run(engine: Arc<Engine>, urls: Vec<Url>) -> Vec<Unreachable> {
    let mut hosts = BTreeMap::new();
    for url in urls {
        hosts
            .entry(url.origin().ascii_serialization())
            .or_insert(url);
    }
    let mut probes = JoinSet::new();
    for url in hosts.into_values() {
        let engine = engine.clone();
        probes.spawn(async move {
            let failed = probe(&engine, &url).await?;
            let via = engine.settings.proxy.for_url(&url);
            Some(Unreachable {
                host: crate::base::text::escaped(url.host_str().unwrap_or_default()),
                port: url.port_or_known_default().unwrap_or_default(),
                via: via.map(|proxy| Authority(proxy.with_secrets()).to_string()),
                reason: engine.settings.masked(&failed),
            })
        });
    }
    let mut out = Vec::new();
    while let Some(probed) = probes.join_next().await {
        out.extend(probed.ok().flatten());
    }
    out.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    out
}

/// Why `url` cannot be reached; `None` when it can.
async fn probe(engine: &Engine, url: &Url) -> Option<String> {
    let ask = Ask {
        method: Method::HEAD,
        ..Ask::get(url.clone())
    };
    let limit = engine.settings.timing.connect;
    let Ok(answer) = tokio::time::timeout(limit, engine.send_direct(&ask)).await else {
        return Some(format!("no answer within {} s", limit.as_secs()));
    };
    let status = match answer {
        Ok(response) => response.status(),
        Err(trouble) => return Some(trouble.reason),
    };
    // These come from the proxy, not from the host behind it.
    let from_proxy = engine.settings.proxy.for_url(url).is_some()
        && matches!(
            status,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT
        );
    from_proxy.then(|| format!("the proxy answered {status}"))
}
