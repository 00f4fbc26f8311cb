//! `[network] credentials` of the manifest: hosts and where their secrets are. The manifest is committed, so no secret
//! stands in it.

use std::path::PathBuf;

use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Table};

/// What one host is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkCredential {
    /// `host`, or `host:port` where the port is not that of the scheme.
    pub host: String,
    /// What it is shown.
    pub login: Login,
}

/// Kind of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// `Authorization: Bearer` (RFC 6750).
    Token(SecretSource),
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// User name.
        user: String,
        /// Where the password is.
        password: SecretSource,
    },
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, relative to the manifest's folder.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

/// Reads the array.
pub(super) fn read(found: Found<'_>) -> Result<Vec<NetworkCredential>, ManifestError> {
    let items = found.array()?.into_iter();
    items
        .map(|item| one(item.table("[network] credentials")?))
        .collect()
}

fn one(mut table: Table<'_>) -> Result<NetworkCredential, ManifestError> {
    let place = table.place();
    let host = table.require("host")?;
    let fail = host.error("a host such as \"nexus.example\" or \"nexus.example:8443\"");
    let host = host.string()?;
    let plain = url::Url::parse(&format!("https://{host}/")).is_ok_and(|url| {
        url.path() == "/" && url.username().is_empty() && url.password().is_none()
    });
    if !plain || host.contains(['/', '@', '?', '#']) {
        return Err(fail);
    }
    let token = source(&mut table, "token-file", "token-env")?;
    let password = source(&mut table, "password-file", "password-env")?;
    let user = table.take("user").map(Found::string).transpose()?;
    table.finish()?;
    let login = match (token, user, password) {
        (Some(token), None, None) => Login::Token(token),
        (None, Some(user), Some(password)) => Login::Basic { user, password },
        _ => {
            return Err(ManifestError::Value {
                key: "credentials".to_owned(),
                expected: "`token-file` or `token-env`, or else `user` with `password-file` or `password-env`"
                    .to_owned(),
                place,
            });
        }
    };
    Ok(NetworkCredential { host, login })
}

fn source(
    table: &mut Table<'_>,
    file: &'static str,
    env: &'static str,
) -> Result<Option<SecretSource>, ManifestError> {
    let path = table.take(file).map(Found::string).transpose()?;
    let Some(found) = table.take(env) else {
        return Ok(path.map(|path| SecretSource::File(PathBuf::from(path))));
    };
    if path.is_some() {
        return Err(found.error(format!("absent where `{file}` is given")));
    }
    Ok(Some(SecretSource::Env(found.string()?)))
}
