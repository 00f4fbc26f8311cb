//! This host's Python index: `PIP_INDEX_URL`, pip's configuration files, uv's variables and `uv.toml`, else what the
//! installed pip has built in. Further indexes (`extra-index-url`) are not asked: a name lives in one index.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::text::quoted;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::net::roots;
use crate::net::settings::{Credential, Settings, web_url};

/// Name of the upstream in locks.
const UPSTREAM: &str = "pypi";
/// Largest configuration file, in bytes.
const LIMIT: u64 = 1 << 20;
/// Prints the index that pip has built in.
const BUILT_IN: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";

/// Tells `settings` where the index is. `manifest` is the address that the manifest has.
pub(super) fn apply(
    ctx: &Context,
    settings: &mut Settings,
    manifest: Option<&str>,
) -> Result<(), Failure> {
    let files = configuration(ctx)?;
    let of_pip = |key: &str| files.iter().find_map(|text| setting(text, key));
    let named = |name: &str| ctx.env(name).map(|value| Index::parse(&value));
    let plain = |url: String| Index { name: None, url };
    let known = [
        ctx.env("PIP_INDEX_URL").map(plain),
        of_pip("index-url").map(plain),
        named("UV_DEFAULT_INDEX"),
        ctx.env("UV_INDEX_URL").map(plain),
        of_uv(ctx)?,
    ];
    let mut known = known.into_iter().flatten();
    let address = match manifest {
        // What the host knows of the same index is how to get at it.
        Some(address) => known
            .find(|index| without_login(&index.url) == without_login(address))
            .unwrap_or_else(|| plain(address.to_owned())),
        None => match known.next().or_else(|| built_in(ctx).map(plain)) {
            Some(index) => index,
            None => return Ok(()),
        },
    };
    settings.set_upstream(UPSTREAM, &address.url)?;
    if let Some(base) = settings.address_of(UPSTREAM, None).cloned()
        && let Some((user, password)) = address.login(ctx)
    {
        settings.add_credential(&base, Credential::basic(&user, &password));
    }
    // Clients show it to the host: files lie beside the index, not below it.
    settings.widen_credential(UPSTREAM);
    if let Some(file) = ctx.env("PIP_CERT").or_else(|| of_pip("cert")) {
        settings.roots.extend(roots::named_roots(Path::new(&file))?);
    }
    Ok(())
}

/// An index with the name that uv may give it.
struct Index {
    name: Option<String>,
    url: String,
}

impl Index {
    /// `name=address`, or the address alone.
    fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, url)) if !name.contains(['/', ':']) => Self {
                name: Some(name.to_owned()),
                url: url.to_owned(),
            },
            _ => Self {
                name: None,
                url: text.to_owned(),
            },
        }
    }

    /// `UV_INDEX_<NAME>_USERNAME` and `UV_INDEX_<NAME>_PASSWORD`.
    fn login(&self, ctx: &Context) -> Option<(String, String)> {
        let name: String = self.name.as_ref()?.chars().map(variable).collect();
        let of = |what: &str| ctx.env(&format!("UV_INDEX_{name}_{what}"));
        let (user, password) = (of("USERNAME"), of("PASSWORD"));
        let any = user.is_some() || password.is_some();
        any.then(|| (user.unwrap_or_default(), password.unwrap_or_default()))
    }
}

/// A character of an index's name as it stands in names of variables.
fn variable(c: char) -> char {
    if c.is_ascii_alphanumeric() {
        c.to_ascii_uppercase()
    } else {
        '_'
    }
}

