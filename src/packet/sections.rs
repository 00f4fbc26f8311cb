//! The first page: what the bundle is, what changed, what was found and waived, what nobody upstream vouches for, whether
//! it was proved, who signed, what it holds and what it needs.

use std::collections::BTreeMap;

use super::controls;
use super::facts::Facts;
use super::graph::Graph;
use super::licensing;
use super::tables;
use crate::base::text::amount;
use crate::flows::{self, staging};
use crate::hids;
use crate::page::chart;
use crate::page::{Block, Section, Table, Tone, table};
use crate::permissions;
use crate::sbom;
use crate::trust::proof::{Ended, Proof, SignedProof};

/// Every section for which there is something to say.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Section> {
    let sections = [
        summary(facts),
        changes(facts),
        findings(facts),
        vulnerabilities(facts),
        upstream(facts),
        proof(facts),
        signatures(facts),
        licenses(facts),
        contents(facts),
        network(facts),
        staging(facts),
        directories(facts),
        baselines(facts),
        certificates(facts),
        mapping(facts),
        rollback(),
    ];
    sections.into_iter().flatten().collect()
}

fn section(id: &'static str, title: &'static str, blocks: Vec<Block>) -> Option<Section> {
    (!blocks.is_empty()).then_some(Section { id, title, blocks })
}

fn summary(facts: &Facts<'_>) -> Option<Section> {
    let bundle = facts.bundle;
    let statement = &bundle.statement;
    let bytes: u64 = bundle
        .manifest
        .carried_blobs()
        .iter()
        .map(|blob| blob.size)
        .sum();
    let mut known = vec![
        ("Bundle id", bundle.id.to_string()),
        (
            "Channel and serial",
            format!("{} {}", statement.channel, statement.serial),
        ),
        ("Made", statement.created.to_string()),
        ("Refused from", statement.expires.to_string()),
        (
            "Trust root",
            format!(
                "version {}, {}",
                bundle.root.version(),
                bundle.root.fingerprint()
            ),
        ),
        (
            "Files",
            format!("{}, {}", bundle.manifest.files.len(), amount(bytes)),
        ),
    ];
    if let Some(lock) = &bundle.lock {
        known.push(("Components", sbom::members(lock, None).len().to_string()));
        let platforms: Vec<&str> = lock.target.platforms.iter().map(|p| p.as_str()).collect();
        known.push(("For", platforms.join(", ")));
        let asked: Vec<&str> = lock.requirements.iter().map(|r| r.spec.as_str()).collect();
        known.push(("Asked for", asked.join(", ")));
    }
    known.push(("Packet made by", facts.tool.to_owned()));
    let mut blocks = vec![Block::Facts(known), verified(facts)];
    blocks.extend(verdicts(facts));
    section("summary", "Summary", blocks)
}

fn verified(facts: &Facts<'_>) -> Block {
    let persons: Vec<&str> = facts
        .bundle
        .signers
        .iter()
        .map(|s| s.person.as_str())
        .collect();
    let text = format!(
        "every check of the bundle passed; signed by {}",
        persons.join(", ")
    );
    Block::Notice(Tone::Good, text)
}

/// What decides whether somebody reads on.
fn verdicts(facts: &Facts<'_>) -> Vec<Block> {
    let mut out = Vec::new();
    let (denied, warned, waived) = counted(facts);
    let said = format!("findings: {denied} deny, {warned} warn, {waived} are waived");
    let (tone, text) = match (denied, warned + waived) {
        (0, 0) => (
            Tone::Good,
            "nothing was found that anybody has to look at".to_owned(),
        ),
        (0, _) => (Tone::Look, said),
        _ => (Tone::Bad, said),
    };
    out.push(Block::Notice(tone, text));
    let said = facts.document("vulnerabilities.json");
    out.push(
        match said
            .as_ref()
            .map(|document| super::facts::text(document, "said"))
        {
            Some(said) => Block::Notice(Tone::Look, said),
            None => Block::Notice(Tone::Look, "no vulnerability database was given".to_owned()),
        },
    );
    if facts.bundle.lock.is_some() {
        let (unsigned, every) = (facts.unsigned().len(), facts.vouched().len());
        let tone = if unsigned == 0 {
            Tone::Good
        } else {
            Tone::Look
        };
        out.push(Block::Notice(
            tone,
            format!("{unsigned} of {every} files have no signature of their upstream; their digests are pinned"),
        ));
    }
    out.push(match &facts.bundle.proof {
        Some(signed) => Block::Notice(tone_of(&signed.proof), signed.words()),
        None => Block::Notice(
            Tone::Look,
            "no proof came with the bundle that it installs and works without a network".to_owned(),
        ),
    });
    out
}

