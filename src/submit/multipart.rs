//! `multipart/form-data` (RFC 7578). The boundary is made of the digest of what it separates, so none of it can hold it.

use bytes::Bytes;

use crate::base::digest::{Digest, Hasher};

/// One field of a form.
#[derive(Debug, Clone)]
pub(super) struct Part<'p> {
    /// Name of the field.
    pub(super) name: &'p str,
    /// Name of the file, where it is one: without quotes and control characters.
    pub(super) file: Option<&'p str>,
    /// Its media type, where it is no plain text.
    pub(super) media: Option<&'p str>,
    /// Its content.
    pub(super) bytes: Bytes,
}

impl<'p> Part<'p> {
    /// A field of text.
    pub(super) fn text(name: &'p str, text: &str) -> Self {
        Self {
            name,
            file: None,
            media: None,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

/// The value of `Content-Type` and the pieces of the body.
pub(super) fn encode(parts: &[Part<'_>]) -> (String, Vec<Bytes>) {
    let mut all = Hasher::default();
    for part in parts {
        all.update(Digest::of(&part.bytes).bytes());
    }
    let boundary = format!("stage-{}", all.finish().0.sha256.hex());
    let mut body = Vec::new();
    for part in parts {
        let mut head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
            part.name
        );
        if let Some(file) = part.file {
            head.extend(["; filename=\"", file, "\""]);
        }
        if let Some(media) = part.media {
            head.extend(["\r\nContent-Type: ", media]);
        }
        head.push_str("\r\n\r\n");
        body.push(head.into());
        body.push(part.bytes.clone());
        body.push(Bytes::from_static(b"\r\n"));
    }
    body.push(format!("--{boundary}--\r\n").into());
    (format!("multipart/form-data; boundary={boundary}"), body)
}
