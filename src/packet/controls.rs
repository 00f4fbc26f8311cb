//! Which part of the packet is evidence for which control. Identifiers and the versions they belong to, with words of our
//! own: NIST SP 800-53 Rev. 5 and DISA's STIG are works of the US government, texts of ISO, AICPA and CIS are not repeated.

use super::facts::Facts;
use super::stig;

/// Titles of the table.
pub(super) const TITLES: [&str; 4] = ["standard", "control", "what the packet shows", "where"];

const NIST: &str = "NIST SP 800-53 Rev. 5";
const SOC2: &str = "SOC 2 (TSC 2017)";
const ISO: &str = "ISO/IEC 27001:2013 Annex A";
const CIS_UBUNTU: &str = "CIS Ubuntu Linux 22.04 LTS Benchmark 2.0.0";
const CIS_DEBIAN: &str = "CIS Debian Linux 12 Benchmark 1.1.0";

/// When a row is true.
type When = fn(&Facts<'_>) -> bool;

/// Standard, control, what it shows, where, and when there is something to show.
const CONTROLS: &[(&str, &str, &str, &str, When)] = &[
    (
        NIST,
        "AC-6",
        "which account may write where, and what is only read",
        "permissions/directories.csv",
        has_runtime,
    ),
    (
        NIST,
        "CM-2",
        "what is installed on each platform, before it is",
        "hids",
        has_baseline,
    ),
    (
        NIST,
        "CM-3",
        "who signed the change when, and under which ticket where one was named",
        "signatures.csv",
        always,
    ),
    (
        NIST,
        "CM-3(2)",
        "that it was installed and checked before it travelled",
        "proof/proof.json",
        has_proof,
    ),
    (
        NIST,
        "CM-6",
        "settings of directories and accounts, as files that set them",
        "permissions/ansible.yml",
        has_runtime,
    ),
    (
        NIST,
        "CM-7",
        "the only ports and peers that are needed",
        "network/flows.csv",
        has_runtime,
    ),
    (
        NIST,
        "CM-7(5)",
        "under which approval each package comes in",
        "evidence/approved.json",
        has_approved,
    ),
    (
        NIST,
        "CM-8",
        "every component with version, license and digests",
        "sbom/bundle.cdx.json",
        has_lock,
    ),
    (
        NIST,
        "CM-10",
        "under which license each component is used",
        "sbom/components.csv",
        has_lock,
    ),
    (
        NIST,
        "CM-14",
        "which components have a signature of their upstream",
        "findings/upstream.csv",
        has_lock,
    ),
    (
        NIST,
        "RA-5",
        "known vulnerabilities, and by which database",
        "evidence/vulnerabilities.json",
        has_vulnerabilities,
    ),
    (
        NIST,
        "SC-7",
        "every flow, and the rules that let it through",
        "network/flows.csv",
        has_runtime,
    ),
    (
        NIST,
        "SC-17",
        "which certificate authorities hosts are to trust",
        "ca/ca-bundle.pem",
        has_ca,
    ),
    (
        NIST,
        "SI-2",
        "for each known vulnerability whether it affects what is carried",
        "vex/openvex.json",
        has_vex,
    ),
    (
        NIST,
        "SI-7",
        "digests of every file of the bundle and of this packet",
        "manifest.json",
        always,
    ),
    (
        NIST,
        "SI-7(1)",
        "what every installed file must be, for the tool that compares",
        "hids",
        has_baseline,
    ),
    (
        NIST,
        "SI-7(15)",
        "that the signatures over the bundle were verified",
        "signatures.csv",
        always,
    ),
    (
        NIST,
        "SR-3",
        "what was found and what was waived by whom",
        "findings/findings.csv",
        always,
    ),
    (
        NIST,
        "SR-4",
        "where every component comes from",
        "findings/upstream.csv",
        has_lock,
    ),
    (
        NIST,
        "SR-11",
        "what each component's bytes were held against",
        "findings/upstream.csv",
        has_lock,
    ),
    (
        SOC2,
        "CC5.2",
        "the change, who approved it, and what was checked",
        "index.html",
        always,
    ),
    (
        ISO,
        "A.9.1.2",
        "which networks and services are used",
        "network/flows.csv",
        has_runtime,
    ),
    (
        ISO,
        "A.12.5.1",
        "what is installed, and who approved it",
        "sbom/components.csv",
        has_lock,
    ),
    (
        CIS_UBUNTU,
        "6.1.2",
        "what AIDE compares with",
        "hids",
        has_baseline,
    ),
    (
        CIS_DEBIAN,
        "6.3.2",
        "what AIDE compares with",
        "hids",
        has_baseline,
    ),
];

/// The rows for which the packet has something to show.
pub(super) fn rows(facts: &Facts<'_>) -> Vec<Vec<String>> {
    let shown = CONTROLS.iter().filter(|(.., when)| when(facts));
    let mut rows: Vec<Vec<String>> = shown
        .map(|(standard, control, what, place, _)| {
            [*standard, *control, *what, *place]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    let rules = stig::rows(facts).into_iter();
    rows.extend(rules.map(|rule| [&[stig::CITED.to_owned()], &rule[..]].concat()));
    rows
}

/// Of NIST SP 800-53: control, what the packet shows of it, and where.
pub(super) fn nist(facts: &Facts<'_>) -> Vec<(&'static str, &'static str, &'static str)> {
    let shown = CONTROLS.iter();
    shown
        .filter(|(standard, .., when)| *standard == NIST && when(facts))
        .map(|(_, control, what, place, _)| (*control, *what, *place))
        .collect()
}

const fn always(_facts: &Facts<'_>) -> bool {
    true
}

const fn has_lock(facts: &Facts<'_>) -> bool {
    facts.bundle.lock.is_some()
}

const fn has_proof(facts: &Facts<'_>) -> bool {
    facts.bundle.proof.is_some()
}

fn has_runtime(facts: &Facts<'_>) -> bool {
    facts.runtime().is_some()
}

fn has_approved(facts: &Facts<'_>) -> bool {
    facts.document("approved.json").is_some()
}

fn has_vulnerabilities(facts: &Facts<'_>) -> bool {
    facts.document("vulnerabilities.json").is_some()
}

const fn has_baseline(facts: &Facts<'_>) -> bool {
    !facts.baselines.is_empty()
}

fn has_ca(facts: &Facts<'_>) -> bool {
    facts.private_ca().is_some()
}

fn has_vex(facts: &Facts<'_>) -> bool {
    facts.vex.documents.contains_key("vex/openvex.json")
}
