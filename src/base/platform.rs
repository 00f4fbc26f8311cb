//! The enclave host: operating system, architecture, C library, interpreter versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that names no platform `stage` knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform {found}; known: linux/amd64, linux/arm64")]
pub struct PlatformError {
    /// The text that was found, quoted and escaped.
    pub found: String,
}

/// Operating system and architecture, written as OCI does: `linux/amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// Linux on x86-64.
    LinuxAmd64,
    /// Linux on 64-bit Arm.
    LinuxArm64,
}

impl Platform {
    /// Every known platform.
    pub const ALL: [Self; 2] = [Self::LinuxAmd64, Self::LinuxArm64];

    /// The platform this program was built for, if it is a known one.
    pub const fn of_host() -> Option<Self> {
        match (
            cfg!(target_os = "linux"),
            cfg!(target_arch = "x86_64"),
            cfg!(target_arch = "aarch64"),
        ) {
            (true, true, _) => Some(Self::LinuxAmd64),
            (true, _, true) => Some(Self::LinuxArm64),
            _ => None,
        }
    }

    /// The OCI name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux/amd64",
            Self::LinuxArm64 => "linux/arm64",
        }
    }

    /// The value of Node's `process.platform` there.
    pub const fn node_os(self) -> &'static str {
        match self {
            Self::LinuxAmd64 | Self::LinuxArm64 => "linux",
        }
    }

    /// The value of Node's `process.arch` there.
    pub const fn node_cpu(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "x64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| PlatformError {
                found: crate::base::text::quoted(text),
            })
    }
}

impl Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The C library of the target with its version, for example glibc 2.36.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libc {
    /// GNU libc.
    Glibc(String),
    /// musl.
    Musl(String),
}

impl Libc {
    /// The word that npm packages use in their `libc` field.
    pub const fn npm_word(&self) -> &'static str {
        match self {
            Self::Glibc(_) => "glibc",
            Self::Musl(_) => "musl",
        }
    }
}

/// The enclave host that a closure is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// One or more platforms, sorted, without repetition.
    pub platforms: Vec<Platform>,
    /// The C library.
    pub libc: Libc,
    /// Full or minor Python version.
    pub python: Option<String>,
    /// Full Node.js version.
    pub node: Option<String>,
}
