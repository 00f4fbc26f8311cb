//! How the change is taken back: in the repository, on the hosts, and how to see that it was.

use super::facts::Facts;
use super::tables;
use crate::base::package::EcosystemId;
use crate::page::{Block, Page, Section, Table, Tone};

/// Where it is in the packet.
pub(super) const PATH: &str = "rollback.md";

/// The page.
pub(super) fn page(facts: &Facts<'_>) -> Page {
    let statement = &facts.bundle.statement;
    let sections = [
        Some(repository(facts)),
        packages(facts),
        hosts(facts),
        Some(seen(facts)),
    ];
    Page {
        title: format!("{} {}: taking it back", statement.channel, statement.serial),
        subtitle: format!("Bundle {}", facts.bundle.id),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn repository(facts: &Facts<'_>) -> Section {
    let statement = &facts.bundle.statement;
    let (channel, serial) = (&statement.channel, statement.serial);
    let mut blocks = vec![match &facts.previous {
        Some((_, name)) => Block::Text(format!("Before this change: {name}.")),
        None => Block::Notice(
            Tone::Look,
            "nobody named the bundle before this one: stage repo list has every generation"
                .to_owned(),
        ),
    }];
    let publish = "Publish the set of bundles before it as a new generation, with fresh dates: a client takes no older state. \
                   The mark against replay stays where it is, so the bundle that is taken back can be imported again.";
    let remove = format!(
        "Where there was none before: stage repo remove --repo DIR --channel {channel} --serial {serial}"
    );
    blocks.push(Block::Text(publish.to_owned()));
    blocks.push(Block::Facts(vec![
        ("See what there is", "stage repo list --repo DIR".to_owned()),
        (
            "Take it back",
            format!("stage repo rollback --repo DIR --channel {channel} --to SERIAL"),
        ),
    ]));
    blocks.push(Block::Text(remove));
    Section {
        id: "repository",
        title: "In the repository",
        blocks,
    }
}

/// What goes back to which version.
fn packages(facts: &Facts<'_>) -> Option<Section> {
    const COLUMNS: [&str; 4] = ["ecosystem", "name", "from", "back to"];
    facts.previous.as_ref()?;
    let rows = tables::changes(facts).into_iter().filter_map(|row| {
        let [_, ecosystem, name, before, after, ..] = row.as_slice() else {
            return None;
        };
        let none = |version: &String| match version.as_str() {
            "" => "(not there)".to_owned(),
            version => version.to_owned(),
        };
        Some(vec![
            ecosystem.clone(),
            name.clone(),
            none(after),
            none(before),
        ])
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let block = if rows.is_empty() {
        Block::Notice(Tone::Good, "no package changes its version".to_owned())
    } else {
        Block::Table(Table {
            caption: "Versions".to_owned(),
            columns: &COLUMNS,
            rows,
            file: None,
        })
    };
    Some(Section {
        id: "packages",
        title: "Versions that go back",
        blocks: vec![block],
    })
}

/// What is done on the hosts, by ecosystem.
fn hosts(facts: &Facts<'_>) -> Option<Section> {
    let lock = facts.bundle.lock.as_ref()?;
    let carried = lock.packages.iter().filter(|p| p.is_carried());
    let mut ecosystems: Vec<&EcosystemId> = carried.map(|p| &p.ecosystem).collect();
    ecosystems.sort();
    ecosystems.dedup();
    let said = |ecosystem: &&EcosystemId| -> Option<(&'static str, String)> {
        Some(match ecosystem.as_str() {
            "npm" => ("npm", "put back package.json and package-lock.json of the generation before, then npm ci in the prefix".to_owned()),
            "pypi" => ("PyPI", "make the environment anew from the requirements of the generation before: pip install --require-hashes -r requirements.txt".to_owned()),
            "debian" => ("Debian", "apt-get update, then apt-get install --allow-downgrades NAME=VERSION for the table above; new packages: apt-get remove".to_owned()),
            "cargo" => ("crates", "put back Cargo.lock, then build with --locked".to_owned()),
            "file" => ("files", "put back the files of the generation before".to_owned()),
            _ => return None,
        })
    };
    let mut blocks = vec![
        Block::Text("Stop the runtime first. Its data is not touched by any of this: back it up before the change where a newer version may rewrite it.".to_owned()),
        Block::Facts(ecosystems.iter().filter_map(said).collect()),
    ];
    if let Some(runtime) = facts.runtime() {
        blocks.push(Block::Text(format!(
            "Where there was no such runtime before: remove {} and the directories in permissions/directories.csv, and the rules of network/ from the firewalls.",
            runtime.prefix
        )));
    }
    if facts.private_ca().is_some() {
        blocks.push(Block::Text(
            "The package with the private CA is removed with apt-get purge; its roots leave the system's store then.".to_owned(),
        ));
    }
    Some(Section {
        id: "hosts",
        title: "On the hosts",
        blocks,
    })
}

/// How to see that it is back.
fn seen(facts: &Facts<'_>) -> Section {
    let mut known = vec![
        ("Repository", "stage repo status --repo DIR".to_owned()),
        ("Served", "stage repo audit --repo DIR".to_owned()),
    ];
    if !facts.baselines.is_empty() {
        known.push((
            "Hosts",
            "aide --check with the configuration and the database in hids/ of the packet before"
                .to_owned(),
        ));
    }
    Section {
        id: "seen",
        title: "How to see that it is back",
        blocks: vec![Block::Facts(known)],
    }
}
