//! Who was contacted to make a bundle: kept beside the lock as `stage.egress.json` on the host that did it, and shown to
//! those who let flows through. It is no part of a bundle, which does not depend on where it was made.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::base::json::{self, JsonError};
use crate::base::limits::LIMITS;
use crate::base::peer::Peer;
use crate::base::runtime::Endpoint;

/// Name of the document.
pub const NAME: &str = "stage.egress.json";
/// Most contacts of a document; others are an attack or a mistake.
const MOST: usize = 10_000;
const SCHEMA: &str = "stage/egress/v1";

/// How a host was spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP (RFC 9110), in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As URLs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host that was contacted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Who.
    pub host: Peer,
    /// The port there.
    pub port: u16,
    /// How.
    pub scheme: Scheme,
    /// The proxy in between.
    pub via: Option<Endpoint>,
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        write!(f, "{scheme}://{}", authority(&self.host, self.port))?;
        match &self.via {
            Some(proxy) => write!(f, " via {}", authority(&proxy.host, proxy.port)),
            None => Ok(()),
        }
    }
}

/// `host:port` (RFC 3986 section 3.2).
pub fn authority(host: &Peer, port: u16) -> String {
    match host {
        Peer::Block(IpNet::V6(block)) => format!("[{}]:{port}", block.addr()),
        host => format!("{host}:{port}"),
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    contacts: BTreeSet<Contact>,
    schema: String,
}

/// A document that is not one.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// No JSON in canonical form.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Something else in it.
    #[error("it is no list of contacts: {0}")]
    Form(String),
}

/// The canonical bytes of the document, with a newline.
pub fn document(contacts: &BTreeSet<Contact>) -> Vec<u8> {
    let document = Document {
        contacts: contacts.clone(),
        schema: SCHEMA.to_owned(),
    };
    let mut bytes = json::to_canonical(&document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads the document.
///
/// # Errors
/// It is not one, or it is longer than one may be.
pub fn parse(bytes: &[u8]) -> Result<BTreeSet<Contact>, EgressError> {
    let value = json::parse(bytes, LIMITS.document)?;
    let form = |reason: String| EgressError::Form(crate::base::text::visible(&reason));
    let document: Document =
        serde_json::from_value(value).map_err(|error| form(error.to_string()))?;
    if document.schema != SCHEMA {
        return Err(form(format!("its schema is not {SCHEMA}")));
    }
    if document.contacts.len() > MOST {
        return Err(form(format!("more than {MOST} contacts")));
    }
    Ok(document.contacts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Contact, Scheme, document, parse};

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let contact = Contact {
            host: "Index.example".parse().unwrap(),
            port: 443,
            scheme: Scheme::Https,
            via: None,
        };
        assert_eq!(contact.to_string(), "https://index.example:443");
        let bytes = document(&BTreeSet::from([contact.clone()]));
        assert_eq!(parse(&bytes).unwrap(), BTreeSet::from([contact]));
        for bad in [
            "{}",
            "{\"contacts\":[],\"schema\":\"stage/egress/v2\"}",
            "{\"contacts\":[{\"host\":\"a b\",\"port\":1,\"scheme\":\"http\",\"via\":null}],\"schema\":\"stage/egress/v1\"}",
            "{\"contacts\":[{\"host\":\"a\",\"port\":1,\"scheme\":\"ftp\",\"via\":null}],\"schema\":\"stage/egress/v1\"}",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
