//! Rules of a STIG for which the packet has evidence, and the checklist (CKLB) that says so.
//!
//! Nobody was on the host when a packet is made: a rule is `not_reviewed`, with the place of its evidence, or it is `open`
//! where what the bundle brings breaks it. It is never closed here. Titles are DISA's, a work of the US government.
//!
//! The form is that of STIG Viewer 3 (CKLB 1.0), as STIG Manager reads it.

use serde_json::{Value, json};

use super::facts::Facts;
use crate::base::json;
use crate::base::package::EcosystemId;
use crate::flows;

/// Where the checklist is in the packet.
pub(super) const PATH: &str = "checklist.cklb";
/// The STIG, as people cite it.
pub(super) const CITED: &str = "DISA STIG Ubuntu 22.04 V2R8";
const ID: &str = "CAN_Ubuntu_22-04_LTS_STIG";
const TITLE: &str = "Canonical Ubuntu 22.04 LTS Security Technical Implementation Guide";
const VERSION: &str = "2";
const RELEASE: &str = "Release: 8 Benchmark Date: 01 Apr 2026";
/// Most subjects that a finding lists.
const MOST: usize = 20;

/// What a packet says of a rule.
enum Look {
    /// Here is what helps to decide.
    Evidence,
    /// What the bundle brings breaks it: these.
    Open(Vec<String>),
}

/// A rule.
pub(super) struct Rule {
    group: &'static str,
    /// With the revision of its text.
    id: &'static str,
    version: &'static str,
    severity: &'static str,
    srg: &'static str,
    ccis: &'static [&'static str],
    title: &'static str,
    /// What the packet shows of it.
    shows: &'static str,
    /// Where; empty: nowhere in particular.
    place: &'static str,
    /// `None`: the packet has nothing to show.
    look: fn(&Facts<'_>) -> Option<Look>,
}

