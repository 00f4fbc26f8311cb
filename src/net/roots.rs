//! The certification authorities that servers are judged by.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use crate::fs;
use crate::net::NetError;

/// Where Linux distributions keep the bundle of all roots: Debian and Arch, Fedora and RHEL (two), openSUSE, Alpine.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Largest PEM file that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// Where the roots of this host are.
#[derive(Debug, Clone, Default)]
pub struct HostRoots {
    /// `SSL_CERT_FILE`.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: folders separated by `:`.
    pub folders: Option<String>,
}

impl HostRoots {
    /// The roots that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; when neither is set, the system's.
    pub fn load(&self) -> Result<Vec<CertificateDer<'static>>, NetError> {
        let mut out = Vec::new();
        if let Some(file) = &self.file {
            out.extend(pem_file(file)?);
        }
        let folders = self.folders.as_deref().unwrap_or_default();
        for folder in folders.split(':').filter(|f| !f.is_empty()) {
            out.extend(pem_folder(Path::new(folder))?);
        }
        if self.file.is_none() && self.folders.is_none() {
            let found = SYSTEM_BUNDLES.iter().map(Path::new).find(|p| fs::exists(p));
            if let Some(bundle) = found {
                out.extend(pem_file(bundle)?);
            }
        }
        // Folders of hashed names show each file twice.
        out.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        out.dedup();
        // Systems carry roots that no strict parser accepts; nothing is signed by them that could be judged.
        out.retain(is_usable);
        Ok(out)
    }
}

/// The certificates of a PEM file that the configuration names. None, or one that cannot be a root, is an error.
pub fn named_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    named_pem(&fs::read(path, LIMIT)?, &path.to_string_lossy())
}

/// As [`named_roots`], from PEM text that stands in a setting called `origin`.
pub fn named_pem(pem: &[u8], origin: &str) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let fail = |reason: &str| NetError::Roots {
        origin: crate::base::text::quoted(origin),
        reason: crate::base::text::escaped(reason),
    };
    let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut &*pem).collect();
    let found = found.map_err(|e| fail(&e.to_string()))?;
    if found.is_empty() {
        return Err(fail("no certificate in it"));
    }
    if !found.iter().all(is_usable) {
        return Err(fail("a certificate in it cannot be read"));
    }
    Ok(found)
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    rustls::RootCertStore::empty()
        .add(certificate.clone())
        .is_ok()
}

fn pem_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let bytes = fs::read(path, LIMIT)?;
    Ok(rustls_pemfile::certs(&mut bytes.as_slice())
        .filter_map(Result::ok)
        .collect())
}

/// Every file of a folder of hashed names; what is not PEM is skipped, as OpenSSL does.
fn pem_folder(folder: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let mut out = Vec::new();
    for path in fs::list(folder)? {
        if fs::metadata(&path).is_ok_and(|m| m.is_file()) {
            out.extend(pem_file(&path)?);
        }
    }
    Ok(out)
}
