//! `[runtime]`: who runs the runtime where, what it connects to, where it listens and what it writes.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::ManifestError;
use super::table::{Found, Table};
use crate::base::peer::Peer;
use crate::base::runtime::{
    self, Account, AccountName, Directory, Endpoint, Flow, HostPath, Inbound, Line, Mode, Outbound,
    Protocol, Runtime, SelinuxType, Unsound, Via,
};

const PEER: &str = "a host name, `*.` and one, an address or a block of addresses";
const PORT: &str = "a port from 1 to 65535";

pub(super) fn read(found: Option<Found<'_>>) -> Result<Option<Runtime>, ManifestError> {
    let Some(found) = found else { return Ok(None) };
    let place = found.key_place();
    let mut table = found.table("[runtime]")?;
    let account = match table.take("account") {
        None => Account::Existing,
        Some(found) => word(
            found,
            &[("existing", Account::Existing), ("create", Account::Create)],
        )?,
    };
    let user: AccountName = table.require("user")?.parsed(AccountName::EXPECTED)?;
    let group = table.take("group").map(account_name).transpose()?;
    let prefix = host_path(table.require("prefix")?)?;
    let home = table.take("home").map(host_path).transpose()?;
    let proxy = table.take("proxy").map(proxy).transpose()?;
    let repository = table.take("repository").map(endpoint).transpose()?;
    let flows = each(table.take("flow"), "[[runtime.flow]]", |table| {
        flow(table, proxy.is_some())
    })?;
    let group = group.unwrap_or_else(|| user.clone());
    let directories = each(table.take("directory"), "[[runtime.directory]]", |table| {
        directory(table, &user, &group)
    })?;
    table.finish()?;
    let runtime = Runtime {
        account,
        user,
        group,
        prefix,
        home,
        proxy,
        repository,
        flows,
        directories,
    };
    match runtime.unsound() {
        Some(Unsound { key, expected }) => Err(ManifestError::Value {
            key: key.to_owned(),
            expected,
            place,
        }),
        None => Ok(Some(runtime)),
    }
}

/// Reads each table of an array.
fn each<T>(
    found: Option<Found<'_>>,
    name: &str,
    mut one: impl FnMut(Table<'_>) -> Result<T, ManifestError>,
) -> Result<Vec<T>, ManifestError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let too_many = found.error("at most 256 tables");
    let tables = found.tables(name)?;
    if !runtime::fits(tables.len()) {
        return Err(too_many);
    }
    tables.into_iter().map(&mut one).collect()
}

/// `{ to = "api.example", port = 443, via = "proxy", purpose = "…" }`, or `{ listen = "127.0.0.1:18789", purpose = "…" }`.
fn flow(mut table: Table<'_>, has_proxy: bool) -> Result<Flow, ManifestError> {
    let protocol = match table.take("protocol") {
        None => Protocol::Tcp,
        Some(found) => word(found, &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)])?,
    };
    let purpose: Line = table.require("purpose")?.parsed(Line::EXPECTED)?;
    let flow = match table.take("listen") {
        Some(found) => inbound(found, table.take("from"), protocol, purpose)?,
        None => Flow::Out(Outbound {
            to: table.require("to")?.parsed(PEER)?,
            port: port(&table.require("port")?)?,
            protocol,
            via: via(table.take("via"), has_proxy, protocol)?,
            purpose,
        }),
    };
    table.finish()?;
    Ok(flow)
}

/// Who connects to a port of loopback is this host; elsewhere it must be said.
fn inbound(
    found: Found<'_>,
    from: Option<Found<'_>>,
    protocol: Protocol,
    purpose: Line,
) -> Result<Flow, ManifestError> {
    let unsaid = found.error("on loopback, or `from` must say who connects");
    let zero = found.error("an address and a port from 1 to 65535");
    let at: SocketAddr = found.parsed("an address and a port such as \"127.0.0.1:18789\"")?;
    let from: Peer = match from {
        Some(found) => found.parsed(PEER)?,
        None if at.ip().is_loopback() => Peer::Block(at.ip().into()),
        None => return Err(unsaid),
    };
    if at.port() == 0 {
        return Err(zero);
    }
    Ok(Flow::In(Inbound {
        listen: at.ip(),
        port: at.port(),
        protocol,
        from,
        purpose,
    }))
}

