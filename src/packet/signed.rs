//! Who signed the list of a packet's files.

use crate::base::fault::{Class, Code, Fault};
use crate::packet;
use crate::packet::received::Packet;
use crate::trust::attested::{self, AttestedError};
use crate::trust::envelope::Signable;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;

/// Codes of this module.
pub const CODES: &[&Code] = &[&UNSIGNED, &SIGNATURE];

static UNSIGNED: Code = Code::classed("packet-unsigned", Class::E30);
static SIGNATURE: Code = Code::classed("packet-signature", Class::E30);

/// Why a packet's signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// There is none.
    #[error("nobody signed the packet")]
    Unsigned,
    /// It is none of a key that the trust root knows.
    #[error("the packet's signature does not count: {source}")]
    Signature {
        /// Why.
        source: AttestedError,
    },
    /// It is about another list.
    #[error("the packet's signature is about another list of files")]
    Another,
}

impl Fault for SignedError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unsigned => &UNSIGNED,
            Self::Signature { .. } | Self::Another => &SIGNATURE,
        }
    }
}

/// Who signed a packet, by the keys of `root`, whatever their roles.
///
/// # Errors
/// Nobody did, or nobody whom the root knows, or it was another packet.
pub fn signer(packet: &Packet, root: &TrustRoot) -> Result<Signer, SignedError> {
    let bytes = packet.signature.as_ref().ok_or(SignedError::Unsigned)?;
    let (payload, signer) = attested::judge(bytes, root, |list| Signable::packet(list))
        .map_err(|source| SignedError::Signature { source })?;
    if payload == packet::payload(&packet.manifest.bytes) {
        Ok(signer)
    } else {
        Err(SignedError::Another)
    }
}
