//! What is shown to registries, and which of several is the nearest to an address.

use std::fmt;

use data_encoding::BASE64;
use reqwest::header::{self, HeaderName};
use url::Url;

/// Text that is sent but never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a registry is shown so that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: …` as it stands, as cargo sends a registry's token.
    Token(Secret),
    /// `Authorization: Basic …`: the Base64 of `user:password` (RFC 7617).
    Basic(Secret),
    /// `X-Api-Key: …`, as Dependency-Track wants it.
    Key(Secret),
}

impl Credential {
    /// From user name and password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic(Secret(
            BASE64.encode(format!("{user}:{password}").as_bytes()),
        ))
    }

    /// Name of the header that it goes into.
    pub(super) fn name(&self) -> HeaderName {
        match self {
            Self::Bearer(_) | Self::Token(_) | Self::Basic(_) => header::AUTHORIZATION,
            Self::Key(_) => HeaderName::from_static("x-api-key"),
        }
    }

    pub(super) fn header(&self) -> String {
        match self {
            Self::Bearer(secret) => format!("Bearer {}", secret.0),
            Self::Token(secret) | Self::Key(secret) => secret.0.clone(),
            Self::Basic(secret) => format!("Basic {}", secret.0),
        }
    }
}

/// The value of the longest prefix of `url`: same scheme, host and port, and a path below it.
pub(super) fn longest<'a, T>(list: &'a [(Url, T)], url: &Url) -> Option<&'a T> {
    list.iter()
        .filter(|(prefix, _)| is_below(url, prefix))
        .max_by_key(|(prefix, _)| prefix.path().len())
        .map(|(_, value)| value)
}

/// Same scheme, host and port, and a path below that of `prefix`.
pub(super) fn is_below(url: &Url, prefix: &Url) -> bool {
    prefix.origin() == url.origin() && url.path().starts_with(prefix.path())
}

pub(super) fn segments_in_common(one: &Url, other: &Url) -> usize {
    let segments = |url: &'_ Url| -> Vec<String> {
        let all = url.path_segments().into_iter().flatten();
        all.filter(|s| !s.is_empty()).map(str::to_owned).collect()
    };
    let pairs = segments(one).into_iter().zip(segments(other));
    pairs.take_while(|(a, b)| a == b).count()
}
