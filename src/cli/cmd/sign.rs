//! `stage sign`.

use std::io::{Read as _, Seek as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::bundle::{BundleError, BundleId, slot};
use crate::cli::cmd::CommandResult;
use crate::cli::secret::KeyArgs;
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::trust::Role;
use crate::trust::key::PublicKey;
use crate::trust::root::TrustRoot;
use crate::verify::{self, Intact};

/// Add a signature to a bundle, in place.
///
/// The whole bundle is read first and must be intact; its identity does not change. With --trust, the signatures that
/// are there must be good and the key must be known; --role then asserts that the key has that role.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The key to sign with.
    #[command(flatten)]
    key: KeyArgs,
    /// Role that the key must have in the trust root
    #[arg(long, value_name = "ROLE", requires = "trust")]
    role: Option<Role>,
    /// Trust root to check key and existing signatures against
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

pub(crate) fn run(ctx: &Context, args: &SignArgs) -> CommandResult {
    let key = args.key.load(ctx)?;
    let public = key.public()?;
    let mut file = crate::fs::open_read_write(&args.bundle)?;
    crate::fs::lock(&file, &args.bundle)?;
    let intact = verify::integrity(file.by_ref(), &ctx.ui)?;
    if let Some(path) = &args.trust {
        check_role(&intact, &TrustRoot::load(path)?, &public, args.role)?;
    }
    let mut signatures = intact.entries()?;
    let keyid = public.id().hex();
    if signatures.iter().any(|s| s.keyid == keyid) {
        return Err(BundleError::SignedAlready { key: keyid }.into());
    }
    signatures.push(key.sign_statement(&intact.statement_bytes)?);
    file.rewind()
        .map_err(crate::fs::context("read", &args.bundle))?;
    let size = intact.statement_bytes.len() as u64;
    slot::replace(&mut file, size, &signatures)?;
    crate::fs::sync(&file, &args.bundle)?;
    let id = BundleId::of(&intact.statement_bytes);
    Ok(Outcome::new(
        "stage/sign-report/v1",
        json!({
            "bundle": args.bundle.to_string_lossy(),
            "bundle_id": id.to_string(),
            "channel": intact.statement.channel,
            "serial": intact.statement.serial,
            "keyid": keyid,
            "signatures": signatures.len(),
        }),
    )
    .line(format!(
        "Signed {}: channel {}, serial {}, now {}",
        args.bundle.display(),
        intact.statement.channel,
        intact.statement.serial,
        plural(signatures.len(), "signature")
    ))
    .line(format!("Bundle id {id}")))
}

/// The key must be known to the root (the newest the bundle carries) and have the role that was asked for.
fn check_role(
    intact: &Intact,
    root: &TrustRoot,
    key: &PublicKey,
    role: Option<Role>,
) -> Result<(), Failure> {
    let root = intact.check_signatures(root)?;
    let refused = |what: String| Err(UsageError::new(what).into());
    if root.key(key.id()).is_none() {
        return refused(format!("the trust root does not know key {}", key.id()));
    }
    match role {
        Some(role) if !root.is_in_role(key.id(), role) => {
            refused(format!("key {} does not have the role {role}", key.id()))
        }
        _ => Ok(()),
    }
}
