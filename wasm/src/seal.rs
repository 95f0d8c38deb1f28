//! seal, open, rewrap, reseal, inspect. Options arrive one call each; the TypeScript has made them of an object.

use crate::error::Result;
use crate::keys::{Identity, Keyring, Recipient, SymmetricKey, aead_name, aead_named, kem_name};
use crate::outside::OpenOutside;
use js_sys::{Array, Function, Uint8Array};
use sealwire::{
    About, Addressed, Aead, Error, Expect, Finished, Header, Metadata, MetadataValue, Opener, Recipients,
    SealedParts, Sealer, SignedBy, Signer, SlotKind,
};
use std::sync::Arc;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// What a payload is for.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Context(pub(crate) sealwire::SealContext);

#[wasm_bindgen]
impl Context {
    #[wasm_bindgen(constructor)]
    pub fn new(namespace: &str) -> Self {
        Self(sealwire::SealContext::new(namespace))
    }

    pub fn text(&mut self, text: &str) {
        self.0 = self.0.clone().field(text);
    }

    pub fn number(&mut self, number: u64) {
        self.0 = self.0.clone().field(number);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0 = self.0.clone().field(bytes);
    }
}

/// What to seal with.
#[wasm_bindgen]
pub struct Sealing {
    context: sealwire::SealContext,
    readers: Vec<Reader>,
    classical_allowed: bool,
    signer: Option<Arc<sealwire::Identity>>,
    metadata: Vec<(String, MetadataValue)>,
    created: Option<u64>,
    content_type: Option<String>,
    filename: Option<String>,
    aead: Option<Aead>,
    padded: bool,
    part: String,
}

enum Reader {
    Recipient(Arc<sealwire::Recipient>),
    Anonymous(Arc<sealwire::Recipient>),
    Stretched(sealwire::StretchedPassphrase),
    Key(Arc<sealwire::SymmetricKey>),
    Service(Service),
}

/// A key service. What it makes of the content key is asked of JavaScript, at once.
struct Service {
    name: String,
    wrap: Function,
}

impl sealwire::KeyService for Service {
    fn service(&self) -> &str {
        &self.name
    }

    fn wrap_key(&self, content_key: &[u8; 32], binding: &[u8]) -> sealwire::Result<Vec<u8>> {
        let (key, binding) = (Uint8Array::from(content_key.as_slice()), Uint8Array::from(binding));
        let wrapped = self.wrap.call2(&JsValue::UNDEFINED, &key, &binding);
        Ok(Uint8Array::new(&wrapped.unwrap_or_default()).to_vec())
    }

    fn unwrap_key(&self, _: &[u8], _: &[u8]) -> sealwire::Result<Option<sealwire::Candidate>> {
        Ok(None)
    }
}

