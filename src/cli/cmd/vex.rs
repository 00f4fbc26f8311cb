//! `stage vex`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::{quoted, shown};
use crate::cli::cmd::CommandResult;
use crate::cli::subject::{self, read_records};
use crate::cli::ui::{self, Failure, Outcome};
use crate::cli::vulns::{OsvArgs, carried_place, carried_records, look_up_carried};
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::lock::{Lock, Records, format};
use crate::manifest;
use crate::policy::Policy;
use crate::vex::cyclonedx::{self, Sbom};
use crate::vex::{self, Issuer, Status, openvex};
use crate::vulns::{self, Checked, Closure, Given, NO_DATABASE, Query};

/// Path of the SBOM in a bundle.
const SBOM: &str = "sbom/bundle.cdx.json";

/// Say of every known vulnerability whether it affects what is carried: OpenVEX, or CycloneDX VEX that points into a
/// bundle's SBOM.
///
/// What a waiver says with `status` and `justification` is said; a waiver without them says `affected`, and accepted
/// by whom. What nobody waived is `affected`, or `under_investigation` where versions cannot be compared.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage vex stage.lock --osv osv/ --policy policy.toml --as openvex -o stage.vex.json\n  \
    stage vex openclaw.stage --as cyclonedx --policy policy.toml -o openclaw.vex.cdx.json"
)]
pub struct VexArgs {
    /// A lock, whose records must be beside it, or a bundle
    #[arg(value_name = "LOCK|BUNDLE")]
    subject: PathBuf,
    /// The form
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Form,
    /// The policy whose waivers are said
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Who says it
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    author: String,
    /// Also say `fixed` of every vulnerability that the changelog of a carried Debian package mentions; reads the packages
    /// in the store. Nobody checked what was done about it, and the statement says so
    #[cfg(feature = "connected")]
    #[arg(long)]
    changelogs: bool,
    /// Look up known vulnerabilities in this export of OSV [default: the records that the bundle carries]
    #[command(flatten)]
    osv: OsvArgs,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// A form of VEX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// OpenVEX 0.2.0
    Openvex,
    /// CycloneDX 1.6
    Cyclonedx,
}

/// What is said something of.
struct Subject {
    lock: Lock,
    records: Records,
    sbom: Option<Sbom>,
    /// Where a bundle has records of its own: their digest, the start and the length.
    carried: Option<(Digest, u64, u64)>,
}

pub(crate) fn run(ctx: &Context, args: &VexArgs) -> CommandResult {
    let policy = args.policy.as_deref().map(Policy::load).transpose()?;
    let subject = open(ctx, &args.subject)?;
    let checked = look_up(args, &subject)?;
    let now = ctx.stamp()?;
    let mut statements = vex::statements(&checked, policy.as_ref(), now);
    #[cfg(feature = "connected")]
    let mentions = mentions(ctx, args, &subject)?;
    #[cfg(not(feature = "connected"))]
    let mentions = Mentions::new();
    let debian = EcosystemId::debian();
    let mut fixed = Vec::new();
    for (release, ids) in &mentions {
        let of = ids.iter();
        fixed.extend(of.filter_map(|(id, version)| {
            vex::mentioned(&statements, (&debian, release), id, version)
        }));
    }
    statements.extend(fixed);
    let author = crate::base::text::visible(&args.author);
    let issuer = Issuer {
        author: &author,
        at: now,
        tool: ("stage", env!("CARGO_PKG_VERSION")),
    };
    let bytes = match args.form {
        Form::Openvex if statements.is_empty() => {
            let message =
                "nothing is known of it, and an OpenVEX document has at least one statement";
            return Err(UsageError::new(message)
                .next("`--as cyclonedx` can be empty")
                .into());
        }
        Form::Openvex => openvex::write(&statements, &issuer),
        Form::Cyclonedx => cyclonedx::write(&statements, &issuer, subject.sbom.as_ref()),
    };
    fs::write_atomic(&args.output, &bytes, 0o644)?;
    let count = |is: &dyn Fn(&Status) -> bool| statements.iter().filter(|s| is(&s.status)).count();
    let not_affected = count(&|s| matches!(s, Status::NotAffected(_)));
    let affected = count(&|s| *s == Status::Affected);
    let open = count(&|s| *s == Status::UnderInvestigation);
    let fixed = count(&|s| *s == Status::Fixed);
    let report = json!({
        "written": args.output.to_string_lossy(),
        "digest": Digest::of(&bytes),
        "affected": affected,
        "not_affected": not_affected,
        "under_investigation": open,
        "fixed": fixed,
        "vulnerabilities": checked.json(),
    });
    Ok(Outcome::new("stage/vex-report/v1", report).line(format!(
        "Wrote {}: {}, {affected} affected, {not_affected} not affected, {open} under investigation, {fixed} fixed",
        shown(&args.output),
        ui::plural(statements.len(), "statement"),
    )))
}

/// What changelogs mention, by package and id.
type Mentions = BTreeMap<ReleaseId, BTreeMap<String, String>>;

#[cfg(feature = "connected")]
fn mentions(ctx: &Context, args: &VexArgs, subject: &Subject) -> Result<Mentions, Failure> {
    if !args.changelogs {
        return Ok(Mentions::new());
    }
    let store = crate::cli::connect::store(ctx)?;
    let found = crate::changelogs::read(&subject.lock, &store, &ctx.ui)?;
    if !found.unread.is_empty() {
        let count = ui::plural(found.unread.len(), "Debian package");
        ctx.ui.warn(&format!(
            "no changelog was read of {count}: not in the store, or without one of its own"
        ));
    }
    Ok(found.mentions)
}

fn open(ctx: &Context, path: &Path) -> Result<Subject, Failure> {
    if !subject::is_bundle(path)? {
        let bytes = fs::read(path, LIMITS.document)?;
        let lock = format::parse_named(&path.to_string_lossy(), &bytes)?;
        let records = read_records(&lock, &manifest::records_path(path))?;
        return Ok(Subject {
            lock,
            records,
            sbom: None,
            carried: None,
        });
    }
    let name = quoted(&path.to_string_lossy());
    ctx.ui
        .warn(&format!("{name} is whole, but nobody verified who made it"));
    let intact = crate::verify::integrity(fs::open(path)?, &ctx.ui)?;
    let Some(lock) = intact.lock.clone() else {
        return Err(UsageError::new(format!(
            "{name} carries plain files, of which no database knows"
        ))
        .into());
    };
    let records = carried_records(intact.documents());
    let mut sbom = None;
    for (at, bytes) in intact.documents() {
        if at.as_str() == SBOM {
            sbom = Sbom::of(bytes);
        }
    }
    let carried = carried_place(path, &intact.manifest)?;
    Ok(Subject {
        lock,
        records,
        sbom,
        carried,
    })
}

fn look_up(args: &VexArgs, subject: &Subject) -> Result<Checked, Failure> {
    let closures = [Closure {
        lock: &subject.lock,
        records: &subject.records,
    }];
    let ask = |database| {
        vulns::check(&mut Query {
            database,
            closures: &closures,
            carry: None,
        })
    };
    match (&args.osv.osv, subject.carried) {
        (Some(path), _) => Ok(ask(Given::Path(path))?),
        (None, Some(place)) => look_up_carried(&args.subject, place, &closures),
        (None, None) => Err(UsageError::new(NO_DATABASE)
            .next("give an export of OSV with --osv")
            .into()),
    }
}
