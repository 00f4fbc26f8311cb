//! `stage trust`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::base::json;
use crate::base::text::quoted;
use crate::base::time::{Span, Timestamp};
use crate::cli::cmd::CommandResult;
use crate::cli::secret::{self, PassphraseArgs};
use crate::cli::ui::{Failure, Outcome, plural};
use crate::cli::{Context, UsageError};
use crate::sign;
use crate::trust::Role;
use crate::trust::key::{PublicKey, Scheme};
use crate::trust::root::TrustRoot;

/// Make trust roots and look at them.
#[derive(Debug, Args)]
pub struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Make the first trust root: of one person, or of several with their roles
    Init(Box<InitArgs>),
    /// Print the fingerprint of a trust root: what is compared over another path than the medium
    Fingerprint(RootArgs),
    /// Show persons, keys, roles and epochs of a trust root
    Inspect(RootArgs),
}

/// Which schemes a root accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Ed25519 and ECDSA P-384
    Default,
    /// ECDSA P-384 only
    Fips,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stage trust init --key k.pem -o root.json\n  stage trust init \
    --root R.pub=rita --builder A.pub=alice --releaser B.pub=bob -o root.json"
)]
struct InitArgs {
    /// The only person's key, secret or public: it gets the roles root and builder
    #[arg(long, value_name = "FILE", required_unless_present = "root", conflicts_with_all = ["root", "builder", "releaser", "transfer"])]
    key: Option<PathBuf>,
    /// Name of the only person
    #[arg(long, value_name = "NAME", default_value = "owner", requires = "key")]
    person: String,
    /// Public key of a person who may sign the next root
    #[arg(long, value_name = "FILE=PERSON", requires = "builder")]
    root: Vec<KeyOf>,
    /// Public key of a person who may sign as builder
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    builder: Vec<KeyOf>,
    /// Public key of a person who may countersign; with this role, builder and releaser must be different persons
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    releaser: Vec<KeyOf>,
    /// Public key of a person who may sign transfer records
    #[arg(long, value_name = "FILE=PERSON", requires = "root")]
    transfer: Vec<KeyOf>,
    /// Persons who must sign in a role [default: 1]
    #[arg(long, value_name = "ROLE=N")]
    threshold: Vec<ThresholdOf>,
    /// How long the root is valid
    #[arg(long, value_name = "TIME", default_value = "365d")]
    expires: Span,
    /// Schemes the root accepts
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    /// File for the root document, which may not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
struct RootArgs {
    /// The root document or its envelope
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// `FILE=PERSON`.
#[derive(Debug, Clone)]
struct KeyOf {
    file: PathBuf,
    person: String,
}

impl FromStr for KeyOf {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text.rsplit_once('=') {
            Some((file, person)) if !file.is_empty() && !person.is_empty() => Ok(Self {
                file: PathBuf::from(file),
                person: person.to_owned(),
            }),
            _ => Err(UsageError::new("expected FILE=PERSON")),
        }
    }
}

/// `ROLE=N`.
#[derive(Debug, Clone)]
struct ThresholdOf {
    role: Role,
    threshold: u64,
}

impl FromStr for ThresholdOf {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        let parsed = text.split_once('=').and_then(|(role, number)| {
            Some(Self {
                role: role.parse().ok()?,
                threshold: number.parse().ok().filter(|n| *n > 0)?,
            })
        });
        parsed.ok_or_else(|| UsageError::new("expected ROLE=N, such as root=2"))
    }
}

pub(crate) fn run(ctx: &Context, args: &TrustArgs) -> CommandResult {
    match &args.command {
        TrustCommand::Init(args) => init(ctx, args),
        TrustCommand::Fingerprint(args) => fingerprint(&args.file),
        TrustCommand::Inspect(args) => inspect(&args.file),
    }
}

fn fingerprint(file: &Path) -> CommandResult {
    let root = TrustRoot::load(file)?;
    let fingerprint = root.fingerprint();
    Ok(Outcome::new(
        "stage/fingerprint-report/v1",
        json!({"fingerprint": fingerprint, "version": root.version()}),
    )
    .data(format!("{fingerprint}\n")))
}

fn inspect(file: &Path) -> CommandResult {
    let root = TrustRoot::load(file)?;
    let document: Value = serde_json::from_slice(root.canonical()).unwrap_or_default();
    Ok(Outcome::new(
        "stage/trust-report/v1",
        json!({"fingerprint": root.fingerprint(), "root": document}),
    )
    .data(describe(&root)))
}

fn describe(root: &TrustRoot) -> String {
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
        let roles: Vec<&str> = root
            .roles_of(key.key.id())
            .iter()
            .map(|r| r.as_str())
            .collect();
        lines.push(format!(
            "key:         {} {} {} ({})",
            key.key.id(),
            key.key.scheme(),
            key.person,
            roles.join(", ")
        ));
    }
    lines.join("\n") + "\n"
}

