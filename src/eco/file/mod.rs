//! Plain files: a URL and a SHA-256 in the manifest, a path in the enclave. Interpreters, binaries, models.

/// The ecosystem of plain files.
#[derive(Debug, Clone, Copy)]
pub struct PlainFile;