/// How many findings deny, warn and are waived: those of the closure, of the flows, the directories and the private CA.
fn counted(facts: &Facts<'_>) -> (usize, usize, usize) {
    let tables = [
        tables::findings(facts),
        tables::flow_findings(facts),
        tables::permission_findings(facts),
        tables::ca_findings(facts),
    ];
    let severities = tables.iter().flatten().filter_map(|row| row.first());
    let severities: Vec<&String> = severities.collect();
    let of = |severity: &str| severities.iter().filter(|said| **said == severity).count();
    (of("deny"), of("warn"), facts.waived().len())
}

const fn tone_of(proof: &Proof) -> Tone {
    match proof.result {
        Ended::Passed => Tone::Good,
        Ended::Incomplete => Tone::Look,
        Ended::Failed | Ended::Skipped => Tone::Bad,
    }
}

fn changes(facts: &Facts<'_>) -> Option<Section> {
    let (_, name) = facts.previous.as_ref()?;
    let rows = tables::changes(facts);
    let block = if rows.is_empty() {
        Block::Notice(Tone::Good, format!("the same packages as in {name}"))
    } else {
        table(
            &format!("Changed since {name}"),
            &tables::CHANGES,
            rows,
            Some("findings/changes.csv"),
        )
    };
    section("changes", "What changed", vec![block])
}

fn findings(facts: &Facts<'_>) -> Option<Section> {
    let mut blocks = Vec::new();
    let (found, waived) = (tables::findings(facts), tables::waivers(facts));
    if !waived.is_empty() {
        blocks.push(table(
            "Waived",
            &tables::WAIVERS,
            waived,
            Some("findings/waivers.csv"),
        ));
    }
    if !found.is_empty() {
        blocks.push(table(
            "Found when the bundle was made",
            &tables::FINDINGS,
            found,
            Some("findings/findings.csv"),
        ));
    }
    section("findings", "Findings and waivers", blocks)
}

fn vulnerabilities(facts: &Facts<'_>) -> Option<Section> {
    let rows = facts.vex.rows.clone();
    if rows.is_empty() {
        return None;
    }
    let block = table("Statements", &tables::VEX, rows, Some("vex/statements.csv"));
    section("vulnerabilities", "Known vulnerabilities", vec![block])
}

fn upstream(facts: &Facts<'_>) -> Option<Section> {
    let unsigned = facts.unsigned();
    if unsigned.is_empty() {
        return None;
    }
    let rows = unsigned.iter().map(tables::upstream_row).collect();
    let note = "L4: a chain of signatures from the distributor. L3: a signature of the registry or of whoever built it. L2: a \
                digest that was reviewed with the lock. L1: a digest that the index said, seen for the first time. What is \
                below L3 stands here, every file of it.";
    section(
        "upstream",
        "Without a signature of their upstream",
        vec![
            Block::Text(note.to_owned()),
            Block::Table(Table {
                caption: "Files that no upstream signed".to_owned(),
                columns: &tables::UPSTREAM,
                rows,
                file: None,
            }),
        ],
    )
}

fn proof(facts: &Facts<'_>) -> Option<Section> {
    let SignedProof { proof, person, .. } = facts.bundle.proof.as_ref()?;
    let mut blocks = vec![
        Block::Notice(
            tone_of(proof),
            format!(
                "{}, proved at {} by {person}",
                proof.result.as_str(),
                proof.proved_at
            ),
        ),
        Block::Facts(vec![
            (
                "Host",
                format!("{}, {}", proof.host.system, proof.host.kernel),
            ),
            (
                "Watched by",
                proof
                    .host
                    .tracer
                    .clone()
                    .unwrap_or_else(|| "nothing".to_owned()),
            ),
        ]),
    ];
    blocks.push(happened(proof));
    let holes: Vec<_> = proof
        .holes
        .iter()
        .map(|hole| {
            vec![
                hole.kind.as_str().to_owned(),
                hole.what.clone(),
                hole.program.clone(),
                hole.during.clone(),
            ]
        })
        .collect();
    if !holes.is_empty() {
        blocks.push(table(
            "What it reached for and did not get",
            &["kind", "what", "program", "during"],
            holes,
            Some("proof/proof.json"),
        ));
    }
    section("proof", "Proof without a network", blocks)
}

