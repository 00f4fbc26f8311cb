//! Receipts on the command line: the file, and beside it the signed envelope.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::base::fault::Fault;
use crate::base::time::Timestamp;
use crate::cli::secret::{PassphraseArgs, secret_key};
use crate::cli::{Context, TOOL};
use crate::fs;
use crate::sign::SecretKey;
use crate::trust::crypto;
use crate::verify::report::VerifyReport;

/// Payload type of a signed receipt (DSSE); the payload is the receipt file, byte for byte.
pub const RECEIPT_TYPE: &str = "application/vnd.stage.receipt+json";
/// What the clock of a receipt was.
const SYSTEM_CLOCK: &str = "system-clock";
/// A time that was given on the command line instead.
const ARGUMENT: &str = "argument";

/// Where a receipt goes and who signs it.
#[derive(Debug, Clone, Args)]
pub struct ReceiptArgs {
    /// File for a JSON receipt: every check, key, digest, the program, the clock; whatever the result
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Sign the receipt with this key: a DSSE envelope of payload type `application/vnd.stage.receipt+json` in FILE.dsse
    #[arg(long, value_name = "KEY", requires = "receipt")]
    receipt_key: Option<PathBuf>,
    /// The key's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Where a receipt will be written to; its key is read.
#[derive(Debug)]
pub struct ReceiptFile {
    path: PathBuf,
    key: Option<SecretKey>,
}

impl ReceiptArgs {
    /// Reads the key before any work is done, so that nothing is left without its receipt.
    pub fn prepare(&self, ctx: &Context) -> Result<Option<ReceiptFile>, Box<dyn Fault>> {
        let Some(path) = self.receipt.clone() else {
            return Ok(None);
        };
        let key = self.receipt_key.as_ref();
        let key = key
            .map(|key| secret_key(ctx, key, &self.passphrase))
            .transpose()?;
        Ok(Some(ReceiptFile { path, key }))
    }
}

/// The report of a verification as its receipt: with the program and the clock it was judged by.
pub fn of_verification(report: &VerifyReport, floor: Option<Timestamp>, fips_host: bool) -> Value {
    let mut json = serde_json::to_value(report).unwrap_or_default();
    if let Value::Object(map) = &mut json {
        let source = if report.at_given {
            ARGUMENT
        } else {
            SYSTEM_CLOCK
        };
        map.insert("tool".to_owned(), TOOL.into());
        map.insert("time_source".to_owned(), source.into());
        map.insert("time_floor".to_owned(), json!(floor));
        map.insert("crypto".to_owned(), crypto::receipt(fips_host));
    }
    json
}

impl ReceiptFile {
    /// Writes the receipt and its envelope, each all or nothing.
    pub fn write(&self, receipt: &[u8]) -> Result<(), Box<dyn Fault>> {
        fs::write_atomic(&self.path, receipt, 0o644)?;
        let Some(key) = &self.key else { return Ok(()) };
        let signature = key.sign_payload(RECEIPT_TYPE, receipt)?;
        let envelope: Value = json!({
            "payload": data_encoding::BASE64.encode(receipt),
            "payloadType": RECEIPT_TYPE,
            "signatures": [signature.to_value()],
        });
        let mut name = self.path.clone().into_os_string();
        name.push(".dsse");
        let envelope = crate::base::json::canonical(&envelope);
        Ok(fs::write_atomic(&PathBuf::from(name), &envelope, 0o644)?)
    }
}
