//! Which proxy a URL goes through: the manifest's, else the one of the usual variables, with their exceptions.

use std::fmt;
use std::net::IpAddr;

use url::Url;

use crate::net::NetError;
use crate::upstream::SafeUrl;

/// Proxies and the hosts that are reached without them. Prints no user name or password.
#[derive(Debug, Clone, Default)]
pub struct ProxyRules {
    http: Option<SafeUrl>,
    https: Option<SafeUrl>,
    bypass: Vec<Exception>,
}

/// One entry of a `NO_PROXY` list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    /// The host itself and everything below it, at one port or any.
    Domain(String, Option<u16>),
    /// Addresses with the same leading bits.
    Network(IpAddr, u8),
}

impl ProxyRules {
    /// One proxy for every URL, such as `http://user:password@proxy.example:3128`.
    pub fn fixed(proxy: &str, no_proxy: Option<&str>) -> Result<Self, NetError> {
        let url = parse(proxy, "proxy")?;
        Ok(Self {
            http: Some(url.clone()),
            https: Some(url),
            bypass: exceptions(no_proxy),
        })
    }

    /// From `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, each also in lower case, which wins.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, NetError> {
        let find = |name: &'static str| {
            let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            value.map(|text| (name, text))
        };
        let all = find("ALL_PROXY");
        let read = |found: Option<(&'static str, String)>| match found.or_else(|| all.clone()) {
            Some((name, text)) => parse(&text, name).map(Some),
            None => Ok(None),
        };
        Ok(Self {
            http: read(find("HTTP_PROXY"))?,
            https: read(find("HTTPS_PROXY"))?,
            bypass: exceptions(find("NO_PROXY").map(|(_, text)| text).as_deref()),
        })
    }

    /// Whether any URL goes through a proxy.
    pub const fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The proxy for `url`; `None` = directly.
    pub fn for_url(&self, url: &Url) -> Option<&SafeUrl> {
        let host = url.host_str()?;
        let port = url.port_or_known_default()?;
        if self.bypass.iter().any(|e| e.covers(host, port)) {
            return None;
        }
        if url.scheme() == "https" {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        }
    }

    /// Every proxy.
    pub fn urls(&self) -> impl Iterator<Item = &SafeUrl> {
        self.http.iter().chain(&self.https)
    }
}

fn parse(text: &str, origin: &'static str) -> Result<SafeUrl, NetError> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let reason = match Url::parse(&full) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            return Ok(SafeUrl::new(url));
        }
        Ok(url) => format!("{} proxies are not supported", url.scheme()),
        Err(error) => error.to_string(),
    };
    Err(NetError::Proxy { origin, reason })
}

fn exceptions(list: Option<&str>) -> Vec<Exception> {
    list.unwrap_or_default()
        .split([',', ' '])
        .filter(|entry| !entry.is_empty())
        .map(exception)
        .collect()
}

fn exception(entry: &str) -> Exception {
    if entry == "*" {
        return Exception::All;
    }
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, bits.parse().ok()),
        None => (entry, Some(128)),
    };
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if let (Ok(address), Some(bits)) = (bare.parse(), bits) {
        return Exception::Network(address, bits);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (entry, None),
    };
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    Exception::Domain(name.to_ascii_lowercase(), port)
}

impl Exception {
    fn covers(&self, host: &str, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Domain(name, at) => {
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && at.is_none_or(|at| at == port)
            }
            Self::Network(network, bits) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                bare.parse()
                    .is_ok_and(|address| same_network(address, *network, *bits))
            }
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let ignored = width - u32::from(bits).min(width);
    let shift = |value: u128| value.checked_shr(ignored).unwrap_or(0);
    shift(one) == shift(other)
}

/// `host:port` of a proxy, without its secrets.
pub(super) struct Authority<'a>(pub(super) &'a Url);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port_or_known_default().unwrap_or_default();
        write!(f, "{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::ProxyRules;

    fn via(rules: &ProxyRules, url: &str) -> Option<String> {
        rules
            .for_url(&url.parse().unwrap())
            .map(ToString::to_string)
    }

    #[test]
    fn variables_decide_by_scheme_and_exceptions_win() {
        let rules = ProxyRules::from_variables(&|name| {
            let value = match name {
                "https_proxy" => "http://u:S3CR3T@secure.example:1",
                "HTTPS_PROXY" => "http://ignored.example:9",
                "ALL_PROXY" => "plain.example:2",
                "NO_PROXY" => "in.example, .dot.example,port.example:81,10.0.0.0/8,::1",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .unwrap();
        let secure = Some("http://***:***@secure.example:1/".to_owned());
        assert_eq!(via(&rules, "https://a.example/"), secure);
        assert_eq!(via(&rules, "https://win.example/"), secure);
        assert_eq!(
            via(&rules, "http://a.example/").as_deref(),
            Some("http://plain.example:2/")
        );
        for direct in [
            "https://in.example/",
            "https://x.in.example/",
            "https://x.dot.example/",
            "http://port.example:81/",
            "http://10.1.2.3/",
            "http://[::1]:5/",
        ] {
            assert_eq!(via(&rules, direct), None, "{direct}");
        }
        assert!(via(&rules, "http://port.example:82/").is_some());
        assert!(via(&rules, "http://11.1.2.3/").is_some());
        assert!(!format!("{rules:?}").contains("S3CR3T"));
    }

    #[test]
    fn proxies_that_cannot_be_used_are_refused_without_their_secret() {
        let refused = ProxyRules::fixed("socks5://u:S3CR3T@proxy.example:1", None).unwrap_err();
        let text = format!("{refused} {refused:?}");
        assert!(text.contains("socks5 proxies are not supported"), "{text}");
        assert!(!text.contains("S3CR3T"), "{text}");
        ProxyRules::fixed("http://", None).unwrap_err();
    }
}