/// A proxy carries TCP (RFC 9110 section 9.3.6).
fn via(
    found: Option<Found<'_>>,
    has_proxy: bool,
    protocol: Protocol,
) -> Result<Via, ManifestError> {
    let Some(found) = found else {
        return Ok(Via::Direct);
    };
    let no_proxy = found.error("\"direct\", for `[runtime]` names no `proxy`");
    let no_tcp = found.error("\"direct\", for a proxy carries TCP only");
    match word(found, &[("direct", Via::Direct), ("proxy", Via::Proxy)])? {
        Via::Proxy if !has_proxy => Err(no_proxy),
        Via::Proxy if protocol != Protocol::Tcp => Err(no_tcp),
        via => Ok(via),
    }
}

fn directory(
    mut table: Table<'_>,
    user: &AccountName,
    group: &AccountName,
) -> Result<Directory, ManifestError> {
    let owner = table.take("owner").map(account_name).transpose()?;
    let of = table.take("group").map(account_name).transpose()?;
    let mode = match table.take("mode") {
        Some(found) => found.parsed(Mode::EXPECTED)?,
        None => Mode::USUAL,
    };
    let selinux = match table.take("selinux") {
        Some(found) => Some(found.parsed(SelinuxType::EXPECTED)?),
        None => None,
    };
    let directory = Directory {
        path: host_path(table.require("path")?)?,
        owner: owner.unwrap_or_else(|| user.clone()),
        group: of.unwrap_or_else(|| group.clone()),
        mode,
        selinux,
        why: table.require("why")?.parsed(Line::EXPECTED)?,
    };
    table.finish()?;
    Ok(directory)
}

/// What is made of a proxy speaks to it in the clear: what goes through it has TLS of its own (RFC 9110 section 9.3.6).
fn proxy(found: Found<'_>) -> Result<Endpoint, ManifestError> {
    let fail = found.error(
        "an http address: no rule and no setting for a proxy that is itself behind TLS is made",
    );
    let is_tls = match found.value.get_ref() {
        DeValue::String(text) => url::Url::parse(text).is_ok_and(|url| url.scheme() == "https"),
        _ => false,
    };
    if is_tls {
        return Err(fail);
    }
    endpoint(found)
}

/// `host:port`, or an address of the web with its scheme's port.
fn endpoint(found: Found<'_>) -> Result<Endpoint, ManifestError> {
    let fail = found.error("an address such as \"http://proxy.enclave.example:3128\"");
    let text = found.web_address()?;
    let read = url::Url::parse(&text).ok().and_then(|url| {
        let host = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
        let port = url.port_or_known_default()?;
        Some(Endpoint { host, port })
    });
    read.filter(|end| !matches!(end.host, Peer::Below(_)))
        .ok_or(fail)
}

fn account_name(found: Found<'_>) -> Result<AccountName, ManifestError> {
    found.parsed(AccountName::EXPECTED)
}

fn host_path(found: Found<'_>) -> Result<HostPath, ManifestError> {
    found.parsed(HostPath::EXPECTED)
}

fn port(found: &Found<'_>) -> Result<u16, ManifestError> {
    let number = found.number().and_then(|n| u16::try_from(n).ok());
    number.filter(|n| *n > 0).ok_or_else(|| found.error(PORT))
}

