//! Where a crates registry keeps its downloads: the `dl` of its index's `config.json` (The Cargo Book, "Registry Index").
//! Locks name a crate as `<name>/<name>-<version>.crate`; which address that is, the template decides.

use serde_json::Value;
use url::Url;

use crate::base::digest::UpstreamChecksum;
use crate::eco::cargo::index_folder;

/// A template such as `https://dl.example/{crate}/{version}`. Without any marker, `/{crate}/{version}/download` follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    /// Scheme, host and port.
    host: Url,
    /// What follows, with markers.
    path: String,
}

/// Where the `config.json` of an index says that the crate at `path` (`<name>/<name>-<version>.crate`) is.
pub(crate) fn locate(config: &[u8], path: &str, checksum: &UpstreamChecksum) -> Option<String> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let template = Template::parse(config.get("dl")?.as_str()?)?;
    Some(template.url(path, checksum)?.into())
}

const MARKERS: [&str; 5] = [
    "{crate}",
    "{version}",
    "{prefix}",
    "{lowerprefix}",
    "{sha256-checksum}",
];

impl Template {
    /// Reads a template: an `http` or `https` address whose scheme, host and user hold no marker. User name and
    /// password are left out, as credentials are configured and not taken from an answer.
    fn parse(text: &str) -> Option<Self> {
        let mut text = text.to_owned();
        if !MARKERS.iter().any(|marker| text.contains(marker)) {
            text = format!(
                "{}/{{crate}}/{{version}}/download",
                text.trim_end_matches('/')
            );
        }
        let after = text.find("://").map_or(0, |at| at + 3);
        let path = text.get(after..)?.find('/').map(|at| at + after)?;
        let (host, path) = (text.get(..path)?, text.get(path..)?);
        let base = Url::parse(host).ok().filter(|url| {
            let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
            is_web && !host.contains(['{', '}', '?', '#'])
        })?;
        Some(Self {
            host: Url::parse(&base.origin().ascii_serialization()).ok()?,
            path: path.to_owned(),
        })
    }

    /// The address of `<name>/<name>-<version>.crate` with these bytes; `None` when the path is not of that form.
    fn url(&self, path: &str, checksum: &UpstreamChecksum) -> Option<Url> {
        let (name, file) = path.split_once('/')?;
        let version = file
            .strip_prefix(name)?
            .strip_prefix('-')?
            .strip_suffix(".crate")?;
        let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let of_version = |b: u8| of_name(b) || b".+".contains(&b);
        if name.is_empty() || !name.bytes().all(of_name) || !version.bytes().all(of_version) {
            return None;
        }
        let UpstreamChecksum::Sha256(digest) = checksum else {
            return None;
        };
        let prefix = index_folder(name);
        let path = self
            .path
            .replace("{crate}", name)
            .replace("{version}", version)
            .replace("{prefix}", &prefix)
            .replace("{lowerprefix}", &prefix.to_ascii_lowercase())
            .replace("{sha256-checksum}", &digest.hex());
        self.host
            .join(&path)
            .ok()
            .filter(|url| url.origin() == self.host.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::base::digest::{Digest, UpstreamChecksum};

    fn url(template: &str, path: &str) -> Option<String> {
        let checksum = UpstreamChecksum::Sha256(Digest::of(b""));
        Some(Template::parse(template)?.url(path, &checksum)?.into())
    }

    #[test]
    fn markers_and_no_markers() {
        let path = "Ripgrep/Ripgrep-15.2.0+b.crate";
        let empty = Digest::of(b"").hex();
        for (template, expected) in [
            (
                "https://dl.example/api/v1/crates",
                "https://dl.example/api/v1/crates/Ripgrep/15.2.0+b/download",
            ),
            (
                "https://dl.example/api/",
                "https://dl.example/api/Ripgrep/15.2.0+b/download",
            ),
            (
                "http://u:p@dl.example:443/{crate}-{version}.crate",
                "http://dl.example:443/Ripgrep-15.2.0+b.crate",
            ),
            (
                "https://dl.example/{prefix}/{lowerprefix}/x",
                "https://dl.example/Ri/pg/ri/pg/x",
            ),
        ] {
            assert_eq!(url(template, path).as_deref(), Some(expected), "{template}");
        }
        let by_digest = url("https://dl.example/{sha256-checksum}", path).unwrap();
        assert_eq!(by_digest, format!("https://dl.example/{empty}"));
    }

    #[test]
    fn other_paths_and_other_schemes_have_no_address() {
        for template in [
            "",
            "x",
            "/crates",
            "../crates",
            "ftp://dl.example/",
            "https://{crate}.example/x",
            "https:///x",
        ] {
            assert_eq!(url(template, "a/a-1.0.0.crate"), None, "{template}");
        }
        for path in [
            "a",
            "a/b-1.0.0.crate",
            "a/a-1.0.0.tgz",
            "../a/a-1.crate",
            "/-1.crate",
            "a/a-../x.crate",
            "a/a-1%2f.crate",
        ] {
            assert_eq!(url("https://dl.example/x", path), None, "{path}");
        }
    }

    #[test]
    fn the_index_s_config_says_where_a_crate_is() {
        let checksum = UpstreamChecksum::Sha256(Digest::of(b""));
        let found = |config: &str| super::locate(config.as_bytes(), "a/a-1.0.0.crate", &checksum);
        let config = r#"{"dl":"https://dl.example/{crate}/{version}","api":null}"#;
        assert_eq!(found(config).unwrap(), "https://dl.example/a/1.0.0");
        for bad in ["{}", "[", r#"{"dl":1}"#, r#"{"dl":"ftp://dl.example"}"#] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
