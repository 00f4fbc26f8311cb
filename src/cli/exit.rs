//! Exit codes: the only place where a kind of failure becomes a number.

use std::process::ExitCode;

use crate::base::fault::Kind;
use crate::base::finding::{Finding, Severity};

/// The exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Could not be done: I/O, upstream, no solution.
    Failed,
    /// Bad command line or unreadable input file.
    Usage,
    /// Denied by policy or by a finding.
    Denied,
    /// Verification failed: stop, keep the medium.
    Untrusted,
    /// Unsafe host or repository state.
    Unsafe,
    /// Stale: the output differs from what was demanded.
    Stale,
    /// A bug in `stage`.
    Internal,
}

impl Exit {
    /// The number the shell sees.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::Untrusted => 4,
            Self::Unsafe => 5,
            Self::Stale => 6,
            Self::Internal => 70,
        }
    }

    /// What the denials among findings demand.
    pub fn of(findings: &[Finding]) -> Self {
        let denying = findings.iter().filter(|f| f.severity == Severity::Deny);
        denying
            .map(|f| Self::from(f.code.kind))
            .fold(Self::Ok, Self::worse)
    }

    /// Which of two wins when both apply: 70 > 2 > 4 > 5 > 1 > 3 > 6 > 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() >= other.rank() {
            self
        } else {
            other
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Stale => 1,
            Self::Denied => 2,
            Self::Failed => 3,
            Self::Unsafe => 4,
            Self::Untrusted => 5,
            Self::Usage => 6,
            Self::Internal => 7,
        }
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failed => Self::Failed,
            Kind::Usage => Self::Usage,
            Kind::Denied => Self::Denied,
            Kind::Untrusted => Self::Untrusted,
            Kind::Unsafe => Self::Unsafe,
            Kind::Stale => Self::Stale,
            Kind::Internal => Self::Internal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn untrusted_is_never_hidden() {
        assert_eq!(Exit::Denied.worse(Exit::Untrusted), Exit::Untrusted);
        assert_eq!(Exit::Untrusted.worse(Exit::Failed), Exit::Untrusted);
        assert_eq!(Exit::Stale.worse(Exit::Ok), Exit::Stale);
    }
}
