//! A Sigstore instance of the tests: an authority that issues certificates to workflows, a log of those certificates, and
//! a log of what was signed, which has one entry. Whoever has its root believes all of it.

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _,
};
use serde_json::{Value, json};
use stage::base::digest::Digest;

/// Seconds since 1970 at which everything is signed: 2026-01-15T00:00:00Z.
const SIGNED: i64 = 1_768_435_200;

/// Kind of the statements that are attested.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The instance.
pub(crate) struct Instance {
    authority: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    certificates: KeyPair,
    entries: KeyPair,
}

/// Who signs.
#[derive(Clone)]
pub(crate) struct Who {
    /// Address of the workflow, with the branch or tag that it runs for.
    pub(crate) identity: String,
    /// Who vouches for it.
    pub(crate) issuer: &'static str,
}

/// What somebody signed, in the parts that documents are made of.
pub(crate) struct Signed {
    certificate: String,
    payload: String,
    signature: String,
    entry: Value,
}

impl Instance {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = at(SIGNED - 86_400);
        params.not_after = at(SIGNED + 10 * 365 * 86_400);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            authority: Issuer::new(params, key),
            certificate,
            certificates: KeyPair::generate().unwrap(),
            entries: KeyPair::generate().unwrap(),
        }
    }

    /// Its `trusted_root.json`.
    pub(crate) fn root(&self) -> String {
        let start = json!({"start": "2026-01-01T00:00:00Z"});
        let log = |key: &KeyPair| {
            let spki = key.subject_public_key_info();
            json!({
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": BASE64.encode(&spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": start},
                "logId": {"keyId": BASE64.encode(Digest::of(&spki).bytes())},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.entries)],
            "certificateAuthorities": [{
                "subject": {"organization": "tests", "commonName": "tests"},
                "uri": "https://authority.example",
                "certChain": {"certificates": [{"rawBytes": BASE64.encode(&self.certificate)}]},
                "validFor": start,
            }],
            "ctlogs": [log(&self.certificates)],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    /// Somebody's statement about files of these names and digests.
    pub(crate) fn state(&self, who: &Who, files: &[(&str, Digest)], predicate: &str) -> Signed {
        let subject = |(name, digest): &(&str, Digest)| json!({"name": name, "digest": {"sha256": digest.hex()}});
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": files.iter().map(subject).collect::<Vec<_>>(),
            "predicateType": predicate,
            "predicate": null,
        });
        self.sign(who, statement.to_string().as_bytes())
    }

    /// Signs a statement as it is.
    pub(crate) fn sign(&self, who: &Who, statement: &[u8]) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = self.issue(who, &key);
        let pae = [
            format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), statement.len()).as_bytes(),
            statement,
        ]
        .concat();
        let signature = BASE64.encode(&key.sign(&pae).unwrap());
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            BASE64.encode(&certificate)
        );
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": Digest::of(b"as it was sent").hex()},
            "payloadHash": {"algorithm": "sha256", "value": Digest::of(statement).hex()},
            "signatures": [{"signature": signature, "verifier": BASE64.encode(pem.as_bytes())}],
        }});
        Signed {
            certificate: BASE64.encode(&certificate),
            payload: BASE64.encode(statement),
            signature,
            entry: self.entry(body.to_string().as_bytes()),
        }
    }

    /// The entry of the log that has these bytes and nothing else in it.
    fn entry(&self, body: &[u8]) -> Value {
        let id = Digest::of(&self.entries.subject_public_key_info());
        let leaf = Digest::of(&[&[0], body].concat());
        let root = BASE64.encode(leaf.bytes());
        let promise = format!(
            "{{\"body\":\"{}\",\"integratedTime\":{SIGNED},\"logID\":\"{}\",\"logIndex\":0}}",
            BASE64.encode(body),
            id.hex()
        );
        let note = format!("log.example\n1\n{root}\n");
        let signature = self.entries.sign(note.as_bytes()).unwrap();
        let signature = BASE64.encode(&[&id.bytes()[..4], &signature].concat());
        json!({
            "logIndex": "0",
            "logId": {"keyId": BASE64.encode(id.bytes())},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": SIGNED.to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": BASE64.encode(&self.entries.sign(promise.as_bytes()).unwrap()),
            },
            "inclusionProof": {
                "logIndex": "0", "treeSize": "1", "rootHash": root, "hashes": [],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {signature}\n")},
            },
            "canonicalizedBody": BASE64.encode(body),
        })
    }

    /// A certificate of ten minutes, with the promise of the log of certificates in it.
    fn issue(&self, who: &Who, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(who.identity.as_str().try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.serial_number = Some(SerialNumber::from_slice(&[0x42; 16]));
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(SIGNED - 60);
        params.not_after = at(SIGNED + 540);
        let issuer = CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 57264, 1, 1],
            who.issuer.as_bytes().to_vec(),
        );
        params.custom_extensions = vec![issuer];
        let before = params.signed_by(key, &self.authority).unwrap();
        let promise = self.promise(signed_part(before.der()));
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2],
                promise,
            ));
        let certificate = params.signed_by(key, &self.authority).unwrap();
        certificate.der().to_vec()
    }

    /// What the log of certificates promises of one (RFC 6962 §3.2), as the extension has it.
    fn promise(&self, certificate: &[u8]) -> Vec<u8> {
        let time = u64::try_from(SIGNED * 1000).unwrap().to_be_bytes();
        let issuer = Digest::of(&self.authority.key().subject_public_key_info());
        let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        let signed = [
            &[0, 0],
            &time[..],
            &[0, 1],
            issuer.bytes(),
            &length[1..],
            certificate,
            &[0, 0],
        ]
        .concat();
        let signature = self.certificates.sign(&signed).unwrap();
        let id = Digest::of(&self.certificates.subject_public_key_info());
        let promise = [
            &[0],
            &id.bytes()[..],
            &time,
            &[0, 0],
            &[4, 3],
            &short(&signature),
        ]
        .concat();
        let list = short(&short(&promise));
        [&[4, u8::try_from(list.len()).unwrap()], &list[..]].concat()
    }
}

/// Bytes behind their length in two bytes.
fn short(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

/// The part of a certificate that is signed: the first element of its outer sequence.
fn signed_part(certificate: &[u8]) -> &[u8] {
    let (_, content) = element(certificate);
    let (whole, _) = element(content);
    whole
}

/// The first element, and its content (DER, lengths below 64 KiB).
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (head, length) = match der[1] {
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        short => (2, usize::from(short)),
    };
    (&der[..head + length], &der[head..head + length])
}

fn at(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

impl Signed {
    /// As an attestation of PEP 740.
    pub(crate) fn attestation(&self) -> Value {
        json!({
            "version": 1,
            "verification_material": {"certificate": self.certificate, "transparency_entries": [self.entry]},
            "envelope": {"statement": self.payload, "signature": self.signature},
        })
    }

    /// As a Sigstore bundle.
    pub(crate) fn bundle(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": self.certificate}, "tlogEntries": [self.entry]},
            "dsseEnvelope": {"payload": self.payload, "payloadType": IN_TOTO, "signatures": [{"sig": self.signature}]},
        })
    }
}

/// A provenance object with these attestations.
pub(crate) fn provenance(attestations: &[Value]) -> Value {
    let publisher =
        json!({"kind": "GitHub", "repository": "somebody/says-so", "workflow": "any.yml"});
    json!({"version": 1, "attestation_bundles": [{"publisher": publisher, "attestations": attestations}]})
}
