//! Hints and explanations by error code.

/// The one thing to do about an error, if there is one.
pub fn hint(_code: &str) -> Option<&'static str> {
    None
}
