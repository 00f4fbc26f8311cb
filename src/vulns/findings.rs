//! What is known of a closure as findings, with the weight that they have under some rules.

use super::{
    Checked, DATABASE_NONE, DATABASE_OLD, KNOWN, Level, MALICIOUS, NO_DATABASE, NOT_COMPARED,
    Vulnerability,
};
use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::text::escaped;
use crate::base::time::{Span, Timestamp};
use crate::lock::Lock;
use crate::lock::chain::Chains;

/// Findings after which no more chains are told.
const MOST_CHAINS: usize = 1_000;
/// How far a database may be ahead of the clock.
const AHEAD: i64 = 86_400;

/// What is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Vulnerabilities from this level on deny; `None`: all of them warn.
    pub fail_on: Option<Level>,
    /// What one counts as that nobody rated.
    pub unrated: Level,
    /// How old a database may be.
    pub max_age: Span,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            fail_on: None,
            unrated: Level::Medium,
            max_age: Span::days(7),
        }
    }
}

impl Rules {
    fn weight(&self, vulnerability: &Vulnerability) -> (&'static Code, Severity) {
        let level = vulnerability.level.unwrap_or(self.unrated);
        let denies = self.fail_on.is_some_and(|least| level >= least);
        match (&vulnerability.not_compared, denies) {
            _ if vulnerability.malicious => (&MALICIOUS, Severity::Deny),
            (Some(_), _) => (&NOT_COMPARED, Severity::Warn),
            (None, true) => (&KNOWN, Severity::Deny),
            (None, false) => (&KNOWN, Severity::Warn),
        }
    }
}

/// A finding, with the vulnerability that it is about, if it is about one.
#[derive(Debug, Clone)]
pub struct Found<'c> {
    /// What is said.
    pub finding: Finding,
    /// What of.
    pub about: Option<&'c Vulnerability>,
}

/// Everything that is to be said of a closure at the time `now`. Chains are those of `lock`, where there is one.
pub fn found<'c>(
    checked: &'c Checked,
    lock: Option<&Lock>,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Found<'c>> {
    let of_database = database(checked, rules, now).into_iter();
    let mut all: Vec<Found<'c>> = of_database
        .map(|finding| Found {
            finding,
            about: None,
        })
        .collect();
    let chains = lock.map(Chains::new);
    for (number, vulnerability) in checked.vulnerabilities.iter().enumerate() {
        let mut finding = one(vulnerability, rules);
        if let Some(chains) = chains.as_ref().filter(|_| number < MOST_CHAINS) {
            let chain = chains.chain(&vulnerability.ecosystem, &vulnerability.release);
            finding.chain = chain.iter().map(|link| escaped(link)).collect();
        }
        all.push(Found {
            finding,
            about: Some(vulnerability),
        });
    }
    all
}

fn one(vulnerability: &Vulnerability, rules: &Rules) -> Finding {
    let (code, severity) = rules.weight(vulnerability);
    let ids = if vulnerability.aliases.is_empty() {
        vulnerability.id.clone()
    } else {
        format!(
            "{} ({})",
            vulnerability.id,
            vulnerability.aliases.join(", ")
        )
    };
    let level = vulnerability.level.map_or("not rated", Level::as_str);
    let summary = match vulnerability.summary.as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    let source = match &vulnerability.source {
        Some(source) => format!(" of source {}", escaped(source)),
        None => String::new(),
    };
    let message = match &vulnerability.not_compared {
        _ if vulnerability.malicious => format!("is malicious, {ids}{summary}"),
        Some(why) => {
            format!("may have {ids}{source}, {level}, which cannot be compared: {why}{summary}")
        }
        None => format!("has {ids}{source}, {level}{summary}"),
    };
    let fix = match &vulnerability.fixed {
        _ if vulnerability.malicious => {
            "take it out, and treat every host that installed it as compromised".to_owned()
        }
        Some(fixed) => format!("take {fixed} or later"),
        None => "no fixed version is known: take another package, or add a [[waiver]] with `vulnerability`".to_owned(),
    };
    let release = escaped(&vulnerability.release.to_string());
    Finding {
        code,
        severity,
        subject: format!("{} {release}", vulnerability.ecosystem),
        message,
        chain: Vec::new(),
        fix: Some(fix),
    }
}

/// What is to be said of the database itself.
fn database(checked: &Checked, rules: &Rules, now: Timestamp) -> Vec<Finding> {
    let finding = |code, subject: String, message: String, fix: &str| Finding {
        code,
        severity: Severity::Warn,
        subject,
        message,
        chain: Vec::new(),
        fix: Some(fix.to_owned()),
    };
    let Some(database) = &checked.database else {
        let message = format!("{NO_DATABASE}, so that nothing is known of vulnerabilities");
        let fix = "give an export of OSV with --osv, or `[policy] osv` in stage.toml";
        let subject = "the closure".to_owned();
        return vec![finding(&DATABASE_NONE, subject, message, fix)];
    };
    let mut all = Vec::new();
    for id in &checked.uncovered {
        let message = "the vulnerability database has no record for some of its packages' releases, so that nothing is known of them";
        let fix = "add the export of this ecosystem to what --osv names";
        all.push(finding(
            &DATABASE_NONE,
            id.to_string(),
            message.to_owned(),
            fix,
        ));
    }
    let oldest = now.plus_seconds(-rules.max_age.seconds());
    let said = match database.date {
        None => Some("has no records".to_owned()),
        Some(date) if date > now.plus_seconds(AHEAD) => Some(format!(
            "says that it is of {date}, which lies ahead: nothing is known of its age"
        )),
        Some(date) if date < oldest => Some(format!("is of {date}, older than the policy allows")),
        Some(_) => None,
    };
    let fix = "get a newer export";
    let subject = "the vulnerability database".to_owned();
    all.extend(said.map(|message| finding(&DATABASE_OLD, subject, message, fix)));
    all
}
