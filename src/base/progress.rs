//! Progress of long work, reported by the library and drawn by `cli`.

/// Receives progress. Implementations must be cheap: calls come from inner loops.
pub trait Progress: Send + Sync {
    /// A new piece of work begins: what, and how much of it (`0` = unknown), counted in `unit`.
    fn begin(&self, what: &str, total: u64, unit: Unit);
    /// So much more was done.
    fn advance(&self, by: u64);
    /// The total became known or changed.
    fn total(&self, total: u64);
    /// The piece is done.
    fn end(&self);
}

/// What a progress display counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Items,
    /// Bytes.
    Bytes,
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _what: &str, _total: u64, _unit: Unit) {}
    fn advance(&self, _by: u64) {}
    fn total(&self, _total: u64) {}
    fn end(&self) {}
}