#[wasm_bindgen]
impl Sealing {
    #[wasm_bindgen(constructor)]
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.0.clone(),
            readers: Vec::new(),
            classical_allowed: false,
            signer: None,
            metadata: Vec::new(),
            created: None,
            content_type: None,
            filename: None,
            aead: None,
            padded: true,
            part: String::new(),
        }
    }

    pub fn recipient(&mut self, recipient: &Recipient) {
        self.readers.push(Reader::Recipient(Arc::clone(&recipient.0)));
    }

    pub fn anonymous(&mut self, recipient: &Recipient) {
        self.readers.push(Reader::Anonymous(Arc::clone(&recipient.0)));
    }

    /// A passphrase that was stretched elsewhere.
    pub fn stretched(&mut self, stretched: Vec<u8>) -> Result<()> {
        let stretched = sealwire::StretchedPassphrase::from_bytes(&Zeroizing::new(stretched))?;
        self.readers.push(Reader::Stretched(stretched));
        Ok(())
    }

    pub fn key(&mut self, key: &SymmetricKey) {
        self.readers.push(Reader::Key(Arc::clone(&key.0)));
    }

    pub fn service(&mut self, name: String, wrap: Function) {
        self.readers.push(Reader::Service(Service { name, wrap }));
    }

    #[wasm_bindgen(js_name = allowClassical)]
    pub fn allow_classical(&mut self) {
        self.classical_allowed = true;
    }

    pub fn sign(&mut self, identity: &Identity) {
        self.signer = Some(Arc::clone(&identity.0));
    }

    #[wasm_bindgen(js_name = metadataText)]
    pub fn metadata_text(&mut self, key: String, value: String) {
        self.metadata.push((key, MetadataValue::Text(value)));
    }

    #[wasm_bindgen(js_name = metadataNumber)]
    pub fn metadata_number(&mut self, key: String, value: u64) {
        self.metadata.push((key, MetadataValue::Number(value)));
    }

    #[wasm_bindgen(js_name = metadataBytes)]
    pub fn metadata_bytes(&mut self, key: String, value: Vec<u8>) {
        self.metadata.push((key, MetadataValue::Bytes(value)));
    }

    pub fn created(&mut self, unix_seconds: u64) {
        self.created = Some(unix_seconds);
    }

    #[wasm_bindgen(js_name = contentType)]
    pub fn content_type(&mut self, media_type: String) {
        self.content_type = Some(media_type);
    }

    pub fn filename(&mut self, name: String) {
        self.filename = Some(name);
    }

    pub fn aead(&mut self, name: &str) -> Result<()> {
        self.aead = Some(aead_named(name)?);
        Ok(())
    }

    pub fn unpadded(&mut self) {
        self.padded = false;
    }

    pub fn part(&mut self, part: String) {
        self.part = part;
    }

    /// Takes over what another envelope says, as `Sealer::reseal` does.
    pub fn keeping(&mut self, outside: &OpenOutside) {
        let about = outside.0.about();
        for (key, value) in about.metadata.iter() {
            if self.metadata.iter().all(|(known, _)| known != key) {
                self.metadata.push((key.into(), value.clone()));
            }
        }
        self.created = self.created.or(about.created);
        self.content_type = self.content_type.take().or_else(|| about.content_type.clone());
        self.filename = self.filename.take().or_else(|| about.filename.clone());
        self.aead = self.aead.or(Some(outside.0.key().aead()));
        self.padded = self.padded && outside.0.is_padded();
    }

    pub fn seal(&self, plaintext: Vec<u8>) -> Result<Vec<u8>> {
        let mut plaintext = plaintext;
        let sealed = self.sealer().seal(&plaintext);
        // zeroize writes byte after byte in WASM: an eighth of the time that sealing takes.
        plaintext.fill(0);
        std::hint::black_box(&plaintext);
        Ok(sealed?)
    }

    /// `[header, body, …]`, the bodies in the order of the parts.
    #[wasm_bindgen(js_name = sealParts)]
    pub fn seal_parts(&self, names: Vec<String>, payloads: Vec<Uint8Array>) -> Result<Array> {
        let payloads: Vec<_> = payloads.iter().map(|payload| Zeroizing::new(payload.to_vec())).collect();
        let payloads = payloads.iter().map(|payload| payload.as_slice());
        let parts: Vec<_> = names.iter().map(String::as_str).zip(payloads).collect();
        let SealedParts { header, bodies, .. } = self.sealer().seal_parts(&parts)?;
        Ok(std::iter::once(header).chain(bodies).map(|bytes| Uint8Array::from(bytes.as_slice())).collect())
    }

    pub fn reseal(&self, envelope: &[u8], opening: &Opening) -> Result<Vec<u8>> {
        Ok(self.sealer().reseal(envelope, &opening.opener())?)
    }
}

impl Sealing {
    pub(crate) fn recipients(&self) -> Recipients<'_> {
        let recipients = self.readers.iter().fold(Recipients::new(), |all, reader| match reader {
            Reader::Recipient(recipient) => all.recipient(recipient),
            Reader::Anonymous(recipient) => all.anonymous(recipient),
            Reader::Stretched(passphrase) => all.stretched(passphrase),
            Reader::Key(key) => all.key(key),
            Reader::Service(service) => all.service(service),
        });
        if self.classical_allowed { recipients.allow_classical() } else { recipients }
    }

    pub(crate) fn sealer(&self) -> Sealer<'_> {
        let mut sealer = Sealer::new(&self.context).to(self.recipients()).part(&self.part);
        if let Some(identity) = &self.signer {
            sealer = sealer.sign(identity);
        }
        for (key, value) in &self.metadata {
            sealer = sealer.metadata(key, value.clone());
        }
        if let Some(created) = self.created {
            sealer = sealer.created(created);
        }
        if let Some(media_type) = &self.content_type {
            sealer = sealer.content_type(media_type);
        }
        if let Some(name) = &self.filename {
            sealer = sealer.filename(name);
        }
        if let Some(aead) = self.aead {
            sealer = sealer.aead(aead);
        }
        if self.padded { sealer } else { sealer.unpadded() }
    }
}

/// What to open with.
#[wasm_bindgen]
pub struct Opening {
    context: sealwire::SealContext,
    keys: sealwire::Keyring,
    expect: Expect,
    part: String,
}

#[wasm_bindgen]
impl Opening {
    #[wasm_bindgen(constructor)]
    pub fn new(keys: Keyring, context: &Context) -> Self {
        Self { context: context.0.clone(), keys: keys.0, expect: Expect::Anyone, part: String::new() }
    }

    /// Adds one signer to those who may have signed.
    pub fn expect(&mut self, signer: &str) -> Result<()> {
        let signer = Signer::parse(signer)?;
        match &mut self.expect {
            Expect::OneOf(signers) => signers.push(signer),
            _ => self.expect = Expect::OneOf(vec![signer]),
        }
        Ok(())
    }

    /// Nobody may have signed but who is added.
    #[wasm_bindgen(js_name = expectNobody)]
    pub fn expect_nobody(&mut self) {
        self.expect = Expect::OneOf(Vec::new());
    }

