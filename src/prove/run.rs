//! A proof in the making: what is done in which order, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::time::{Duration, Instant};

use crate::base::package::EcosystemId;
use crate::base::text::visible;
use crate::fs;
use crate::prove::clients::{BASE, LeftOut, SKIPPED, Task};
use crate::prove::observe::{self, Observer, Seen};
use crate::prove::said::{cut, last_words, missing_module, tail};
use crate::prove::sandbox::{HOME, Job, PROGRAM, Running, Sandbox, Who};
use crate::prove::{ProveError, Request, trace};
use crate::trust::proof::{Checked, Client, Ended, Hole, HoleKind, Host, Proof, RootVersion, Step};

/// Most of a trace that is read, in bytes.
const MOST_TRACE: u64 = 8 << 30;
/// The search path of whoever installs a root.
const ADMINISTRATOR: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A proof in the making.
pub(super) struct Run<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) tell: &'a dyn Fn(&str),
    pub(super) sandbox: Sandbox,
    path: String,
    /// The root that the checks run in, once it is installed.
    pub(super) root: Option<String>,
    /// Whether something was not tried that nobody left out on purpose.
    incomplete: bool,
    /// Names that were asked for and are accounted for.
    names: usize,
    steps: Vec<Step>,
    clients: BTreeSet<Client>,
    seen: Seen,
}