/// Keys in the order they were named, persons, and which keys are in which role.
#[derive(Default)]
struct Draft {
    keys: Vec<(PublicKey, String)>,
    roles: BTreeMap<Role, Vec<String>>,
}

impl Draft {
    fn add(&mut self, role: Role, key: PublicKey, person: &str) -> Result<(), UsageError> {
        let keyid = key.id().hex();
        match self.keys.iter().find(|(known, _)| known.id() == key.id()) {
            Some((_, other)) if other != person => {
                return Err(UsageError::new(format!(
                    "key {keyid} is given to {} and {}",
                    quoted(other),
                    quoted(person)
                )));
            }
            Some(_) => {}
            None => self.keys.push((key, person.to_owned())),
        }
        self.roles.entry(role).or_default().push(keyid);
        Ok(())
    }

    fn document(&self, thresholds: &BTreeMap<Role, u64>, expires: Timestamp) -> Vec<u8> {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|(key, person)| {
                json!({
                    "keyid": key.id().hex(),
                    "scheme": key.scheme().as_str(),
                    "person": person,
                    "spki": BASE64.encode(key.spki()),
                })
            })
            .collect();
        let roles: serde_json::Map<String, Value> = self
            .roles
            .iter()
            .map(|(role, keyids)| {
                let threshold = thresholds.get(role).copied().unwrap_or(1);
                let rule = json!({"keyids": keyids, "threshold": threshold});
                (role.as_str().to_owned(), rule)
            })
            .collect();
        json::canonical(&json!({
            "_type": "stage-root",
            "version": 1,
            "expires": expires,
            "epochs": {"*": 1},
            "keys": keys,
            "roles": roles,
        }))
    }
}

fn init(ctx: &Context, args: &InitArgs) -> CommandResult {
    if crate::fs::exists(&args.output) {
        return Err(UsageError::new(format!(
            "{} exists already; a trust root is never overwritten",
            quoted(&args.output.to_string_lossy())
        ))
        .into());
    }
    let draft = match &args.key {
        Some(path) => one_person(ctx, args, path)?,
        None => several_persons(args)?,
    };
    if args.profile == Profile::Fips
        && let Some((key, person)) = draft
            .keys
            .iter()
            .find(|(key, _)| key.scheme() != Scheme::EcdsaP384)
    {
        return Err(UsageError::new(format!(
            "the key of {} is {}, and profile fips takes only ecdsa-p384-sha384",
            quoted(person),
            key.scheme()
        ))
        .into());
    }
    let mut thresholds = BTreeMap::new();
    for given in &args.threshold {
        if !draft.roles.contains_key(&given.role) {
            return Err(UsageError::new(format!("nobody has the role {}", given.role)).into());
        }
        thresholds.insert(given.role, given.threshold);
    }
    let expires = ctx.stamp()?.plus_seconds(args.expires.seconds());
    let document = draft.document(&thresholds, expires);
    // What comes in by arguments is judged like any other root; a breach is wrong use here.
    let root = TrustRoot::parse(&document).map_err(|e| UsageError::new(e.to_string()))?;
    crate::fs::write_atomic(&args.output, &document, 0o644)?;
    Ok(Outcome::new(
        "stage/trust-report/v1",
        json!({
            "file": args.output.to_string_lossy(),
            "fingerprint": root.fingerprint(),
            "version": root.version(),
            "expires": root.expires(),
        }),
    )
    .line(format!(
        "Wrote {}: version 1, {}, valid until {}",
        args.output.display(),
        plural(root.keys().len(), "key"),
        root.expires()
    ))
    .line(format!("Fingerprint {}", root.fingerprint())))
}

fn one_person(ctx: &Context, args: &InitArgs, path: &Path) -> Result<Draft, Failure> {
    let pem = secret::pem(path)?;
    let key = match sign::encrypted_pem(&pem) {
        Some(_) => secret::secret_key(ctx, path, &args.passphrase)?.public()?,
        None => PublicKey::from_pem(&pem)?,
    };
    let mut draft = Draft::default();
    draft.add(Role::Root, key.clone(), &args.person)?;
    draft.add(Role::Builder, key, &args.person)?;
    Ok(draft)
}

fn several_persons(args: &InitArgs) -> Result<Draft, Failure> {
    let given = [
        (Role::Root, &args.root),
        (Role::Builder, &args.builder),
        (Role::Releaser, &args.releaser),
        (Role::Transfer, &args.transfer),
    ];
    let mut draft = Draft::default();
    for (role, keys) in given {
        for key in keys {
            let pem = secret::pem(&key.file)?;
            if sign::encrypted_pem(&pem).is_some() {
                return Err(UsageError::new(format!(
                    "{} is a secret key; give the public one",
                    quoted(&key.file.to_string_lossy())
                ))
                .into());
            }
            draft.add(role, PublicKey::from_pem(&pem)?, &key.person)?;
        }
    }
    Ok(draft)
}
