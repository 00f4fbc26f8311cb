//! From TOML to [`Policy`].

use super::pins::Pin;
use super::profile::starter;
use super::{PackagePattern, Policy, PolicyError, Profile, Rules, Waiver, codes, license, vulns};
use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::evidence::Level;
use crate::base::finding::Severity;
use crate::base::package::EcosystemId;
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::eco;
use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Source, Table};

/// Most waivers of a policy: more of them is a policy of another kind.
const MOST_WAIVERS: usize = 10_000;

/// Parses a policy. What it does not say is as its profile has it.
pub(super) fn policy(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let mut top = Source::new(file, text).top_named("the policy")?;
    let profile = match top.take("profile") {
        None => Profile::Standard,
        Some(found) => profile(found)?,
    };
    let mut rules = Rules::default();
    let own = starter(profile);
    let mut said = Source::new(profile.as_str(), own).top_named("the profile")?;
    said.take("profile");
    add(&mut rules, &mut said)?;
    add(&mut rules, &mut top)?;
    let waivers = waivers(top.take("waiver"))?;
    top.finish()?;
    Ok(Policy {
        digest: Digest::of(text.as_bytes()),
        profile,
        rules,
        waivers,
    })
}

fn profile(found: Found<'_>) -> Result<Profile, ManifestError> {
    let fail = found.error("\"lenient\", \"standard\" or \"strict\"");
    let text = found.string()?;
    let named = |profile: &Profile| profile.as_str() == text;
    Profile::ALL.into_iter().find(named).ok_or(fail)
}

/// Puts what a document says in the place of what was said before.
fn add(rules: &mut Rules, top: &mut Table<'_>) -> Result<(), PolicyError> {
    if let Some(found) = top.take("severity") {
        severities(rules, found.table("[severity]")?)?;
    }
    if let Some(found) = top.take("packages") {
        let mut table = found.table("[packages]")?;
        if let Some(found) = table.take("allow") {
            rules.allowed = Some(patterns(found)?);
        }
        put(&mut rules.denied, table.take("deny"))?;
        table.finish()?;
    }
    if let Some(found) = top.take("age") {
        let mut table = found.table("[age]")?;
        if let Some(found) = table.take("min-age") {
            rules.min_age = Some(found.parsed("a duration such as \"7d\"")?);
        }
        put(&mut rules.ageless, table.take("exempt"))?;
        table.finish()?;
    }
    if let Some(found) = top.take("license") {
        let mut table = found.table("[license]")?;
        if let Some(found) = table.take("allow") {
            rules.licenses = Some(licenses(found)?);
        }
        put(&mut rules.unlicensed, table.take("exempt"))?;
        table.finish()?;
    }
    if let Some(found) = top.take("install-scripts") {
        let mut table = found.table("[install-scripts]")?;
        put(&mut rules.scripts, table.take("allow"))?;
        table.finish()?;
    }
    if let Some(found) = top.take("source") {
        let mut table = found.table("[source]")?;
        if let Some(found) = table.take("pin") {
            let pins = found.tables("[source] pin")?.into_iter().map(pin);
            rules.pins = pins.collect::<Result<_, _>>()?;
        }
        table.finish()?;
    }
    if let Some(found) = top.take("vuln") {
        vulns::rules(&mut rules.vulns, found.table("[vuln]")?)?;
    }
    if let Some(found) = top.take("evidence") {
        rules.floors = floors(found.table("[evidence]")?)?;
    }
    of_bundles(rules, top)
}

/// What is said of whole bundles.
fn of_bundles(rules: &mut Rules, top: &mut Table<'_>) -> Result<(), PolicyError> {
    if let Some(required) = flag(top, "lint", "require")? {
        rules.requires_lint = required;
    }
    if let Some(allowed) = flag(top, "plain", "allow")? {
        rules.refuses_plain = !allowed;
    }
    if let Some(found) = top.take("size") {
        let mut table = found.table("[size]")?;
        if let Some(found) = table.take("artifact") {
            rules.most_artifact = Some(size(&found)?);
        }
        if let Some(found) = table.take("total") {
            rules.most_total = Some(size(&found)?);
        }
        table.finish()?;
    }
    Ok(())
}

