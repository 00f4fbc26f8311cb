//! The one object that prints. stdout is data, stderr is talk; foreign text arrives here already escaped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::base::fault::Fault;
use crate::base::finding::{Finding, Severity};
use crate::base::progress::{Progress, Unit};
pub use crate::base::text::amount as bytes;
use crate::base::text::{is_plain, visible};
use crate::cli::exit::Exit;
use crate::cli::explain;
use crate::policy::Waived;

/// Form of the data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One package URL a line; only `stage inspect`.
    Purl,
    /// An SBOM as CycloneDX 1.6; only `stage sbom`.
    Cyclonedx,
    /// An SBOM as SPDX 2.3; only `stage sbom`.
    Spdx,
    /// An SBOM as a table; only `stage sbom`.
    Csv,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the user wants to be talked to.
#[derive(Debug, Clone, Copy)]
pub struct UiOptions {
    /// Form of the data.
    pub format: Format,
    /// Whether to colour stderr.
    pub color: bool,
    /// `-q` count: 1 = errors and data only, 2 = data only.
    pub quiet: u8,
    /// `-v` count.
    pub verbose: u8,
    /// Whether a progress display is wanted.
    pub progress: bool,
}

/// What a command hands back to be printed.
#[derive(Debug)]
pub struct Outcome {
    /// The JSON document, an object. `outcome` and `exit` are added here.
    pub report: Value,
    /// What goes to stdout for people: data, not talk. Ends with a newline unless empty.
    pub data: String,
    /// Whether the data is the content of a file, which is printed as it is.
    pub is_content: bool,
    /// Past-tense summary lines for stderr.
    pub summary: Vec<String>,
    /// Exit code: [`Exit::Ok`], or what a finding or a check demands.
    pub exit: Exit,
}

impl Outcome {
    /// A report of `schema` (such as `stage/verify-report/v1`) with its fields.
    pub fn new(schema: &str, fields: Value) -> Self {
        let mut report = fields;
        if let Value::Object(map) = &mut report {
            map.insert("schema".to_owned(), schema.into());
        }
        Self {
            report,
            data: String::new(),
            is_content: false,
            summary: Vec::new(),
            exit: Exit::Ok,
        }
    }

    /// Adds data for stdout.
    #[must_use]
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into();
        self
    }

    /// Adds data for stdout that is the content of a file.
    #[must_use]
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.data = content.into();
        self.is_content = true;
        self
    }

    /// Adds a summary line.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.summary.push(line.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub const fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, worst first; never empty in practice.
    pub faults: Vec<Box<dyn Fault>>,
    /// A report to print all the same, such as the checks that did pass.
    pub report: Option<Value>,
}

impl<E: Into<Box<dyn Fault>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            faults: vec![error.into()],
            report: None,
        }
    }
}

/// Prints.
#[derive(Debug)]
pub struct Ui {
    options: UiOptions,
    bar: Mutex<Option<ProgressBar>>,
}

impl Ui {
    /// A printer with these options.
    pub const fn new(options: UiOptions) -> Self {
        Self {
            options,
            bar: Mutex::new(None),
        }
    }

    /// The options.
    pub const fn options(&self) -> &UiOptions {
        &self.options
    }

    /// A line of talk, not with `-q`.
    pub fn talk(&self, line: &str) {
        if self.options.quiet == 0 {
            self.stderr(line);
        }
    }

    /// A line of detail, only with `-v`.
    pub fn detail(&self, line: &str) {
        if self.options.verbose > 0 {
            self.stderr(line);
        }
    }

    /// A warning, not with `-q`.
    pub fn warn(&self, line: &str) {
        self.talk(&format!("{} {line}", self.paint("33", "warning:")));
    }

    /// Prints a command's result; returns its exit code.
    pub fn finish(&self, result: Result<Outcome, Failure>) -> Exit {
        self.end();
        match result {
            Ok(outcome) => self.finish_outcome(outcome),
            Err(failure) => self.finish_failure(failure),
        }
    }

    fn finish_outcome(&self, outcome: Outcome) -> Exit {
        let Outcome {
            mut report,
            data,
            is_content,
            summary,
            exit,
        } = outcome;
        match self.options.format {
            Format::Json => {
                seal(&mut report, exit);
                stdout(&format!("{report}\n"));
            }
            _ if is_content => stdout(&data),
            _ => stdout(&harmless(&data, false)),
        }
        for line in summary {
            self.talk(&line);
        }
        exit
    }

