//! Name constraints of a CA (RFC 5280, section 4.2.1.10): for which names it may issue.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use crate::base::text::escaped;

/// Why a CA with these constraints cannot issue for `host`; `None`: it can.
pub(super) fn refuses(constraints: &NameConstraints<'_>, host: &str) -> Option<String> {
    let listed = |list: Option<&[GeneralSubtree<'_>]>| -> Vec<bool> {
        let subtrees = list.unwrap_or_default().iter();
        subtrees
            .filter_map(|subtree| covers(&subtree.base, host))
            .collect()
    };
    if listed(constraints.excluded_subtrees.as_deref()).contains(&true) {
        return Some("it excludes that name".to_owned());
    }
    let permitted = listed(constraints.permitted_subtrees.as_deref());
    if permitted.is_empty() || permitted.contains(&true) {
        return None;
    }
    Some(format!("it permits only {}", words(constraints)))
}

/// Whether a subtree covers a host; `None`: it is about another kind of name.
fn covers(base: &GeneralName<'_>, host: &str) -> Option<bool> {
    match (base, host.parse::<IpAddr>()) {
        (GeneralName::IPAddress(block), Ok(address)) => in_block(block, address),
        (GeneralName::DNSName(domain), Err(_not_address)) => Some(in_domain(domain, host)),
        _ => None,
    }
}

fn in_domain(domain: &str, host: &str) -> bool {
    let (domain, host) = (domain.to_ascii_lowercase(), host.to_ascii_lowercase());
    match host.strip_suffix(&domain) {
        Some(rest) => rest.is_empty() || domain.starts_with('.') || rest.ends_with('.'),
        None => domain.is_empty(),
    }
}

/// An address and a mask of the same length.
fn in_block(block: &[u8], address: IpAddr) -> Option<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if block.len() != octets.len() * 2 {
        return None;
    }
    let (base, mask) = block.split_at(octets.len());
    let mut all = base.iter().zip(mask).zip(&octets);
    Some(all.all(|((base, mask), octet)| base & mask == octet & mask))
}

/// The names that are permitted and excluded.
pub(super) fn words(constraints: &NameConstraints<'_>) -> String {
    let list = |list: Option<&[GeneralSubtree<'_>]>| {
        let names: Vec<String> = list
            .unwrap_or_default()
            .iter()
            .map(|subtree| name(&subtree.base))
            .collect();
        names.join(", ")
    };
    match (
        list(constraints.permitted_subtrees.as_deref()),
        list(constraints.excluded_subtrees.as_deref()),
    ) {
        (permitted, excluded) if excluded.is_empty() => permitted,
        (permitted, excluded) if permitted.is_empty() => format!("all but {excluded}"),
        (permitted, excluded) => format!("{permitted}, but not {excluded}"),
    }
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(domain) => escaped(domain),
        GeneralName::IPAddress(block) => address(block),
        other => escaped(&other.to_string()),
    }
}

/// `192.0.2.0/255.255.255.0`, and addresses without a mask as they are.
fn address(block: &[u8]) -> String {
    let ip = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    };
    if let Some(whole) = ip(block) {
        return whole.to_string();
    }
    let (base, mask) = block.split_at(block.len() / 2);
    match (ip(base), ip(mask)) {
        (Some(base), Some(mask)) => format!("{base}/{mask}"),
        _ => "an address".to_owned(),
    }
}

/// The names that a server's certificate is for.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let found = certificate.subject_alternative_name().ok().flatten();
    let names = found.map(|found| found.value.general_names.iter().map(name).collect());
    names.unwrap_or_default()
}