/// `[table]` with nothing but `key = true` or `false`.
fn flag(
    top: &mut Table<'_>,
    name: &'static str,
    key: &'static str,
) -> Result<Option<bool>, ManifestError> {
    let Some(found) = top.take(name) else {
        return Ok(None);
    };
    let mut table = found.table(format!("[{name}]"))?;
    let said = table.take(key).map(Found::boolean).transpose()?;
    table.finish()?;
    Ok(said)
}

fn severities(rules: &mut Rules, table: Table<'_>) -> Result<(), PolicyError> {
    for (name, found) in table.into_pairs() {
        let code = code(&name, &found)?;
        let fail = found.error("\"deny\", \"warn\" or \"note\"");
        let severity = match found.string()?.as_str() {
            "deny" => Severity::Deny,
            "warn" => Severity::Warn,
            "note" => Severity::Note,
            _ => return Err(fail.into()),
        };
        rules.severities.insert(code, severity);
    }
    Ok(())
}

/// The code that `name` means, which stands at `found`.
fn code(name: &str, found: &Found<'_>) -> Result<&'static str, PolicyError> {
    match codes::find(name) {
        Some(code) => Ok(code.name),
        None => Err(PolicyError::UnknownCode {
            code: quoted(name),
            near: codes::near(name),
            place: found.key_place(),
        }),
    }
}

fn put(list: &mut Vec<PackagePattern>, found: Option<Found<'_>>) -> Result<(), ManifestError> {
    if let Some(found) = found {
        *list = patterns(found)?;
    }
    Ok(())
}

fn patterns(found: Found<'_>) -> Result<Vec<PackagePattern>, ManifestError> {
    found.array()?.iter().map(pattern).collect()
}

fn pattern(found: &Found<'_>) -> Result<PackagePattern, ManifestError> {
    let text = found.text()?;
    text.parse::<PackagePattern>()
        .map_err(|bad| found.error(bad.to_string()))
}

/// `npm = 3`: every file of npm needs at least L3.
fn floors(mut table: Table<'_>) -> Result<BTreeMap<EcosystemId, Level>, ManifestError> {
    let mut floors = BTreeMap::new();
    for ecosystem in eco::ALL {
        if let Some(found) = table.take(ecosystem.key()) {
            let fail = found.error("a level from 0 to 4");
            let level = found.number().and_then(Level::from_number).ok_or(fail)?;
            floors.insert(ecosystem.id(), level);
        }
    }
    table.finish()?;
    Ok(floors)
}

fn pin(mut table: Table<'_>) -> Result<Pin, ManifestError> {
    let pattern = pattern(&table.require("match")?)?;
    let mut index = table.require("index")?.web_address()?;
    table.finish()?;
    if !index.ends_with('/') {
        index.push('/');
    }
    Ok(Pin { pattern, index })
}

fn licenses(found: Found<'_>) -> Result<Vec<spdx::Licensee>, ManifestError> {
    let one = |found: Found<'_>| {
        let text = found.text()?;
        license::parse(text)
            .ok_or_else(|| found.error("identifiers of the SPDX license list, such as \"MIT\""))
    };
    found.array()?.into_iter().map(one).collect()
}

/// `500MB`, `2GiB`, `10000B`.
fn size(found: &Found<'_>) -> Result<u64, ManifestError> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let text = found.text()?;
    let split = |(unit, factor): &(&str, u64)| Some((text.strip_suffix(unit)?, *factor));
    let bytes = UNITS.iter().find_map(split).and_then(|(number, factor)| {
        let is_number = number.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = number.parse().ok().filter(|_| is_number)?;
        count.checked_mul(factor)
    });
    bytes.ok_or_else(|| found.error("a size such as \"500MB\" or \"2GiB\""))
}

fn waivers(found: Option<Found<'_>>) -> Result<Vec<Waiver>, PolicyError> {
    let Some(found) = found else {
        return Ok(Vec::new());
    };
    let many = found.error(format!("at most {MOST_WAIVERS} waivers"));
    let tables = found.tables("[[waiver]]")?;
    if tables.len() > MOST_WAIVERS {
        return Err(many.into());
    }
    tables.into_iter().map(waiver).collect()
}

fn waiver(mut table: Table<'_>) -> Result<Waiver, PolicyError> {
    let place = table.place();
    let named = table.require("code")?;
    let code = code(named.text()?, &named)?;
    let package = pattern(&table.require("package")?)?;
    let reason = words(table.require("reason")?)?;
    let approver = words(table.require("approver")?)?;
    let expires = expires(&table.require("expires")?)?;
    let (vulnerability, vex) = vulns::waived(&mut table, code)?;
    table.finish()?;
    Ok(Waiver {
        code,
        package,
        reason,
        approver,
        expires,
        vulnerability,
        vex,
        place,
    })
}