    pub fn part(&mut self, part: String) {
        self.part = part;
    }

    pub fn open(&self, envelope: &[u8]) -> Result<Opened> {
        let mut plaintext = Zeroizing::new(Vec::new());
        let finished = self.opener().open_into(envelope, &mut plaintext)?;
        Ok(Opened::new(&plaintext, finished))
    }

    pub fn rewrap(&self, envelope: &[u8], sealing: &Sealing) -> Result<Vec<u8>> {
        Ok(self.opener().rewrap(envelope, sealing.recipients())?)
    }
}

impl Opening {
    pub(crate) fn opener(&self) -> Opener<'_> {
        Opener::new(&self.keys, &self.context).expect(self.expect.clone()).part(&self.part)
    }
}

/// The payload, already in JavaScript's memory, and what is known of it.
#[wasm_bindgen]
pub struct Opened {
    plaintext: Uint8Array,
    signer: SignedBy,
    about: About,
}

impl Opened {
    pub(crate) fn new(plaintext: &[u8], finished: Finished) -> Self {
        let Finished { signer, about, .. } = finished;
        Self { plaintext: Uint8Array::from(plaintext), signer, about }
    }
}

#[wasm_bindgen]
impl Opened {
    pub fn plaintext(&self) -> Uint8Array {
        self.plaintext.clone()
    }

    pub fn signer(&self) -> Option<String> {
        signer_text(self.signer)
    }

    pub fn about(&self) -> Array {
        about(&self.about)
    }
}

pub(crate) fn signer_text(signer: SignedBy) -> Option<String> {
    match signer {
        SignedBy::Verified(signer) => Some(signer.to_string()),
        _ => None,
    }
}

/// `[metadata, created, contentType, filename, addressedToMe]`.
pub(crate) fn about(about: &About) -> Array {
    let addressed = match about.addressed_to_me {
        Addressed::Yes => "yes",
        Addressed::No => "no",
        _ => "unstated",
    };
    Array::of5(
        &metadata(&about.metadata),
        &about.created.into(),
        &about.content_type.as_deref().into(),
        &about.filename.as_deref().into(),
        &addressed.into(),
    )
}

/// `[[key, value], …]`.
fn metadata(metadata: &Metadata) -> Array {
    let entry = |(key, value): (&str, &MetadataValue)| {
        let value: JsValue = match value {
            MetadataValue::Text(text) => text.as_str().into(),
            MetadataValue::Number(number) => (*number).into(),
            MetadataValue::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
            _ => JsValue::UNDEFINED,
        };
        Array::of2(&key.into(), &value)
    };
    metadata.iter().map(entry).collect()
}

#[wasm_bindgen(js_name = toText)]
pub fn to_text(bytes: &[u8]) -> String {
    sealwire::to_text(bytes)
}

#[wasm_bindgen(js_name = fromText)]
pub fn from_text(text: &str) -> Result<Vec<u8>> {
    Ok(sealwire::from_text(text)?)
}

/// How long the header is, of an envelope that has a good one.
#[wasm_bindgen(js_name = splitAt)]
pub fn split_at(envelope: &[u8]) -> Result<u32> {
    let (header, _) = sealwire::split(envelope)?;
    u32::try_from(header.len()).map_err(|_| Error::TooLarge(&"a header").into())
}

/// `[length, id, aead, padded, privateBlockLength, metadata, slots]`, each slot as `[kind, …]`.
#[wasm_bindgen]
pub fn inspect(envelope: &[u8]) -> Result<Array> {
    let header = Header::parse(envelope)?;
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let slots: Array = header.unverified_slots().map(slot).collect();
    let private = header.unverified_private_block_len().and_then(|len| u32::try_from(len).ok());
    let fields: [JsValue; 7] = [
        length.into(),
        Uint8Array::from(header.unverified_id().as_slice()).into(),
        aead_name(header.unverified_aead()).into(),
        header.unverified_padded().into(),
        private.into(),
        metadata(header.unverified_metadata()).into(),
        slots.into(),
    ];
    Ok(fields.iter().collect())
}

pub(crate) fn slot(kind: &SlotKind<'_>) -> Array {
    match kind {
        SlotKind::Hpke { kem, hint, .. } => {
            let hint = hint.map_or(JsValue::UNDEFINED, |hint| Uint8Array::from(hint.as_slice()).into());
            Array::of3(&"hpke".into(), &kem_name(*kem).into(), &hint)
        }
        SlotKind::Passphrase { memory, passes, lanes, .. } => {
            Array::of4(&"passphrase".into(), &(*memory).into(), &(*passes).into(), &(*lanes).into())
        }
        SlotKind::Symmetric { key_id, .. } => {
            Array::of2(&"symmetric".into(), &Uint8Array::from(key_id.as_slice()).into())
        }
        SlotKind::External { service, .. } => Array::of2(&"external".into(), &(*service).into()),
        _ => Array::of1(&"unknown".into()),
    }
}
