//! Certificates of keys: `--x5c`, and `stage trust inspect`, which with `--ca` proves them.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::show::{self, RootArgs, describe, roles_of};
use crate::base::time::Timestamp;
use crate::cli::Context;
use crate::cli::cmd::CommandResult;
use crate::cli::exit::Exit;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::enrolment::proof::{Authority, Standing};
use crate::enrolment::{Chain, Facts, MAX_FILE};
use crate::trust::chain::RootChain;
use crate::trust::edit::RootEdit;
use crate::trust::root::{TrustRoot, TrustedKey};

/// Certificates that a root gets.
#[derive(Debug, Args)]
pub(super) struct CertificateArgs {
    /// Certificate chain of a key, PEM, the key's own first; it goes to the key that this one is for. May repeat
    #[arg(long, value_name = "CHAIN")]
    x5c: Vec<PathBuf>,
}

impl CertificateArgs {
    /// Gives every chain to its key.
    pub(super) fn give(&self, edit: &mut RootEdit) -> Result<(), Failure> {
        for path in &self.x5c {
            let name = path.to_string_lossy();
            let chain = Chain::from_pem(&name, &crate::fs::read(path, MAX_FILE)?)?;
            let id = chain.find(&name, edit.keys().map(|key| (key.id(), key.spki())))?;
            edit.certify(id, &chain.to_x5c())?;
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust inspect root.json\n  stage trust inspect root.json --ca org.pem --require-x5c > \
    evidence.txt   # for CM-14"
)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The organisation's CA, PEM: prove that the certificates of the keys lead to it; exit code 4 when one does not
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// When the certificates must have been valid [default: now]
    #[arg(long, value_name = "TIME", requires = "ca")]
    at: Option<Timestamp>,
    /// Exit code 4 also when a key has no certificates
    #[arg(long, requires = "ca")]
    require_x5c: bool,
}

pub(super) fn inspect(ctx: &Context, args: &InspectArgs) -> CommandResult {
    let chain = RootChain::load(&args.root.file)?;
    let Some(ca) = &args.ca else {
        return show::inspect(&chain);
    };
    let at = args.at.unwrap_or(ctx.now);
    let bytes = crate::fs::read(ca, MAX_FILE)?;
    let authority = Authority::from_pem(&ca.to_string_lossy(), &bytes, at)?;
    for unused in authority.unused() {
        ctx.ui.warn(&format!(
            "a certificate of the CA file is not used: {unused}"
        ));
    }
    let root = chain.last()?;
    let judged: Vec<(&TrustedKey, Standing)> = root
        .keys()
        .iter()
        .map(|key| (key, authority.judge(key)))
        .collect();
    let count = |wanted: fn(&Standing) -> bool| judged.iter().filter(|(_, s)| wanted(s)).count();
    let proven = count(|s| matches!(s, Standing::Proven { .. }));
    let without = count(|s| matches!(s, Standing::NoChain));
    let unproven = judged.len() - proven - without;
    let untrusted = unproven > 0 || (args.require_x5c && without > 0);
    let mut data = describe(root);
    data.push_str(&evidence_text(root, &authority, at, &judged));
    Ok(Outcome::new(
        "stage/enrolment-report/v1",
        json!({
            "control": "CM-14",
            "root": {"fingerprint": root.fingerprint(), "version": root.version(), "draft": chain.is_draft()},
            "at": at,
            "ca": authority.anchors().collect::<Vec<_>>(),
            "keys": judged.iter().map(|(key, standing)| key_json(root, key, standing)).collect::<Vec<_>>(),
            "proven": proven,
            "unproven": unproven,
            "without_certificates": without,
        }),
    )
    .data(data)
    .line(format!(
        "{} proven, {unproven} not proven, {without} without certificates",
        plural(proven, "key")
    ))
    .exit(if untrusted { Exit::Untrusted } else { Exit::Ok }))
}

/// What an assessor reads.
fn evidence_text(
    root: &TrustRoot,
    authority: &Authority,
    at: Timestamp,
    judged: &[(&TrustedKey, Standing)],
) -> String {
    let mut lines = vec![
        String::new(),
        format!(
            "CM-14, certificates of the keys of root {} at {at}",
            root.version()
        ),
    ];
    for anchor in authority.anchors() {
        lines.push(format!(
            "ca:          \"{}\" {}",
            anchor.subject, anchor.sha256
        ));
    }
    for (key, standing) in judged {
        let roles = roles_of(root, key.key.id()).join(", ");
        let head = format!("key:         {} {} ({roles})", key.key.id(), key.person);
        match standing {
            Standing::NoChain => lines.push(format!("{head}: no certificate")),
            Standing::Unproven { leaf, reason } => {
                lines.push(format!("{head}: NOT PROVEN, {reason}"));
                lines.extend(leaf.iter().flat_map(certificate_text));
            }
            Standing::Proven { leaf, path } => {
                lines.push(format!("{head}: proven"));
                lines.extend(certificate_text(leaf));
                let path: Vec<String> = path.iter().map(|c| format!("\"{}\"", c.subject)).collect();
                lines.push(format!("  issued by: {}", path.join(", by ")));
            }
        }
    }
    lines.join("\n") + "\n"
}

fn certificate_text(leaf: &Facts) -> [String; 5] {
    [
        format!("  subject:   \"{}\"", leaf.subject),
        format!("  issuer:    \"{}\"", leaf.issuer),
        format!("  serial:    {}", leaf.serial),
        format!("  valid:     {} to {}", leaf.not_before, leaf.not_after),
        format!("  digest:    {}", leaf.sha256),
    ]
}

fn key_json(root: &TrustRoot, key: &TrustedKey, standing: &Standing) -> Value {
    let (word, leaf, path, reason) = match standing {
        Standing::NoChain => ("none", None, [].as_slice(), None),
        Standing::Unproven { leaf, reason } => {
            ("not-proven", leaf.as_ref(), [].as_slice(), Some(reason))
        }
        Standing::Proven { leaf, path } => ("proven", Some(leaf), path.as_slice(), None),
    };
    json!({
        "keyid": key.key.id().hex(),
        "person": key.person,
        "scheme": key.key.scheme().as_str(),
        "roles": roles_of(root, key.key.id()),
        "standing": word,
        "certificate": leaf,
        "issuers": path,
        "reason": reason,
    })
}