/// Rules, with their identifiers in that release of the STIG.
const RULES: &[Rule] = &[
    Rule {
        group: "V-260476",
        id: "SV-260476r1015003_rule",
        version: "UBTU-22-214010",
        severity: "low",
        srg: "SRG-OS-000366-GPOS-00153",
        ccis: &["CCI-003992", "CCI-001749"],
        title: "Ubuntu 22.04 LTS must be configured so that the Advance Package Tool (APT) prevents the installation of patches, service packs, device drivers, or operating system components without verification they have been digitally signed using a certificate that is recognized and approved by the organization.",
        shows: "which Debian packages a chain of signatures of their distributor vouches for",
        place: "findings/upstream.csv",
        look: |facts| (!debian(facts).is_empty()).then_some(Look::Evidence),
    },
    Rule {
        group: "V-260480",
        id: "SV-260480r991589_rule",
        version: "UBTU-22-215020",
        severity: "low",
        srg: "SRG-OS-000480-GPOS-00227",
        ccis: &["CCI-000366"],
        title: "Ubuntu 22.04 LTS must not have the \"systemd-timesyncd\" package installed.",
        shows: "that this transfer does not bring the package, or that it does",
        place: "sbom/components.csv",
        look: |facts| without(facts, &["systemd-timesyncd"]),
    },
    Rule {
        group: "V-260481",
        id: "SV-260481r991589_rule",
        version: "UBTU-22-215025",
        severity: "low",
        srg: "SRG-OS-000480-GPOS-00227",
        ccis: &["CCI-000366"],
        title: "Ubuntu 22.04 LTS must not have the \"ntp\" package installed.",
        shows: "that this transfer does not bring the package, or that it does",
        place: "sbom/components.csv",
        look: |facts| without(facts, &["ntp"]),
    },
    Rule {
        group: "V-260482",
        id: "SV-260482r958478_rule",
        version: "UBTU-22-215030",
        severity: "high",
        srg: "SRG-OS-000095-GPOS-00049",
        ccis: &["CCI-000381"],
        title: "Ubuntu 22.04 LTS must not have the \"rsh-server\" package installed.",
        shows: "that this transfer does not bring the package, or that it does",
        place: "sbom/components.csv",
        look: |facts| without(facts, &["rsh-server", "rsh-redone-server"]),
    },
    Rule {
        group: "V-260483",
        id: "SV-260483r987796_rule",
        version: "UBTU-22-215035",
        severity: "high",
        srg: "SRG-OS-000074-GPOS-00042",
        ccis: &["CCI-000197"],
        title: "Ubuntu 22.04 LTS must not have the \"telnet\" package installed.",
        shows: "that this transfer does not bring the package, or that it does",
        place: "sbom/components.csv",
        look: |facts| without(facts, &["telnetd", "telnetd-ssl", "inetutils-telnetd"]),
    },
    Rule {
        group: "V-260486",
        id: "SV-260486r991560_rule",
        version: "UBTU-22-232015",
        severity: "medium",
        srg: "SRG-OS-000259-GPOS-00100",
        ccis: &["CCI-001499"],
        title: "Ubuntu 22.04 LTS must have system commands set to a mode of \"755\" or less permissive.",
        shows: "the mode of every file that is installed",
        place: "hids",
        look: |facts| writable(facts, is_command),
    },
    Rule {
        group: "V-260487",
        id: "SV-260487r1107262_rule",
        version: "UBTU-22-232020",
        severity: "medium",
        srg: "SRG-OS-000259-GPOS-00100",
        ccis: &["CCI-001499"],
        title: "Ubuntu 22.04 LTS library files must have mode \"755\" or less permissive.",
        shows: "the mode of every file that is installed",
        place: "hids",
        look: |facts| writable(facts, is_library),
    },
    Rule {
        group: "V-260513",
        id: "SV-260513r1137695_rule",
        version: "UBTU-22-232145",
        severity: "medium",
        srg: "SRG-OS-000138-GPOS-00069",
        ccis: &["CCI-001090"],
        title: "Ubuntu 22.04 LTS must set a sticky bit on all public directories to prevent unauthorized and unintended information transferred via shared system resources.",
        shows: "the mode of every directory that the runtime needs",
        place: "permissions/directories.csv",
        look: public_directories,
    },
    Rule {
        group: "V-260516",
        id: "SV-260516r1184061_rule",
        version: "UBTU-22-251020",
        severity: "medium",
        srg: "SRG-OS-000480-GPOS-00232",
        ccis: &["CCI-000366"],
        title: "Ubuntu 22.04 LTS must have an application firewall enabled.",
        shows: "the rules that let through what the runtime needs, for ufw, nftables and iptables",
        place: "network",
        look: |facts| facts.runtime().map(|_| Look::Evidence),
    },
    Rule {
        group: "V-260518",
        id: "SV-260518r958480_rule",
        version: "UBTU-22-251030",
        severity: "medium",
        srg: "SRG-OS-000096-GPOS-00050",
        ccis: &["CCI-000382"],
        title: "Ubuntu 22.04 LTS must be configured to prohibit or restrict the use of functions, ports, protocols, and/or services, as defined in the PPSM CAL and vulnerability assessments.",
        shows: "ports and protocols that the runtime uses, and those that nobody declared",
        place: "network/flows.csv",
        look: ports,
    },
    Rule {
        group: "V-260580",
        id: "SV-260580r958868_rule",
        version: "UBTU-22-631010",
        severity: "medium",
        srg: "SRG-OS-000403-GPOS-00182",
        ccis: &["CCI-002470"],
        title: "Ubuntu 22.04 LTS must use DOD PKI-established certificate authorities for verification of the establishment of protected sessions.",
        shows: "which certificate authorities hosts are to trust, with their fingerprints",
        place: "ca/ca-bundle.pem",
        look: |facts| facts.private_ca().map(|_| Look::Evidence),
    },
    Rule {
        group: "V-260583",
        id: "SV-260583r1155208_rule",
        version: "UBTU-22-651015",
        severity: "medium",
        srg: "SRG-OS-000445-GPOS-00199",
        ccis: &["CCI-002696"],
        title: "Ubuntu 22.04 LTS must configure Advanced Intrusion Detection Environment (AIDE) to perform file integrity checking on the file system.",
        shows: "the configuration and the database with which AIDE checks what is installed",
        place: "hids",
        look: |facts| (!facts.baselines.is_empty()).then_some(Look::Evidence),
    },
    Rule {
        group: "V-279937",
        id: "SV-279937r1156364_rule",
        version: "UBTU-22-215040",
        severity: "high",
        srg: "SRG-OS-000095-GPOS-00049",
        ccis: &["CCI-000381"],
        title: "Ubuntu 22.04 LTS must not have the nfs-kernel-server package installed.",
        shows: "that this transfer does not bring the package, or that it does",
        place: "sbom/components.csv",
        look: |facts| without(facts, &["nfs-kernel-server", "nfs-common"]),
    },
];

