//! Where a bundle is proved.

use std::path::Path;

use crate::fs;
use crate::prove::said::cut;
use crate::prove::sandbox::Sandbox;
use crate::prove::{ProveError, Request};
use crate::trust::proof::Host;

/// Where it is proved.
pub(super) fn host(request: &Request<'_>, sandbox: &Sandbox) -> Result<Host, ProveError> {
    let kernel = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let release = fs::read_optional(Path::new("/usr/lib/os-release"), 1 << 16)?.unwrap_or_default();
    let release = String::from_utf8_lossy(&release).into_owned();
    let pretty = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    Ok(Host {
        kernel: format!("{} {}", text(kernel.sysname()), text(kernel.release())),
        machine: text(kernel.machine()),
        system: pretty.unwrap_or_default().trim_matches('"').to_owned(),
        sandbox: sandbox.kind().to_owned(),
        tracer: tracer(request),
    })
}

/// What records system calls, with its version.
fn tracer(request: &Request<'_>) -> Option<String> {
    if !request.trace {
        return None;
    }
    let output = std::process::Command::new("strace")
        .arg("--version")
        .env_clear()
        .env("PATH", request.path)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let version = line.rsplit(' ').next().unwrap_or_default();
    Some(cut(&format!("strace {version}")))
}
