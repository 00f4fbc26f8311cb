//! Signing by an ssh-agent, over its Unix socket: one request, one answer. Connected build only, and with `net` and
//! `serve` the third module that opens a socket, since the secret key, which may live in hardware, stays with the agent.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::sign::{SecretKey, SignError, SshSigner};
use crate::trust::key::PublicKey;
use crate::trust::sshsig;

/// Message numbers of the protocol (draft-miller-ssh-agent, section 5.1).
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Longest answer, as OpenSSH limits it.
const MAX_ANSWER: u32 = 256 << 10;

/// A key that an agent holds.
struct AgentKey {
    socket: RefCell<UnixStream>,
    public: PublicKey,
}

/// The key whose public half is `public`, at the agent that listens on `socket`.
pub fn connect(socket: &Path, public: PublicKey) -> Result<SecretKey, SignError> {
    let socket = UnixStream::connect(socket).map_err(|_io| SignError::Agent {
        reason: "it cannot be reached",
    })?;
    Ok(SecretKey::ssh(Box::new(AgentKey {
        socket: RefCell::new(socket),
        public,
    })))
}

impl SshSigner for AgentKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (_, key) = sshsig::public_blob(self.public.spki()).ok_or(SignError::Scheme)?;
        let mut request = vec![SIGN_REQUEST];
        sshsig::string(&mut request, &key);
        sshsig::string(&mut request, message);
        request.extend_from_slice(&0_u32.to_be_bytes());
        let answer = self.ask(&request)?;
        match answer.split_first() {
            Some((&SIGN_RESPONSE, mut rest)) => {
                let signature = sshsig::take(&mut rest).filter(|_| rest.is_empty());
                signature.map(<[u8]>::to_vec).ok_or(SignError::Agent {
                    reason: "its answer makes no sense",
                })
            }
            _ => Err(SignError::Agent {
                reason: "it does not have the key, or refused",
            }),
        }
    }
}

impl AgentKey {
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_io: std::io::Error| SignError::Agent {
            reason: "the connection broke",
        };
        let mut socket = self.socket.borrow_mut();
        let mut framed = Vec::new();
        sshsig::string(&mut framed, request);
        socket.write_all(&framed).map_err(failed)?;
        let mut length = [0; 4];
        socket.read_exact(&mut length).map_err(failed)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_ANSWER {
            return Err(SignError::Agent {
                reason: "its answer is too long",
            });
        }
        let mut answer = Vec::new();
        (&mut *socket)
            .take(u64::from(length))
            .read_to_end(&mut answer)
            .map_err(failed)?;
        Ok(answer)
    }
}
