//! The line to a service: calls, their answers, and how a call that adds something is made only once.

use std::time::Duration;

use serde_json::Value;

use crate::base::progress::{Progress, Unit};
use crate::net::HttpUpstream;
use crate::net::settings::shown;
use crate::net::upload::{Call, Reply, Unanswered};
use crate::submit::fault::{SubmitError, said};

/// How often a call that adds something is made when nobody knows whether it did.
const ROUNDS: u32 = 3;
/// Bodies from this size on are told of while they are sent.
const LARGE: u64 = 256 << 10;

/// The line.
#[derive(Clone, Copy)]
pub struct Line<'l> {
    /// The client.
    pub upstream: &'l HttpUpstream,
    /// Is told of what is sent.
    pub progress: &'l dyn Progress,
}

impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line<'_> {
    /// Makes a call.
    fn exchange(&self, call: Call, what: &str) -> Result<Reply, Unanswered> {
        let size = call.size();
        if size >= LARGE {
            self.progress.begin(what, size, Unit::Bytes);
        }
        let answer = self.upstream.exchange(call, self.progress);
        if size >= LARGE {
            self.progress.end();
        }
        answer
    }

    /// Asks, and reads the answer.
    pub(super) fn ask(&self, call: Call, ticket: &str) -> Result<Reply, SubmitError> {
        let asked = call.clone();
        let reply = self.exchange(call, "asking");
        let reply = reply.map_err(|error| unanswered(&asked, error))?;
        match reply.status {
            200..=299 => Ok(reply),
            404 => Err(SubmitError::Ticket {
                url: shown(&asked.url),
                ticket: ticket.to_owned(),
            }),
            _ => Err(self.refused(&asked, &reply)),
        }
    }

    /// Makes a call that adds something. When nobody knows whether it did, `there` is asked, and it is made again only if not.
    /// `None`: it is there, and its answer was lost.
    pub(super) fn add(
        &self,
        call: &Call,
        what: &str,
        there: &mut dyn FnMut() -> Result<bool, SubmitError>,
    ) -> Result<Option<Reply>, SubmitError> {
        let mut last = None;
        for round in 0..ROUNDS {
            let mut call = call.clone();
            if round > 0 {
                call.pause = self.pause(round);
            }
            let error = match self.exchange(call.clone(), what) {
                Ok(reply) if matches!(reply.status, 408 | 500 | 502 | 503 | 504) => {
                    self.refused(&call, &reply)
                }
                Ok(reply) => return Ok(Some(reply)),
                Err(error) if error.arrived => unanswered(&call, error),
                Err(error) => return Err(unanswered(&call, error)),
            };
            if there()? {
                return Ok(None);
            }
            last = Some(error);
        }
        Err(last.unwrap_or(SubmitError::Failed {
            url: shown(&call.url),
            reason: "it was not sent".to_owned(),
        }))
    }

    /// What an answer says about why, quoted and escaped. A service may repeat what it was shown.
    pub(super) fn said(&self, reply: &Reply) -> Option<String> {
        said(reply, &|text| self.upstream.settings().masked(text))
    }

    /// The service says no, or is too busy to say anything.
    pub(super) fn refused(&self, call: &Call, reply: &Reply) -> SubmitError {
        let (url, said) = (shown(&call.url), self.said(reply));
        if matches!(reply.status, 408 | 429 | 500..=599) {
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            let reason = format!("the server kept answering {}{said}", reply.status);
            return SubmitError::Failed { url, reason };
        }
        SubmitError::Refused {
            url,
            status: reply.status,
            said,
        }
    }

    /// How long to wait before something is tried or asked once more.
    pub(super) fn pause(&self, round: u32) -> Duration {
        let first = self.upstream.settings().timing.backoff;
        first.saturating_mul(1_u32.checked_shl(round).unwrap_or(u32::MAX))
    }
}

/// The JSON of an answer.
pub(super) fn document(call: &Call, reply: &Reply) -> Result<Value, SubmitError> {
    serde_json::from_slice(&reply.body).map_err(|_bad| misread(call))
}

/// The answer is another than documented.
pub(super) fn misread(call: &Call) -> SubmitError {
    SubmitError::Answer {
        url: shown(&call.url),
    }
}

fn unanswered(call: &Call, error: Unanswered) -> SubmitError {
    SubmitError::Failed {
        url: shown(&call.url),
        reason: error.reason,
    }
}
