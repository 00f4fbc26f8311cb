//! What the connected host contacted to make a bundle, for whoever lets it through.

use std::collections::{BTreeMap, BTreeSet};

use super::proxy;
use crate::base::egress::{Contact, authority};
use crate::base::made::Made;
use crate::base::peer::Peer;
use crate::base::sheet::titled;

/// Titles of the table.
pub const TITLES: [&str; 4] = ["host", "port", "scheme", "through the proxy"];
/// Where squid listens unless it is told otherwise.
const SQUID: u16 = 3128;

/// A contact as a row of the table.
pub fn cells(contact: &Contact) -> [String; 4] {
    let via = contact.via.as_ref();
    [
        contact.host.to_string(),
        contact.port.to_string(),
        contact.scheme.as_str().to_owned(),
        via.map(|proxy| authority(&proxy.host, proxy.port))
            .unwrap_or_default(),
    ]
}

/// The table, and a configuration of squid that lets through these hosts and nothing else.
pub fn files(channel: &str, contacts: &[Contact]) -> Vec<Made> {
    let mut ports: BTreeMap<u16, BTreeSet<&Peer>> = BTreeMap::new();
    for contact in contacts {
        ports.entry(contact.port).or_default().insert(&contact.host);
    }
    let title = format!("What was contacted to make a bundle of {channel}");
    vec![
        Made::new(
            "staging-egress.csv",
            titled(&TITLES, contacts.iter().map(cells)),
        ),
        Made::new(
            "staging-squid.conf",
            proxy::allow_list(&title, SQUID, &ports),
        ),
    ]
}
