//! Asking for provenance objects (PEP 740). Only for files of which the manifest says who should have attested them; the
//! page of a project says where the object of a file is.

use crate::base::evidence::Gap;
use crate::base::package::ReleaseId;
use crate::base::text::escaped;
use crate::eco::EcoError;
use crate::eco::attestation::{BUNDLE_LIMIT, Expectation, Missing, Signer};
use crate::eco::pypi::attestation::{self, PypiAttested, Unreadable};
use crate::eco::pypi::name::{Name, normalized};
use crate::eco::pypi::records::{self, PypiFile};
use crate::eco::pypi::simple::{self, Page};
use crate::eco::pypi::{UPSTREAM, file_path};
use crate::upstream::{Answer, Link, Request, Upstream, UpstreamError, Want};

/// Why there is nothing to judge, and in one word; safe to print.
type Reason = (Gap, String);

/// Puts the provenance that is expected of files into their records. What was there before stays where the index cannot
/// be asked; what nobody expects goes.
pub(crate) fn attest(
    documents: &[u8],
    expected: &[Expectation],
    upstream: &mut dyn Upstream,
) -> Result<(Vec<u8>, Vec<Missing>), EcoError> {
    let mut records = records::parse(documents)?;
    let mut missing = Vec::new();
    for (name, versions) in &mut records.projects {
        let is_meant = |one: &&Expectation| one.covers_as(name.as_str(), normalized);
        let wanted = expected.iter().find(is_meant).map(|one| &one.signer);
        let files = versions
            .iter_mut()
            .flat_map(|(version, release)| release.files.iter_mut().map(move |f| (version, f)));
        let mut page = None;
        for (version, (file, record)) in files {
            let before = record.attested.take();
            let Some(signer) = wanted else { continue };
            let page = page.get_or_insert_with(|| ask_for_page(name, upstream));
            let page = page.as_ref().map_err(Clone::clone);
            let found = page.and_then(|page| object(name, file, record, page, upstream));
            if let Err(reason) = take(record, before, signer, found) {
                missing.push(Missing {
                    release: ReleaseId::new(name.as_str(), version),
                    reason: format!("{}: {reason}", escaped(file)),
                });
            }
        }
    }
    missing.sort_by(|a, b| (&a.release, &a.reason).cmp(&(&b.release, &b.reason)));
    Ok((records::write(&records), missing))
}

/// Takes what was found into a record, else what it had; the error says why there is neither.
fn take(
    record: &mut PypiFile,
    before: Option<PypiAttested>,
    signer: &Signer,
    found: Result<String, Reason>,
) -> Result<(), String> {
    let known = before.filter(|attested| attested.signer == *signer);
    let (attested, gap) = match (found, known) {
        (Ok(provenance), _) => {
            let signer = signer.clone();
            (Ok(PypiAttested { provenance, signer }), None)
        }
        (Err(_), Some(known)) => (Ok(known), None),
        (Err((gap, reason)), None) => (Err(reason), Some(gap)),
    };
    record.unattested = gap;
    record.attested = Some(attested?);
    Ok(())
}

fn ask_for_page(name: &Name, upstream: &mut dyn Upstream) -> Result<Page, Reason> {
    upstream.submit(simple::request(name));
    let bytes = answered(upstream.next_answer().map(|(_, answer)| answer))?;
    simple::parse(name, &bytes).map_err(|reason| {
        let reason = format!("its page in the index cannot be read: {reason}");
        (Gap::Unreachable, reason)
    })
}

/// The text of a file's provenance object.
fn object(
    name: &Name,
    file: &str,
    record: &PypiFile,
    page: &Page,
    upstream: &mut dyn Upstream,
) -> Result<String, Reason> {
    let same = |f: &&simple::PageFile| f.name == file && f.sha256 == Some(record.sha256);
    let listed = page.files.iter().find(same);
    let listed = listed.ok_or_else(|| {
        let reason = "the index does not list it any more".to_owned();
        (Gap::Unreachable, reason)
    })?;
    let Some(href) = listed.provenance.clone() else {
        let reason = match listed.unattested {
            Gap::Stripped => "the index passes on no attestations",
            Gap::Absent | Gap::Unreachable | Gap::Unsupported => {
                "the index lists no attestation of it"
            }
        };
        return Err((listed.unattested, reason.to_owned()));
    };
    upstream.submit(Request {
        upstream: UPSTREAM.to_owned(),
        path: format!("{}#provenance", file_path(name, file)),
        accept: Some("application/vnd.pypi.integrity.v1+json, application/json"),
        limit: BUNDLE_LIMIT,
        want: Want::Document,
        link: Some(Link {
            page: simple::page_path(name),
            href,
        }),
    });
    let bytes = answered(upstream.next_answer().map(|(_, answer)| answer))?;
    let unsupported = |reason: String| (Gap::Unsupported, reason);
    let text = String::from_utf8(bytes)
        .map_err(|_bad| unsupported("its provenance is not UTF-8".to_owned()))?;
    match attestation::check(&text) {
        // What is broken is judged, and refused, with everything else.
        Ok(()) | Err(Unreadable::Broken(_)) => Ok(text),
        Err(Unreadable::Unsupported(reason)) => Err(unsupported(reason)),
    }
}

fn answered(answer: Option<Answer>) -> Result<Vec<u8>, Reason> {
    let unreachable = |reason: String| (Gap::Unreachable, reason);
    match answer {
        None => Err(unreachable("nobody answered".to_owned())),
        Some(Err(UpstreamError::NotFound { .. })) => Err(unreachable(
            "what the index lists as its attestation does not exist".to_owned(),
        )),
        Some(Err(error)) => Err(unreachable(format!(
            "unreachable: {}",
            escaped(&error.to_string())
        ))),
        Some(Ok(content)) => content
            .into_bytes()
            .map_err(|error| unreachable(escaped(&error.to_string()))),
    }
}