/// What was done and what was checked.
fn happened(proof: &Proof) -> Block {
    let steps = proof.steps.iter().map(|step| {
        vec![
            step.result.as_str().to_owned(),
            step.name.clone(),
            step.detail.clone(),
        ]
    });
    let checks = proof.checks.iter().map(|one| {
        vec![
            one.result.as_str().to_owned(),
            format!("{}: {}", one.check.run, one.check.expect.words()),
            one.detail.clone(),
        ]
    });
    table(
        "Steps and checks",
        &["result", "what", "detail"],
        steps.chain(checks).collect(),
        None,
    )
}

fn signatures(facts: &Facts<'_>) -> Option<Section> {
    let rows = tables::signatures(facts);
    section(
        "signatures",
        "Who signed",
        vec![table(
            "Signatures over the bundle",
            &tables::SIGNATURES,
            rows,
            Some("signatures.csv"),
        )],
    )
}

fn licenses(facts: &Facts<'_>) -> Option<Section> {
    facts.bundle.lock.as_ref()?;
    let counted = licensing::by_license(facts).into_iter();
    let counts: Vec<(String, u64)> = counted
        .map(|(license, components)| (license, components.len() as u64))
        .collect();
    let picture = chart::bars("licenses", "Components by license", &counts, &|n| {
        n.to_string()
    });
    let mut rows: Vec<(u64, String)> = counts.into_iter().map(|(name, n)| (n, name)).collect();
    rows.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
    let rows = rows
        .into_iter()
        .map(|(n, name)| vec![name, n.to_string()])
        .collect();
    section(
        "licenses",
        "Licenses",
        vec![
            Block::Picture(
                picture,
                "Components by the license that they declare".to_owned(),
            ),
            table(
                "Licenses",
                &["license", "components"],
                rows,
                Some(licensing::PATH),
            ),
        ],
    )
}

fn contents(facts: &Facts<'_>) -> Option<Section> {
    let lock = facts.bundle.lock.as_ref()?;
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut largest: Vec<(String, u64)> = Vec::new();
    // Not every lock has every size; the bundle does.
    let manifest = &facts.bundle.manifest;
    let carried = manifest.artifacts();
    let of_blob: BTreeMap<_, u64> = manifest
        .files
        .iter()
        .map(|file| (file.digests.sha256, file.size))
        .collect();
    for package in lock.packages.iter().filter(|p| p.is_carried()) {
        let size = package.artifacts.iter().filter_map(|artifact| {
            let key = (package.ecosystem.clone(), artifact.checksum.clone());
            let size = carried.get(&key).and_then(|digest| of_blob.get(digest));
            size.copied().or(artifact.size)
        });
        let size: u64 = size.sum();
        let sum = sizes.entry(package.ecosystem.to_string()).or_default();
        *sum = sum.saturating_add(size);
        largest.push((format!("{} {}", package.ecosystem, package.id()), size));
    }
    let sizes: Vec<(String, u64)> = sizes.into_iter().collect();
    section(
        "contents",
        "What is inside",
        vec![
            Block::Picture(
                chart::bars("sizes", "Size by ecosystem", &sizes, &amount),
                "Bytes by ecosystem".to_owned(),
            ),
            Block::Picture(
                chart::bars("largest", "Largest components", &largest, &amount),
                "The largest components".to_owned(),
            ),
            Block::Picture(
                Graph::of(lock).svg(),
                "What was asked for, what that needs directly, and how many releases come with each; all of it is in sbom/dependencies.dot".to_owned(),
            ),
        ],
    )
}