/// An address without user name, password and the slash at its end.
fn without_login(address: &str) -> Option<String> {
    let mut url = web_url(address)?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Texts of pip's configuration files, the one that counts most first (pip documentation, "Configuration").
fn configuration(ctx: &Context) -> Result<Vec<String>, Failure> {
    if ctx.env("PIP_CONFIG_FILE").as_deref() == Some("/dev/null") {
        return Ok(Vec::new());
    }
    let home = ctx.env("HOME").map(PathBuf::from);
    let config = ctx
        .env("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".config")));
    let files = [
        ctx.env("PIP_CONFIG_FILE").map(PathBuf::from),
        ctx.env("VIRTUAL_ENV")
            .map(|env| Path::new(&env).join("pip.conf")),
        config.map(|config| config.join("pip/pip.conf")),
        home.map(|home| home.join(".pip/pip.conf")),
        Some(PathBuf::from("/etc/xdg/pip/pip.conf")),
        Some(PathBuf::from("/etc/pip.conf")),
    ];
    let mut texts = Vec::new();
    for path in files.into_iter().flatten() {
        texts.extend(text(&path)?);
    }
    Ok(texts)
}

fn text(path: &Path) -> Result<Option<String>, Failure> {
    let Some(bytes) = fs::read_optional(path, LIMIT)? else {
        return Ok(None);
    };
    let not_text = |_bytes| {
        let path = quoted(&path.to_string_lossy());
        UsageError::new(format!("{path} is not UTF-8"))
    };
    Ok(Some(String::from_utf8(bytes).map_err(not_text)?))
}

/// A setting in an INI text: of the section for `pip install`, else of the global one.
fn setting(text: &str, key: &str) -> Option<String> {
    let mut section = "";
    let mut global = None;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[') {
            section = name.strip_suffix(']').unwrap_or_default().trim();
            continue;
        }
        // A line that is indented goes on with the value before; a comment has a whole line.
        let Some((name, value)) = line.split_once(['=', ':']) else {
            continue;
        };
        if line.starts_with([' ', '\t', '#', ';'])
            || name.trim().replace('_', "-") != key
            || value.trim().is_empty()
        {
            continue;
        }
        match section {
            "install" => return Some(value.trim().to_owned()),
            "global" => global = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    global
}

/// uv's default index in the user's or the system's `uv.toml`.
fn of_uv(ctx: &Context) -> Result<Option<Index>, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Uv {
        index_url: Option<String>,
        #[serde(default)]
        index: Vec<Listed>,
    }
    #[derive(serde::Deserialize)]
    struct Listed {
        name: Option<String>,
        url: String,
        #[serde(default)]
        default: bool,
    }
    let user = ctx.env("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| {
        let home = ctx.env("HOME")?;
        Some(PathBuf::from(home).join(".config"))
    });
    let named = ctx.env("UV_CONFIG_FILE").map(PathBuf::from);
    let user = user.map(|config| config.join("uv/uv.toml"));
    let system = PathBuf::from("/etc/uv/uv.toml");
    for path in [named, user, Some(system)].into_iter().flatten() {
        let Some(text) = text(&path)? else { continue };
        let uv: Uv = toml::from_str(&text).map_err(|error| {
            let path = quoted(&path.to_string_lossy());
            UsageError::new(format!(
                "{path} cannot be read: {}",
                quoted(error.message())
            ))
        })?;
        let default = uv.index.into_iter().find(|index| index.default);
        let default = default.map(|index| Index {
            name: index.name,
            url: index.url,
        });
        let plain = uv.index_url.map(|url| Index { name: None, url });
        if let Some(found) = default.or(plain) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What the installed pip asks when nothing is configured; `None` when there is no pip.
fn built_in(ctx: &Context) -> Option<String> {
    let output = Command::new("python3")
        .args(["-I", "-c", BUILT_IN])
        .env_clear()
        .env("PATH", ctx.env("PATH")?)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::setting;

    #[test]
    fn the_section_for_install_stands_over_the_global_one() {
        let text = "# comment\n[global]\nindex_url : https://a.example/simple\n  index-url = https://no.example/\n\
                    [list]\nindex-url = https://b.example/\n[install]\ntimeout = 3\n";
        let found = setting(text, "index-url");
        assert_eq!(found.as_deref(), Some("https://a.example/simple"));
        let more = format!("{text}index-url=https://c.example/simple/\n");
        let found = setting(&more, "index-url");
        assert_eq!(found.as_deref(), Some("https://c.example/simple/"));
        assert_eq!(setting("index-url = x", "index-url"), None);
        assert_eq!(setting("[global]\nindex-url =", "index-url"), None);
    }
}
