//! Licenses: what a release declares against a list of what is allowed.

use spdx::{Expression, Licensee, ParseMode};

/// What is to be thought of a declared license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The list satisfies the expression.
    Allowed,
    /// It does not.
    Denied,
    /// It is not an SPDX expression.
    Unknown,
}

/// As the SPDX list has them; deprecated identifiers such as `GPL-2.0` are still ones.
const MODE: ParseMode = ParseMode {
    allow_deprecated: true,
    ..ParseMode::STRICT
};

/// One entry of a list: an SPDX identifier, with an exception or without.
pub(super) fn parse(text: &str) -> Option<Licensee> {
    Licensee::parse_mode(text, MODE).ok()
}

/// Whether a declared text is an SPDX expression; deprecated identifiers such as `GPL-2.0` are still ones.
pub fn is_expression(text: &str) -> bool {
    Expression::parse_mode(text, MODE).is_ok()
}

/// Judges a declared text. An expression with `OR` needs one side, with `AND` both.
pub(super) fn judge(declared: &str, allowed: &[Licensee]) -> Verdict {
    let Ok(expression) = Expression::parse_mode(declared, MODE) else {
        return Verdict::Unknown;
    };
    if expression.evaluate(|one| allowed.iter().any(|licensee| licensee.satisfies(one))) {
        Verdict::Allowed
    } else {
        Verdict::Denied
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge, parse};

    #[test]
    fn expressions_are_judged_and_other_texts_are_unknown() {
        let allowed: Vec<_> = [
            "MIT",
            "Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-2.0-or-later",
        ]
        .into_iter()
        .map(|text| parse(text).unwrap())
        .collect();
        for (declared, expected) in [
            ("MIT", Verdict::Allowed),
            ("(MIT OR GPL-3.0-only)", Verdict::Allowed),
            ("MIT AND BSD-3-Clause", Verdict::Denied),
            ("Apache-2.0 WITH LLVM-exception", Verdict::Allowed),
            ("GPL-3.0-only", Verdict::Denied),
            ("MIT License", Verdict::Unknown),
            ("SEE LICENSE IN LICENSE.md", Verdict::Unknown),
            ("UNLICENSED", Verdict::Unknown),
            ("", Verdict::Unknown),
        ] {
            assert_eq!(judge(declared, &allowed), expected, "{declared}");
        }
        assert!(parse("the usual").is_none());
    }
}