fn network(facts: &Facts<'_>) -> Option<Section> {
    let runtime = facts.runtime()?;
    let rows = flows::rows(&runtime);
    let svg = flows::picture(&facts.bundle.statement.channel, &rows);
    let mut blocks = vec![
        Block::Picture(svg, "Declared flows".to_owned()),
        table(
            "Flows",
            &flows::TITLES,
            rows.iter().map(|row| flows::cells(row).to_vec()).collect(),
            Some("network/flows.csv"),
        ),
    ];
    let found = tables::flow_findings(facts);
    if !found.is_empty() {
        blocks.push(table(
            "Declared against observed",
            &tables::FINDINGS,
            found,
            Some("network/findings.csv"),
        ));
    }
    section("network", "Network flows", blocks)
}

/// What was contacted to make the bundle, outside.
fn staging(facts: &Facts<'_>) -> Option<Section> {
    let contacts = facts.egress?;
    let note = "On the connected host, before the transfer: nothing in the enclave talks to these.";
    let rows = contacts
        .iter()
        .map(|contact| staging::cells(contact).to_vec());
    section(
        "staging",
        "Contacted to make the bundle",
        vec![
            Block::Text(note.to_owned()),
            table(
                "Contacted",
                &staging::TITLES,
                rows.collect(),
                Some("network/staging-egress.csv"),
            ),
        ],
    )
}

fn rollback() -> Option<Section> {
    let text = "rollback.md says how the change is taken back, in the repository and on the hosts.";
    section(
        "rollback",
        "Taking it back",
        vec![Block::Text(text.to_owned())],
    )
}

/// The private CA, and what is packed for the hosts.
fn certificates(facts: &Facts<'_>) -> Option<Section> {
    let ca = facts.private_ca()?;
    let rows = ca.certificates.iter().map(|one| {
        vec![
            one.subject.clone(),
            one.key.clone(),
            one.not_after.to_string(),
            one.fingerprint.hex(),
        ]
    });
    let mut blocks = vec![
        Block::Text(
            "Compare the fingerprints with those that the agency tells by another way. ca/README.md says how hosts come to \
             trust them: a Debian package for the system's store, and settings for clients that have stores of their own."
                .to_owned(),
        ),
        table(
            "Root certificates",
            &["subject", "key", "valid until", "SHA-256"],
            rows.collect(),
            Some("ca/ca-bundle.pem"),
        ),
    ];
    let found = tables::ca_findings(facts);
    if !found.is_empty() {
        blocks.push(table("Found about them", &tables::FINDINGS, found, None));
    }
    section("ca", "Private CA", blocks)
}

fn directories(facts: &Facts<'_>) -> Option<Section> {
    let rows = permissions::rows(&facts.runtime()?);
    let mut blocks = vec![table(
        "Directories",
        &permissions::TITLES,
        rows.iter()
            .map(|row| permissions::cells(row).to_vec())
            .collect(),
        Some("permissions/directories.csv"),
    )];
    let found = tables::permission_findings(facts);
    if !found.is_empty() {
        blocks.push(table(
            "Declared against observed",
            &tables::FINDINGS,
            found,
            Some("permissions/findings.csv"),
        ));
    }
    section("permissions", "Directories and permissions", blocks)
}

fn baselines(facts: &Facts<'_>) -> Option<Section> {
    let rows: Vec<Vec<String>> = facts
        .baselines
        .iter()
        .map(|baseline| hids::cells(baseline).to_vec())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let note = "Computed from the bundle, before anything is installed. Below hids/, by platform: every file with its digests for AIDE, \
                fapolicyd, Wazuh, osquery and sha256sum; what may be run; what an install makes; what nobody can know before.";
    let blocks = vec![
        Block::Text(note.to_owned()),
        table("Files by platform", &hids::TITLES, rows, None),
    ];
    section("hids", "Baseline of file integrity", blocks)
}

fn mapping(facts: &Facts<'_>) -> Option<Section> {
    let note = "Identifiers with the version they belong to; the words are ours. What is not listed is not covered by this packet.";
    section(
        "controls",
        "Controls",
        vec![
            Block::Text(note.to_owned()),
            table(
                "Evidence by control",
                &controls::TITLES,
                controls::rows(facts),
                Some("controls.csv"),
            ),
            Block::Text(
                "The same for tools: oscal/component-definition.json (OSCAL), and, where a rule of the STIG is concerned, checklist.cklb \
                 (STIG Viewer 3, STIG Manager): there a rule is open where the bundle breaks it, and not reviewed otherwise, since nobody \
                 was on the host."
                    .to_owned(),
            ),
        ],
    )
}
