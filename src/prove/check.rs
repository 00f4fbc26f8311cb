//! The checks: what is run once everything is installed, and what is expected of it.

use std::time::{Duration, Instant};

use crate::base::check::{Check, Expect};
use crate::fs;
use crate::prove::ProveError;
use crate::prove::observe;
use crate::prove::run::{Run, milliseconds};
use crate::prove::said::{cut, last_words, tail};
use crate::prove::sandbox::{Job, Running, Who};
use crate::trust::proof::{Checked, Ended};

/// How often a check asks.
const PAUSE: Duration = Duration::from_millis(300);

impl Run<'_> {
    /// The checks; none is tried if something could not be installed.
    pub(super) fn checks(&mut self) -> Result<Vec<Checked>, ProveError> {
        let mut checked = Vec::new();
        for check in self.request.checks {
            let began = Instant::now();
            let (result, detail) = if self.works() {
                self.check(check)?
            } else {
                (Ended::Skipped, "a step before failed".to_owned())
            };
            let milliseconds = milliseconds(began);
            self.tell(&check.run, result, milliseconds, &detail);
            checked.push(Checked {
                check: check.clone(),
                result,
                milliseconds,
                detail,
            });
        }
        Ok(checked)
    }

    fn check(&mut self, check: &Check) -> Result<(Ended, String), ProveError> {
        let calls = observe::check_calls();
        let within = check.expect.within();
        let who = self.root.as_deref().map_or(Who::Account, Who::Within);
        let job = Job {
            who,
            env: &check.env,
            // Whoever asks ends it.
            seconds: within + check.expect.watch() + 60,
            ..self.job(&check.run, &check.run, Some(&calls))
        };
        let mut running = self.sandbox.start(&job, None)?;
        let limit = Duration::from_secs(within);
        let found = match &check.expect {
            Expect::Answer(answer) => self.answer(&mut running, &answer.http, answer.status, limit),
            Expect::End(end) => ended(&mut running, limit).and_then(|code| {
                let wanted = i32::from(end.exit);
                if code != wanted {
                    return Err(format!("exit {code} instead of {wanted}"));
                }
                let text = end.output.as_deref().unwrap_or_default();
                let log = fs::read(&running.log, 1 << 30).unwrap_or_default();
                if !contains(&log, text.as_bytes()) {
                    return Err("its output does not have what is expected".to_owned());
                }
                Ok(format!("exit {code}"))
            }),
        };
        if let (Expect::Answer(answer), Ok(_)) = (&check.expect, &found) {
            Self::watch(&mut running, answer.watch);
        }
        running.end();
        let lines = tail(&running.log);
        self.observe(&running, &check.run, &lines, found.is_ok())?;
        Ok(match found {
            Ok(detail) => (Ended::Passed, detail),
            Err(why) => (Ended::Failed, cut(&[why, last_words(&lines)].join("; "))),
        })
    }

    /// Asks until the answer is right; what was found.
    pub(super) fn answer(
        &self,
        running: &mut Running,
        address: &str,
        wanted: u16,
        limit: Duration,
    ) -> Result<String, String> {
        let began = Instant::now();
        let mut last = "no answer".to_owned();
        loop {
            if let Some(status) = self.sandbox.ask(address) {
                last = format!("HTTP {status}");
                if status == wanted {
                    return Ok(last);
                }
            }
            if let Some(code) = running.ended() {
                return Err(format!(
                    "it ended with exit {code} before the answer was right: {last}"
                ));
            }
            if began.elapsed() >= limit {
                return Err(format!(
                    "{last} within {} s instead of HTTP {wanted}",
                    limit.as_secs()
                ));
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// What runs goes on for so long: much is reached for only after the first answer.
    fn watch(running: &mut Running, seconds: u64) {
        let (began, limit) = (Instant::now(), Duration::from_secs(seconds));
        while began.elapsed() < limit && running.ended().is_none() {
            std::thread::park_timeout(PAUSE);
        }
    }
}

/// Waits for an end, but not longer than that; the exit code.
fn ended(running: &mut Running, limit: Duration) -> Result<i32, String> {
    let began = Instant::now();
    loop {
        if let Some(code) = running.ended() {
            return Ok(code);
        }
        if began.elapsed() >= limit {
            return Err(format!("it did not end within {} s", limit.as_secs()));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
