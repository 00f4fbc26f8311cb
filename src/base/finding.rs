//! Findings: what a check noticed about a package. Not failures; severity decides what happens.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::fault::Code;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Stops the command with exit 3 (or 4, where the code says so).
    Deny,
    /// Shown, does not stop.
    Warn,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
            Self::Note => "note",
        })
    }
}

/// One result of a check. Texts are already safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable code; its kind says which exit a denial has.
    pub code: &'static Code,
    /// Weight.
    pub severity: Severity,
    /// What it is about: usually `npm name@version`.
    pub subject: String,
    /// One sentence, lowercase, no full stop.
    pub message: String,
    /// How the subject came in: requirement first, subject last.
    pub chain: Vec<String>,
    /// What the user can do about it.
    pub fix: Option<String>,
}

impl Finding {
    /// For reports.
    pub fn json(&self) -> Value {
        json!({
            "code": self.code.name,
            "severity": self.severity,
            "subject": self.subject,
            "message": self.message,
            "chain": self.chain,
            "fix": self.fix,
        })
    }

    /// The order in which findings are shown and stored: weight, code, subject, message.
    pub fn sort_key(&self) -> (Severity, &'static str, &str, &str) {
        (self.severity, self.code.name, &self.subject, &self.message)
    }
}
