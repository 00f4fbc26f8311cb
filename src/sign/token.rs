//! Keys on PKCS#11 tokens: HSMs, smart cards, `SoftHSM`. The secret key stays there; feature `pkcs11`, dynamic builds only,
//! since the module is a shared library that is loaded.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use crate::sign::uri::TokenUri;
use crate::sign::{Passphrase, SignError};
use crate::trust::key::{PublicKey, Scheme};

/// `CKA_EC_PARAMS` of P-384.
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// A key on a token, with the user logged in.
pub(super) struct TokenKey {
    session: Session,
    secret: ObjectHandle,
    public: PublicKey,
}

fn failed(what: &'static str) -> impl Fn(cryptoki::error::Error) -> SignError {
    move |error| SignError::Token {
        reason: format!("{what}: {}", crate::base::text::escaped(&error.to_string())),
    }
}

fn none(reason: &str) -> SignError {
    SignError::Token {
        reason: reason.to_owned(),
    }
}

impl TokenKey {
    /// Finds the one key that the address names, and logs in.
    pub(super) fn open(uri: &TokenUri, pin: &Passphrase) -> Result<Self, SignError> {
        let module = uri
            .module
            .as_deref()
            .ok_or_else(|| none("no module is named: give module-path"))?;
        let context = Pkcs11::new(module).map_err(failed("the module cannot be loaded"))?;
        context
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed("the module cannot be used"))?;
        let slot = slot(&context, uri)?;
        let session = context
            .open_ro_session(slot)
            .map_err(failed("the token cannot be opened"))?;
        let pin = std::str::from_utf8(pin.bytes()).map_err(|_bytes| none("the PIN is no text"))?;
        session
            .login(UserType::User, Some(&AuthPin::new(pin.into())))
            .map_err(failed("the token does not take the PIN"))?;
        let secret = object(&session, uri, ObjectClass::PRIVATE_KEY)?;
        let public = object(&session, uri, ObjectClass::PUBLIC_KEY)?;
        let public = public_key(&session, public)?;
        Ok(Self {
            session,
            secret,
            public,
        })
    }

    pub(super) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature as the key's scheme writes it; it is checked, since it came from outside.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = if self.public.scheme() == Scheme::Ed25519 {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            self.session.sign(&mechanism, self.secret, message)
        } else {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, message);
            self.session
                .sign(&Mechanism::Ecdsa, self.secret, digest.as_ref())
                .map(|raw| der(&raw))
        }
        .map_err(failed("the token does not sign"))?;
        if self.public.verifies(message, &signature)? {
            return Ok(signature);
        }
        Err(none("the token gave a signature that does not verify"))
    }
}

fn slot(context: &Pkcs11, uri: &TokenUri) -> Result<Slot, SignError> {
    let slots = context
        .get_slots_with_initialized_token()
        .map_err(failed("the tokens cannot be listed"))?;
    let mut fitting = Vec::new();
    for slot in slots {
        let info = context
            .get_token_info(slot)
            .map_err(failed("a token cannot be read"))?;
        let fits = |wanted: &Option<Vec<u8>>, found: &str| {
            wanted.as_deref().is_none_or(|w| w == found.as_bytes())
        };
        if fits(&uri.token, info.label()) && fits(&uri.serial, info.serial_number()) {
            fitting.push(slot);
        }
    }
    match fitting.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(none("no token fits the address")),
        _ => Err(none(
            "several tokens fit the address; add token= or serial=",
        )),
    }
}

fn object(
    session: &Session,
    uri: &TokenUri,
    class: ObjectClass,
) -> Result<ObjectHandle, SignError> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.clone().map(Attribute::Label));
    template.extend(uri.id.clone().map(Attribute::Id));
    let found = session
        .find_objects(&template)
        .map_err(failed("the keys cannot be listed"))?;
    match found.as_slice() {
        [object] => Ok(*object),
        [] => Err(none("no key pair on the token fits the address")),
        _ => Err(none("several keys fit the address; add id=")),
    }
}

fn public_key(session: &Session, object: ObjectHandle) -> Result<PublicKey, SignError> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    let found = session
        .get_attributes(object, &wanted)
        .map_err(failed("the public key cannot be read"))?;
    let (mut kind, mut curve, mut point) = (None, Vec::new(), Vec::new());
    for attribute in found {
        match attribute {
            Attribute::KeyType(value) => kind = Some(value),
            Attribute::EcParams(value) => curve = value,
            Attribute::EcPoint(value) => point = value,
            _ => {}
        }
    }
    // CKA_EC_POINT is an octet string; some tokens leave its header out.
    let bare = |length: u8| match point.strip_prefix(&[4, length]) {
        Some(rest) if rest.len() == usize::from(length) => rest,
        _ => point.as_slice(),
    };
    if kind == Some(KeyType::EC) && curve == P384 {
        return Ok(PublicKey::from_p384(bare(97))?);
    }
    if kind == Some(KeyType::EC_EDWARDS)
        && let Ok(bytes) = bare(32).try_into()
    {
        return Ok(PublicKey::from_ed25519(bytes)?);
    }
    Err(SignError::Scheme)
}

/// An ECDSA signature in DER from r and s of fixed length.
fn der(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at_checked(raw.len() / 2).unwrap_or_default();
    let mut body = Vec::new();
    for number in [r, s] {
        let zeros = number.iter().take_while(|b| **b == 0).count();
        let digits = number.get(zeros..).unwrap_or_default();
        let sign: &[u8] = match digits.first() {
            Some(first) if first & 0x80 == 0 => &[],
            _ => &[0],
        };
        let value = [sign, digits].concat();
        // A number of P-384 has at most 49 bytes, so that one byte says its length.
        body.extend([0x02, u8::try_from(value.len()).unwrap_or_default()]);
        body.extend(value);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).unwrap_or_default()];
    out.extend(body);
    out
}