impl<'a> Run<'a> {
    /// Nothing is done yet.
    pub(super) fn new(
        request: &'a Request<'a>,
        tell: &'a dyn Fn(&str),
        sandbox: Sandbox,
        path: String,
    ) -> Self {
        Self {
            request,
            tell,
            sandbox,
            path,
            root: None,
            incomplete: false,
            names: 0,
            steps: Vec::new(),
            clients: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    pub(super) fn works(&self) -> bool {
        self.steps.iter().all(|step| step.result != Ended::Failed)
    }

    /// Imports the bundle and serves the repository; the server, if both worked.
    pub(super) fn serve(&mut self) -> Result<Option<Running>, ProveError> {
        let fingerprint = &self.request.root.2;
        let import = format!(
            "set -e\numask 022\n{PROGRAM} repo init -q --repo /stage/repo --trust /stage/root.json --fingerprint {fingerprint} --base-url {BASE}\n\
             {PROGRAM} import -q - --repo /stage/repo\n\
             {PROGRAM} repo client-config -q --repo /stage/repo --install-to {HOME}\n"
        );
        let input = fs::open(self.request.bundle)?;
        let job = self.job("import", &import, None);
        let began = Instant::now();
        let mut running = self.sandbox.start(&job, Some(input))?;
        let exit = running.wait()?;
        self.step(
            "import into a scratch repository",
            exit,
            began,
            &running,
            &[],
        );
        if !self.works() {
            return Ok(None);
        }
        let listen = BASE.trim_start_matches("http://");
        let serve = format!("exec {PROGRAM} repo serve -q --repo /stage/repo --listen {listen}");
        let job = Job {
            seconds: 7 * 86_400,
            ..self.job("serve", &serve, None)
        };
        let began = Instant::now();
        let mut server = self.sandbox.start(&job, None)?;
        let address = format!("{BASE}/repository.json");
        let answer = self.answer(&mut server, &address, 200, Duration::from_mins(1));
        let exit = answer.as_ref().err().map_or(Some(0), |_| Some(1));
        self.step("serve it on the loopback", exit, began, &server, &[]);
        Ok(Some(server).filter(|_| self.works()))
    }

    /// The clients' steps. After one that failed, the others of its ecosystem are not tried.
    pub(super) fn install(&mut self, tasks: &[Task]) -> Result<(), ProveError> {
        if !self.works() {
            return Ok(());
        }
        let mut failed: BTreeSet<&EcosystemId> = BTreeSet::new();
        let mut alternatives: BTreeMap<&String, (usize, bool)> = BTreeMap::new();
        for task in tasks {
            if failed.contains(&task.ecosystem) {
                self.skip(&task.name, "the step before it failed");
                continue;
            }
            if let Some(left_out) = &task.left_out {
                let (LeftOut::OnPurpose(why) | LeftOut::Else(why)) = left_out;
                self.skip(&task.name, why);
                self.incomplete |= matches!(left_out, LeftOut::Else(_));
                continue;
            }
            let result = self.task(task)?;
            if result == Ended::Failed {
                failed.insert(&task.ecosystem);
            }
            if let Some(does) = &task.alternative {
                let at = self.steps.len().saturating_sub(1);
                let known = alternatives.get(does).copied();
                let passed = known.unwrap_or_default().1 || result == Ended::Passed;
                alternatives.insert(does, (at, passed));
            } else if result == Ended::Skipped {
                self.incomplete = true;
            }
        }
        // Of those who could have done it, one must.
        for (at, passed) in alternatives.into_values() {
            if let Some(step) = self.steps.get_mut(at).filter(|_| !passed) {
                step.result = Ended::Failed;
            }
        }
        Ok(())
    }

    /// One step of a client.
    fn task(&mut self, task: &Task) -> Result<Ended, ProveError> {
        let calls = observe::install_calls();
        let mut job = self.job(&task.name, &task.script, Some(&calls));
        if task.root.is_some() {
            job.who = Who::Administrator;
            job.path = ADMINISTRATOR;
        }
        let began = Instant::now();
        let mut running = self.sandbox.start(&job, None)?;
        let exit = running.wait()?;
        let lines = tail(&running.log);
        self.observe(&running, &task.name, &lines, exit == Some(0))?;
        self.take(&task.name, &lines);
        self.step(&task.name, exit, began, &running, &lines);
        let result = self.steps.last().map_or(Ended::Failed, |step| step.result);
        if result == Ended::Passed && self.root.is_none() {
            self.root.clone_from(&task.root);
        }
        Ok(result)
    }

    /// Takes in what was recorded of a step.
    pub(super) fn observe(
        &mut self,
        running: &Running,
        during: &str,
        lines: &[String],
        worked: bool,
    ) -> Result<(), ProveError> {
        let mut observer = Observer::new(HOME);
        if let Some(file) = &running.trace {
            let reader = BufReader::with_capacity(1 << 20, fs::open(file)?);
            let read = trace::read(reader, MOST_TRACE, &mut |call| observer.see(call));
            read.map_err(fs::context("read", file))?;
        }
        let asked = self.sandbox.asked(self.names);
        self.names += asked.len();
        for name in &asked {
            observer.asked(name);
        }
        if !worked {
            for name in lines.iter().filter_map(|line| missing_module(line)) {
                observer.module(name);
            }
        }
        let seen = observer.finish(during);
        self.seen.holes.extend(seen.holes);
        self.seen.flows.extend(seen.flows);
        self.seen.ports.extend(seen.ports);
        // What an install writes is its business: below the home.
        if self.request.checks.iter().any(|check| check.run == during) {
            self.seen.writes.extend(seen.writes);
        }
        Ok(())
    }

    /// What a script says for the proof: `client NAME VERSION SOURCE`, and `not-run WHAT`.
    fn take(&mut self, during: &str, lines: &[String]) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["client", name, version, source] => {
                    self.clients.insert(Client {
                        name: (*name).to_owned(),
                        version: cut(version),
                        source: (*source).to_owned(),
                    });
                }
                ["not-run", what @ ..] => self.seen.holes.push(Hole {
                    kind: HoleKind::NotRun,
                    what: cut(&what.join(" ")),
                    program: String::new(),
                    during: cut(during),
                    times: 1,
                }),
                _ => {}
            }
        }
    }

    pub(super) fn job<'j>(
        &'j self,
        name: &'j str,
        shell: &'j str,
        trace: Option<&'j str>,
    ) -> Job<'j>
    where
        Self: 'j,
    {
        const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();
        Job {
            name,
            who: Who::Account,
            shell,
            env: NOTHING,
            path: &self.path,
            seconds: self.request.seconds,
            trace,
        }
    }

    fn step(
        &mut self,
        name: &str,
        exit: Option<i32>,
        began: Instant,
        running: &Running,
        lines: &[String],
    ) {
        let result = match exit {
            Some(0) => Ended::Passed,
            Some(SKIPPED) => Ended::Skipped,
            _ => Ended::Failed,
        };
        let detail = match (result, exit) {
            (Ended::Passed, _) => {
                let mut notes = lines.iter().rev();
                let note = notes.find_map(|line| line.strip_prefix("note "));
                cut(note.unwrap_or_default())
            }
            (Ended::Skipped, _) => cut(lines.last().map_or("", String::as_str)),
            (_, Some(124 | 137)) => {
                format!("it took longer than {} s", self.request.seconds)
            }
            (Ended::Failed | Ended::Incomplete, _) => last_words(&tail(&running.log)),
        };
        let milliseconds = milliseconds(began);
        self.tell(name, result, milliseconds, &detail);
        self.steps.push(Step {
            name: cut(name),
            result,
            exit,
            milliseconds,
            detail,
        });
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.tell(name, Ended::Skipped, 0, why);
        self.steps.push(Step {
            name: cut(name),
            result: Ended::Skipped,
            exit: None,
            milliseconds: 0,
            detail: why.to_owned(),
        });
    }

    pub(super) fn tell(&self, name: &str, result: Ended, milliseconds: u64, detail: &str) {
        let seconds = milliseconds / 1000;
        let tenth = milliseconds % 1000 / 100;
        let mut line = format!(
            "{:8}{} ({seconds}.{tenth} s)",
            result.as_str(),
            visible(name)
        );
        if !detail.is_empty() {
            line.extend([": ", &visible(detail)]);
        }
        (self.tell)(&line);
    }

    pub(super) fn finish(self, host: Host, checks: Vec<Checked>) -> Proof {
        let works = self.works() && checks.iter().all(|check| check.result == Ended::Passed);
        let result = match (works, self.incomplete) {
            (false, _) => Ended::Failed,
            (true, true) => Ended::Incomplete,
            (true, false) => Ended::Passed,
        };
        let mut seen = self.seen;
        seen.holes.sort();
        seen.flows.sort();
        seen.flows.dedup();
        seen.ports.sort();
        seen.ports.dedup();
        seen.writes.sort();
        seen.writes.dedup();
        Proof {
            channel: self.request.channel.to_owned(),
            serial: self.request.serial,
            result,
            without: self.request.without.clone(),
            proved_at: self.request.now,
            trust_root: RootVersion {
                version: self.request.root.1,
            },
            tool: self.request.tool.to_owned(),
            host,
            clients: self.clients.into_iter().collect(),
            steps: self.steps,
            checks,
            holes: seen.holes,
            flows: seen.flows,
            ports: seen.ports,
            writes: seen.writes,
        }
    }
}

pub(super) fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