    fn finish_failure(&self, failure: Failure) -> Exit {
        let Failure { faults, report } = failure;
        let exit = faults
            .iter()
            .map(|f| Exit::from(f.code().kind))
            .fold(Exit::Ok, Exit::worse);
        let exit = if exit == Exit::Ok {
            Exit::Internal
        } else {
            exit
        };
        if self.options.quiet < 2 {
            for fault in &faults {
                self.stderr(&self.fault_text(fault.as_ref()));
            }
        }
        if self.options.format == Format::Json {
            let mut report = report.unwrap_or_else(|| json!({"schema": "stage/error-report/v1"}));
            seal(&mut report, exit);
            if let Value::Object(map) = &mut report {
                map.insert(
                    "errors".to_owned(),
                    faults.iter().map(|f| fault_json(f.as_ref())).collect(),
                );
            }
            stdout(&format!("{report}\n"));
        }
        exit
    }

    fn fault_text(&self, fault: &dyn Fault) -> String {
        let code = fault.code();
        let class = code.class.map(|c| format!(" {c}")).unwrap_or_default();
        let head = self.paint("31", &format!("error[{}{class}]:", code.name));
        let mut text = format!("{head} {fault}");
        if let Some(place) = fault.place() {
            push(
                &mut text,
                &format!("  --> {}:{}:{}", place.file, place.line, place.column),
            );
        }
        let facts = fault.facts();
        let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0) + 1;
        for (key, value) in facts {
            push(
                &mut text,
                &format!("  {:width$} {value}", format!("{key}:")),
            );
        }
        for cause in causes(fault) {
            push(&mut text, &format!("  caused by: {cause}"));
        }
        if let Some(hint) = hint(fault) {
            push(&mut text, &format!("{} {hint}", self.paint("36", "hint:")));
        }
        text
    }

    /// Prints findings as talk, weightiest first.
    pub fn findings(&self, findings: &[Finding]) {
        for finding in findings {
            let (color, word) = match finding.severity {
                Severity::Deny => ("31", "deny"),
                Severity::Warn => ("33", "warning"),
                Severity::Note => ("36", "note"),
            };
            let head = self.paint(color, &format!("{word}[{}]:", finding.code.name));
            let mut text = format!("{head} {}: {}", finding.subject, finding.message);
            if finding.chain.len() > 1 {
                push(
                    &mut text,
                    &format!("  needed by: {}", finding.chain.join(" > ")),
                );
            }
            if let Some(fix) = &finding.fix {
                push(&mut text, &format!("{} {fix}", self.paint("36", "hint:")));
            }
            if finding.severity == Severity::Deny {
                if self.options.quiet < 2 {
                    self.stderr(&text);
                }
            } else if finding.severity == Severity::Warn || self.options.verbose > 0 {
                self.talk(&text);
            }
        }
    }

    /// Prints what is waived as talk, with who waived it.
    pub fn waived(&self, waived: &[Waived]) {
        for one in waived {
            let (finding, waiver) = (&one.finding, &one.waiver);
            self.talk(&format!(
                "waived[{}]: {}: {}\n  reason:   {}\n  approver: {}\n  expires:  {}",
                finding.code.name,
                finding.subject,
                finding.message,
                visible(&waiver.reason),
                visible(&waiver.approver),
                waiver.expires
            ));
        }
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.options.color {
            format!("{ESCAPE}1;{color}m{text}{RESET}")
        } else {
            text.to_owned()
        }
    }

    fn stderr(&self, line: &str) {
        let line = &harmless(line, self.options.color);
        let bar = self.bar.lock().ok().and_then(|guard| guard.clone());
        match bar {
            Some(bar) if !bar.is_hidden() => bar.suspend(|| write_line(line)),
            _ => write_line(line),
        }
    }

    fn with_bar(&self, act: impl FnOnce(&ProgressBar)) {
        if let Ok(guard) = self.bar.lock()
            && let Some(bar) = guard.as_ref()
        {
            act(bar);
        }
    }
}