/// Something that was said.
fn words(found: Found<'_>) -> Result<String, ManifestError> {
    let fail = found.error("a text of 1 to 500 characters");
    let text = found.string()?;
    if text.trim().is_empty() || text.chars().count() > 500 {
        return Err(fail);
    }
    Ok(text.trim().to_owned())
}

/// A day, which counts to its end, or a time.
fn expires(found: &Found<'_>) -> Result<Timestamp, ManifestError> {
    let fail = found.error("a day such as 2027-06-30, or a time with its offset");
    let text = found.time_text()?;
    let day = Timestamp::from_rfc3339(&format!("{text}T00:00:00Z"));
    let end = day.map(|day| day.plus_seconds(86_400));
    end.or_else(|_no_day| Timestamp::from_rfc3339(&text))
        .map_err(|_bad| fail)
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, PolicyError};
    use crate::base::fault::Fault as _;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse("policy.toml", text.as_bytes())
    }

    /// Policy, code, line, a part of the message.
    const WRONG: &[(&str, &str, usize, &str)] = &[
        (
            "\n[severty]\n",
            "policy-unknown-key",
            2,
            "unknown key `severty` in the policy",
        ),
        (
            "[age]\nmin_age = \"7d\"",
            "policy-unknown-key",
            2,
            "unknown key `min_age` in [age]",
        ),
        ("[age]\nmin-age = 7", "policy-value", 2, "`min-age` must be"),
        (
            "profile = \"paranoid\"",
            "policy-value",
            1,
            "`profile` must be \"lenient\"",
        ),
        (
            "[severity]\n\nnpm-instal-script = \"deny\"",
            "policy-unknown-code",
            3,
            "\"npm-instal-script\"",
        ),
        (
            "[severity]\nlock-open-edge = \"note\"",
            "policy-unknown-code",
            2,
            "\"lock-open-edge\"",
        ),
        (
            "[severity]\nnpm-deprecated = \"off\"",
            "policy-value",
            2,
            "`npm-deprecated` must be",
        ),
        (
            "[packages]\nallow = [\n\"npm:a\",\n\"nmp:a\"]",
            "policy-value",
            4,
            "one of npm, pypi",
        ),
        (
            "[license]\nallow = [\"MIT\", \"GPL\"]",
            "policy-value",
            2,
            "SPDX license list",
        ),
        (
            "[size]\ntotal = \"4 GB\"",
            "policy-value",
            2,
            "a size such as",
        ),
        (
            "[size]\ntotal = \"99999999999999TB\"",
            "policy-value",
            2,
            "a size such as",
        ),
        (
            "[[waiver]]\ncode = \"npm-deprecated\"",
            "policy-value",
            1,
            "`package` must be given in [[waiver]]",
        ),
        ("a = = 1", "policy-syntax", 1, "not valid TOML"),
    ];

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_may_be_meant() {
        for (text, code, line, said) in WRONG.iter().copied() {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code().name, code, "{text}: {error}");
            assert_eq!(error.place().unwrap().line, line, "{text}");
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
        let error = parse("[severity]\nnpm-instal-script = \"deny\"").unwrap_err();
        assert!(error.facts()[0].1.starts_with("npm-install-script"));
    }

    #[test]
    fn a_day_counts_to_its_end() {
        let until = |text: &str| {
            let waiver = format!(
                "[[waiver]]\ncode = \"npm-deprecated\"\npackage = \"npm:a\"\nreason = \"r\"\napprover = \"a\"\nexpires = {text}\n"
            );
            parse(&waiver).map(|policy| policy.waivers[0].expires.to_string())
        };
        assert_eq!(until("2027-06-30").unwrap(), "2027-07-01T00:00:00Z");
        assert_eq!(until("\"2027-06-30\"").unwrap(), "2027-07-01T00:00:00Z");
        assert_eq!(
            until("2027-06-30T12:00:00+02:00").unwrap(),
            "2027-06-30T10:00:00Z"
        );
        for bad in ["2027-06-30T12:00:00", "\"\"", "\"soon\"", "7"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
