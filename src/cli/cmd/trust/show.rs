//! `stage trust fingerprint`, `diff`, and what `inspect` shows of a root.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::UsageError;
use crate::cli::cmd::CommandResult;
use crate::cli::ui::{Outcome, plural};
use crate::trust::chain::{Progress, RootChain, Tally};
use crate::trust::diff::{self, RootChange};
use crate::trust::key::KeyId;
use crate::trust::root::TrustRoot;
use crate::trust::words;

#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// The trust root: a document, its envelope, or a list of roots, of which the newest counts
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust diff root.next.json          # the last root against the one before it\n  \
    stage trust diff root.json root.next.json"
)]
pub(super) struct DiffArgs {
    /// The older root; alone: the file whose last root is compared with the one before it
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer root, which may be a draft
    #[arg(value_name = "NEW")]
    new: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust fingerprint root.json\n  stage trust fingerprint --words root.json   # to read aloud"
)]
pub(super) struct FingerprintArgs {
    #[command(flatten)]
    root: RootArgs,
    /// As 24 words, for reading aloud; `stage repo init --fingerprint` takes them, too
    #[arg(long, conflicts_with = "groups")]
    words: bool,
    /// In groups of four hex digits
    #[arg(long)]
    groups: bool,
}

pub(super) fn fingerprint(args: &FingerprintArgs) -> CommandResult {
    let chain = RootChain::load(&args.root.file)?;
    let root = chain.last()?;
    let fingerprint = root.fingerprint();
    let (said, groups) = (words::words(&fingerprint), words::groups(&fingerprint));
    let text = if args.words {
        lines(&said, 6)
    } else if args.groups {
        lines(&groups, 8)
    } else {
        format!("{fingerprint}\n")
    };
    Ok(Outcome::new(
        "stage/fingerprint-report/v1",
        json!({
            "fingerprint": fingerprint,
            "groups": groups,
            "words": said,
            "version": root.version(),
            "draft": chain.is_draft(),
        }),
    )
    .data(text))
}

/// So many words a line.
fn lines(words: &[impl AsRef<str>], per_line: usize) -> String {
    let line = |line: &[_]| {
        let line: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
        line.join(" ") + "\n"
    };
    words.chunks(per_line).map(line).collect()
}

pub(super) fn inspect(chain: &RootChain) -> CommandResult {
    let root = chain.last()?;
    let progress = chain.progress()?;
    let document: Value = serde_json::from_slice(root.canonical()).unwrap_or_default();
    let mut data = describe(root);
    if let Some(progress) = &progress {
        data.push_str(&progress_text(progress));
    }
    Ok(Outcome::new(
        "stage/trust-report/v1",
        json!({
            "fingerprint": root.fingerprint(),
            "root": document,
            "draft": chain.is_draft(),
            "signed": progress.as_ref().map(progress_json),
        }),
    )
    .data(data))
}

/// A root in lines, for people.
pub(super) fn describe(root: &TrustRoot) -> String {
    let mut lines = vec![
        format!("fingerprint: {}", root.fingerprint()),
        format!("version:     {}", root.version()),
        format!("expires:     {}", root.expires()),
    ];
    for (channel, epoch) in root.epochs() {
        lines.push(format!("epoch:       {channel} = {epoch}"));
    }
    for (role, rule) in root.roles() {
        let keys = plural(rule.keyids.len(), "key");
        lines.push(format!("role:        {role}, {} of {keys}", rule.threshold));
    }
    for key in root.keys() {
        let certificates = match key.x5c.len() {
            0 => String::new(),
            count => format!(", {}", plural(count, "certificate")),
        };
        lines.push(format!(
            "key:         {} {} {} ({}){certificates}",
            key.key.id(),
            key.key.scheme(),
            key.person,
            roles_of(root, key.key.id()).join(", ")
        ));
    }
    lines.join("\n") + "\n"
}

/// The roles of a key by name.
pub(super) fn roles_of(root: &TrustRoot, id: KeyId) -> Vec<&'static str> {
    root.roles_of(id).iter().map(|r| r.as_str()).collect()
}

/// How far the signing of a root is, for people.
pub(super) fn progress_text(progress: &Progress) -> String {
    let line = |tally: &Tally| {
        let persons = if tally.persons.is_empty() {
            "nobody".to_owned()
        } else {
            tally.persons.join(", ")
        };
        format!(
            "signed:      {persons}: {} of {} that root {} demands\n",
            tally.persons.len(),
            tally.needed,
            tally.version
        )
    };
    let state = if progress.is_complete() {
        "complete"
    } else {
        "draft, not valid yet"
    };
    format!(
        "{}{}state:       {state}\n",
        line(&progress.old),
        line(&progress.new)
    )
}

/// How far the signing of a root is, for programs.
pub(super) fn progress_json(progress: &Progress) -> Value {
    let tally = |tally: &Tally| {
        json!({
            "version": tally.version,
            "persons": tally.persons,
            "holders": tally.holders,
            "needed": tally.needed,
            "met": tally.is_met(),
        })
    };
    json!({
        "old": tally(&progress.old),
        "new": tally(&progress.new),
        "complete": progress.is_complete(),
    })
}

/// The differences between two roots as lines.
pub(super) fn changes_text(changes: &[RootChange]) -> String {
    changes.iter().map(|c| c.text() + "\n").collect()
}

/// The differences between two roots as JSON.
pub(super) fn changes_json(changes: &[RootChange]) -> Value {
    let one =
        |c: &RootChange| json!({"kind": c.kind, "subject": c.subject, "old": c.old, "new": c.new});
    changes.iter().map(one).collect()
}

pub(super) fn diff(args: &DiffArgs) -> CommandResult {
    let first = RootChain::load(&args.old)?;
    let second = args.new.as_deref().map(RootChain::load).transpose()?;
    let (old, new) = if let Some(second) = &second {
        (first.last()?, second.last()?)
    } else {
        let only = || UsageError::new("the file holds one root only; give the newer one as well");
        (first.before_last().ok_or_else(only)?, first.last()?)
    };
    let changes = diff::changes(old, new);
    let side =
        |root: &TrustRoot| json!({"version": root.version(), "fingerprint": root.fingerprint()});
    Ok(Outcome::new(
        "stage/trust-diff/v1",
        json!({"old": side(old), "new": side(new), "changes": changes_json(&changes)}),
    )
    .data(changes_text(&changes))
    .line(plural(changes.len(), "difference")))
}