/// One of the words that a key may have.
fn word<T: Copy>(found: Found<'_>, words: &[(&str, T)]) -> Result<T, ManifestError> {
    let names: Vec<String> = words
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let fail = found.error(names.join(" or "));
    let said = found.string()?;
    let known = words.iter().find(|(name, _)| *name == said);
    known.map(|(_, value)| *value).ok_or(fail)
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use crate::base::runtime::{Flow, document, parse as read_back};

    const TEXT: &str = r#"
[runtime]
user = "svc-claw"
prefix = "/opt/claw"
proxy = "http://proxy.enclave.example:3128"
repository = "https://repo.enclave.example/"

[[runtime.flow]]
to = "api.models.example"
port = 443
via = "proxy"
purpose = "the model"

[[runtime.flow]]
listen = "127.0.0.1:18789"
purpose = "gateway"

[[runtime.directory]]
path = "/var/lib/claw"
mode = "0700"
selinux = "var_lib_t"
why = "state"
"#;

    #[test]
    fn a_runtime_is_read_with_its_defaults_and_travels() {
        let manifest = Manifest::parse("stage.toml", TEXT.as_bytes(), &[]).unwrap();
        let runtime = manifest.runtime.unwrap();
        assert_eq!(runtime.group.as_str(), "svc-claw");
        assert_eq!(runtime.repository.as_ref().unwrap().port, 443);
        assert_eq!(runtime.directories[0].owner.as_str(), "svc-claw");
        let Flow::In(inbound) = &runtime.flows[1] else {
            panic!("{:?}", runtime.flows);
        };
        assert_eq!(inbound.from.to_string(), "127.0.0.1");
        assert_eq!(read_back(&document(&runtime).unwrap()).unwrap(), runtime);
    }

    fn refused(changes: &[(&str, &str, &str)]) {
        for (from, to, said) in changes {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT, "{from}");
            let error = Manifest::parse("stage.toml", text.as_bytes(), &[]).unwrap_err();
            assert!(error.to_string().contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn what_would_harm_the_host_is_refused() {
        refused(&[
            (
                "http://proxy",
                "https://proxy",
                "`proxy` must be an http address",
            ),
            ("/var/lib/claw", "/usr", "no folder of the system"),
            ("/opt/claw", "/etc", "no folder of the system"),
            (
                "\"svc-claw\"",
                "\"root\"",
                "`user` must be an account of the runtime's own",
            ),
            (
                "/var/lib/claw",
                "/opt/claw",
                "`owner` must be \"root\" for the prefix",
            ),
            (
                "purpose = \"gateway\"",
                "from = \"10.0.0.0/8\"\npurpose = \"gateway\"",
                "`from` must be on loopback",
            ),
            (
                "[[runtime.directory]]",
                "[[runtime.directory]]\npath = \"/var/lib/claw\"\nwhy = \"x\"\n[[runtime.directory]]",
                "/var/lib/claw is there twice",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        refused(&[
            (
                "\"svc-claw\"",
                "\"svc claw\"",
                "`user` must be an account name",
            ),
            (
                "/opt/claw",
                "/opt/../claw",
                "`prefix` must be an absolute path",
            ),
            ("443", "0", "`port` must be a port"),
            ("443", "\"443\"", "`port` must be a port"),
            (
                "api.models.example",
                "https://api.models.example",
                "`to` must be a host name",
            ),
            (
                "\"proxy\"",
                "\"socks\"",
                "`via` must be \"direct\" or \"proxy\"",
            ),
            (
                "proxy = \"http://proxy.enclave.example:3128\"\n",
                "",
                "names no `proxy`",
            ),
            (
                "127.0.0.1:18789",
                "0.0.0.0:18789",
                "`from` must say who connects",
            ),
            ("127.0.0.1:18789", "127.0.0.1", "an address and a port"),
            ("0700", "4700", "`mode` must be four octal digits"),
            ("var_lib_t", "var_lib", "`selinux` must be an SELinux type"),
            ("\"state\"", "\"a\\nb\"", "`why` must be one line"),
            ("why = \"state\"\n", "", "`why` must be given"),
            (
                "listen =",
                "to = \"a.example\"\nlisten =",
                "unknown key `to`",
            ),
            ("mode =", "mod =", "unknown key `mod`"),
        ]);
    }
}
