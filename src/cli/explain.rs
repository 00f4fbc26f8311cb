//! Hints and explanations by error code. The texts stand in `explain.txt`; a test holds them against every code.

use crate::base::fault::Code;

const TEXT: &str = include_str!("explain.txt");

/// What there is to say about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// The one thing to do, if there is one.
    pub hint: Option<&'static str>,
    /// What happened and why it matters.
    pub text: &'static str,
}

/// Every explanation, in the order of the codes.
pub fn all() -> impl Iterator<Item = Explanation> {
    TEXT.split("\n\n").filter_map(|block| {
        let (code, rest) = block.trim_end().split_once('\n')?;
        let (hint, text) = match rest.strip_prefix("hint: ").and_then(|r| r.split_once('\n')) {
            Some((hint, text)) => (Some(hint), text),
            None => (None, rest),
        };
        Some(Explanation { code, hint, text })
    })
}

/// The explanation of a code.
pub fn find(code: &str) -> Option<Explanation> {
    all().find(|e| e.code == code)
}

/// The one thing to do about an error, if there is one.
pub fn hint(code: &str) -> Option<&'static str> {
    find(code)?.hint
}

/// Every code of the program.
pub fn all_codes() -> Vec<&'static Code> {
    let shared: [&[&Code]; 0] = [];
    shared.into_iter().flatten().copied().collect()
}