/// Control, what the packet shows of it, and where: for the table of controls.
pub(super) fn rows(facts: &Facts<'_>) -> Vec<[String; 3]> {
    let shown = RULES.iter().filter(|rule| (rule.look)(facts).is_some());
    shown
        .map(|rule| {
            let control = format!("{} ({})", rule.group, rule.version);
            [control, rule.shows.to_owned(), rule.place.to_owned()]
        })
        .collect()
}

/// Names of the Debian packages that the bundle brings.
fn debian(facts: &Facts<'_>) -> Vec<String> {
    let debian = EcosystemId::debian();
    let packages = facts.bundle.lock.iter().flat_map(|lock| &lock.packages);
    packages
        .filter(|package| package.ecosystem == debian && package.is_carried())
        .map(|package| package.name.clone())
        .collect()
}

fn open_or_evidence(found: Vec<String>) -> Look {
    if found.is_empty() {
        Look::Evidence
    } else {
        Look::Open(found)
    }
}

/// Of packages that may not be installed; nothing where the bundle brings no Debian packages.
fn without(facts: &Facts<'_>, names: &[&str]) -> Option<Look> {
    let mut brought = debian(facts);
    if brought.is_empty() {
        return None;
    }
    brought.retain(|name| names.contains(&name.as_str()));
    brought.dedup();
    Some(open_or_evidence(brought))
}

/// Of files that a group or anybody may write.
fn writable(facts: &Facts<'_>, concerned: fn(&str) -> bool) -> Option<Look> {
    let files = facts.baselines.iter().flat_map(|baseline| &baseline.files);
    let mut concerned = files.filter(|(path, _)| concerned(path)).peekable();
    concerned.peek()?;
    let found = concerned
        .filter(|(_, entry)| entry.mode & 0o022 != 0)
        .map(|(path, entry)| format!("{path} {:04o}", entry.mode));
    Some(open_or_evidence(found.collect()))
}

fn is_command(path: &str) -> bool {
    const FOLDERS: [&str; 6] = [
        "/bin/",
        "/sbin/",
        "/usr/bin/",
        "/usr/sbin/",
        "/usr/local/bin/",
        "/usr/local/sbin/",
    ];
    FOLDERS.iter().any(|folder| path.starts_with(folder))
}

fn is_library(path: &str) -> bool {
    const FOLDERS: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"];
    let name = path.rsplit('/').next().unwrap_or_default();
    name.contains(".so") && FOLDERS.iter().any(|folder| path.starts_with(folder))
}

fn public_directories(facts: &Facts<'_>) -> Option<Look> {
    let runtime = facts.runtime()?;
    let public = runtime.directories.iter().filter(|directory| {
        let bits = directory.mode.bits();
        bits & 0o002 != 0 && bits & 0o1000 == 0
    });
    let found = public.map(|directory| format!("{} {}", directory.path, directory.mode));
    Some(open_or_evidence(found.collect()))
}

/// Of flows that the proof saw and nobody declared.
fn ports(facts: &Facts<'_>) -> Option<Look> {
    let runtime = facts.runtime()?;
    let proof = facts.bundle.proof.as_ref().map(|signed| &signed.proof);
    let found = flows::findings(&runtime, proof);
    let seen = ["flow-undeclared", "flow-listens-undeclared"];
    let undeclared = found.iter().filter(|f| seen.contains(&f.code.name));
    let found = undeclared.map(|finding| format!("{}: {}", finding.subject, finding.message));
    Some(open_or_evidence(found.collect()))
}