impl Progress for Ui {
    fn begin(&self, what: &str, total: u64, unit: Unit) {
        self.end();
        if self.options.quiet > 0 {
            return;
        }
        let drawn = self.options.progress && io::stderr().is_terminal();
        if !drawn {
            self.stderr(&match (total, unit) {
                (0, _) => format!("{what} ..."),
                (n, Unit::Items) => format!("{what} ({n}) ..."),
                (n, Unit::Bytes) => format!("{what} ({}) ...", bytes(n)),
            });
            return;
        }
        let bar = if total == 0 {
            ProgressBar::no_length()
        } else {
            ProgressBar::new(total)
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let template = match unit {
            Unit::Items => "{msg} {bar:30} {pos}/{len} {elapsed}",
            Unit::Bytes => "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Ok(mut guard) = self.bar.lock() {
            *guard = Some(bar);
        }
    }

    fn advance(&self, by: u64) {
        self.with_bar(|bar| bar.inc(by));
    }

    fn total(&self, total: u64) {
        self.with_bar(|bar| bar.set_length(total));
    }

    fn end(&self) {
        if let Ok(mut guard) = self.bar.lock()
            && let Some(bar) = guard.take()
        {
            bar.finish_and_clear();
        }
    }
}

/// How a colour begins, and what ends it.
const ESCAPE: &str = "\u{1b}[";
const RESET: &str = "\u{1b}[0m";
/// The colours that [`Ui::paint`] is asked for.
const COLORS: [&str; 3] = ["\u{1b}[1;31m", "\u{1b}[1;33m", "\u{1b}[1;36m"];

/// The last net under texts that should have been escaped where they came in: but for line breaks, tabs and, where there
/// is colour, our own colours, nothing is printed that does not show itself.
fn harmless(text: &str, color: bool) -> Cow<'_, str> {
    let plain = |c: char| is_plain(c) || matches!(c, '\n' | '\t');
    if text.chars().all(plain) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let own = COLORS.iter().chain([&RESET]);
        let own = own.copied().find(|code| color && rest.starts_with(code));
        let taken = own.map_or(c.len_utf8(), str::len);
        match own {
            Some(code) => out.push_str(code),
            None if plain(c) => out.push(c),
            None => out.extend(c.escape_unicode()),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.into()
}

/// `count` with its noun: `1 package`, `2 packages`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// The JSON of one finding.
pub fn finding_json(finding: &Finding) -> Value {
    finding.json()
}

/// What the error itself says is to be done, else what its code says.
fn hint(fault: &dyn Fault) -> Option<String> {
    let own = fault.hint();
    own.or_else(|| explain::hint(fault.code().name).map(str::to_owned))
}

fn fault_json(fault: &dyn Fault) -> Value {
    let code = fault.code();
    let facts: serde_json::Map<String, Value> = fault
        .facts()
        .into_iter()
        .map(|(key, value)| (key.replace(' ', "_"), value.into()))
        .collect();
    json!({
        "code": code.name,
        "class": code.class,
        "message": fault.to_string(),
        "place": fault.place(),
        "facts": facts,
        "causes": causes(fault),
        "hint": hint(fault),
    })
}

fn seal(report: &mut Value, exit: Exit) {
    if let Value::Object(map) = report {
        let word = match exit {
            Exit::Ok => "ok",
            Exit::Denied => "denied",
            Exit::Untrusted => "untrusted",
            Exit::Stale => "stale",
            Exit::Failed | Exit::Usage | Exit::Unsafe | Exit::Internal => "failed",
        };
        map.insert("outcome".to_owned(), word.into());
        map.insert("exit".to_owned(), exit.number().into());
    }
}

fn causes(fault: &dyn Fault) -> Vec<String> {
    let mut out = Vec::new();
    let mut next = std::error::Error::source(fault);
    while let Some(cause) = next {
        out.push(visible(&cause.to_string()));
        next = cause.source();
    }
    out
}

fn push(text: &mut String, line: &str) {
    if write!(text, "\n{line}").is_err() {
        // Writing to a String cannot fail.
    }
}

/// A message of the argument parser, before there is a printer.
pub fn complain(text: &str) {
    write_line(harmless(text, false).trim_end());
}

fn write_line(line: &str) {
    // A closed stderr leaves nobody to tell.
    if writeln!(io::stderr().lock(), "{line}").is_err() {}
}

fn stdout(data: &str) {
    let mut out = io::stdout().lock();
    // A reader that went away (`| head`) is no error.
    if out
        .write_all(data.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {}
}

#[cfg(test)]
mod tests {
    use super::{bytes, harmless};

    #[test]
    fn nothing_that_moves_the_cursor_is_printed() {
        let said = "\u{1b}[1;31merror:\u{1b}[0m a\u{1b}[2Jb\u{9b}c\u{202e}d\r\n\te";
        assert_eq!(
            harmless(said, true),
            "\u{1b}[1;31merror:\u{1b}[0m a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\u{d}\n\te"
        );
        assert!(harmless(said, false).starts_with("\\u{1b}[1;31merror"));
        assert_eq!(harmless("Größe\n", false), "Größe\n");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(149_240_000), "149.2 MB");
        assert_eq!(bytes(999_999), "999.9 kB");
    }
}