/// The checklist: those rules, for a host of this name; `None` where no rule is concerned.
pub(super) fn checklist(facts: &Facts<'_>) -> Option<Vec<u8>> {
    let looked = RULES
        .iter()
        .filter_map(|rule| (rule.look)(facts).map(|look| (rule, look)));
    let rules: Vec<Value> = looked.map(|(rule, look)| rule.json(facts, &look)).collect();
    if rules.is_empty() {
        return None;
    }
    let statement = &facts.bundle.statement;
    let title = format!("{} {}", statement.channel, statement.serial);
    let comments = format!(
        "Rules on which bundle {} bears, not the whole STIG. The host was not looked at: what is not open is for a reviewer.",
        facts.bundle.id
    );
    let document = json!({
        "title": title,
        "id": facts.uuid("cklb"),
        "cklb_version": "1.0",
        "active": false,
        "mode": 1,
        "has_path": true,
        "target_data": {
            "target_type": "Computing",
            "host_name": facts.host,
            "ip_address": "",
            "mac_address": "",
            "fqdn": "",
            "comments": comments,
            "role": "None",
            "is_web_database": false,
            "technology_area": "",
            "web_db_site": "",
            "web_db_instance": "",
            "classification": Value::Null,
        },
        "stigs": [{
            "stig_name": TITLE,
            "display_name": "Canonical Ubuntu 22.04 LTS",
            "stig_id": ID,
            "release_info": RELEASE,
            "version": VERSION,
            "uuid": facts.uuid(ID),
            "reference_identifier": "",
            "size": rules.len(),
            "rules": rules,
        }],
    });
    let mut bytes = json::canonical(&document);
    bytes.push(b'\n');
    Some(bytes)
}

impl Rule {
    fn json(&self, facts: &Facts<'_>, look: &Look) -> Value {
        let created = facts.bundle.statement.created.to_string();
        let cited = format!("{CITED}, {}", self.group);
        let (status, details) = match look {
            Look::Evidence => ("not_reviewed", String::new()),
            Look::Open(found) => ("open", listed(found)),
        };
        let comments = format!("The packet shows {}: {}", self.shows, self.place);
        json!({
            "uuid": facts.uuid(self.id),
            "stig_uuid": facts.uuid(ID),
            "group_id": self.group,
            "group_id_src": self.group,
            "group_title": self.title,
            "group_tree": [{
                "id": self.group,
                "title": self.srg,
                "description": "<GroupDescription></GroupDescription>",
            }],
            "rule_id": self.id.trim_end_matches("_rule"),
            "rule_id_src": self.id,
            "rule_version": self.version,
            "rule_title": self.title,
            "severity": self.severity,
            "weight": "10.0",
            "classification": "NONE",
            "discussion": format!("See {cited}."),
            "check_content": format!("As {cited} has it."),
            "check_content_ref": {"href": "", "name": "M"},
            "fix_text": format!("As {cited} has it."),
            "documentable": "false",
            "ccis": self.ccis,
            "legacy_ids": [],
            "reference_identifier": "",
            "status": status,
            "overrides": {},
            "comments": comments,
            "finding_details": details,
            "createdAt": created,
            "updatedAt": created,
            "target_key": Value::Null,
            "stig_ref": Value::Null,
            "false_positives": "",
            "false_negatives": "",
            "mitigations": "",
            "mitigation_control": "",
            "potential_impacts": "",
            "responsibility": "",
            "security_override_guidance": "",
            "third_party_tools": "",
            "ia_controls": "",
        })
    }
}

/// What breaks a rule, line by line, cut.
fn listed(found: &[String]) -> String {
    let shown: Vec<&str> = found.iter().take(MOST).map(String::as_str).collect();
    let more = match found.len().saturating_sub(MOST) {
        0 => String::new(),
        left => format!("\nand {left} more"),
    };
    format!("The bundle brings:\n{}{more}", shown.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{MOST, RULES, is_command, is_library, listed};

    #[test]
    fn identifiers_are_whole_and_used_once() {
        let mut seen = BTreeSet::new();
        for rule in RULES {
            assert!(
                rule.id.starts_with(&format!("S{}r", rule.group)),
                "{}",
                rule.id
            );
            assert!(rule.id.ends_with("_rule") && rule.version.starts_with("UBTU-22-"));
            assert!(["low", "medium", "high"].contains(&rule.severity));
            assert!(!rule.ccis.is_empty() && rule.srg.starts_with("SRG-OS-"));
            assert!(seen.insert(rule.group));
        }
    }

    #[test]
    fn rules_concern_what_their_checks_look_at() {
        assert!(is_command("/usr/sbin/x") && is_command("/bin/x"));
        assert!(!is_command("/opt/claw/bin/x") && !is_command("/usr/share/bin/x"));
        assert!(is_library("/usr/lib/x86_64-linux-gnu/libx.so.1"));
        assert!(!is_library("/usr/lib/x.conf") && !is_library("/opt/libx.so"));
        let many: Vec<String> = (0..MOST + 3).map(|n| n.to_string()).collect();
        assert!(listed(&many).ends_with("and 3 more"));
    }
}
