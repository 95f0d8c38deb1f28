//! seal, open, rewrap, reseal, inspect.

use crate::bytes::{Bytes, FRAME};
use crate::error::Result;
use crate::keys::{Identity, Kem, KeyService, Keyring, Passphrase, Recipient, Service, SymmetricKey};
use sealwire::{
    Addressed, Expect, Finished, Header, Metadata, Opener as CoreOpener, Recipients, SignedBy, Signer,
    SlotKind,
};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a payload is for: never sent.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SealContext {
    pub namespace: String,
    #[uniffi(default = [])]
    pub fields: Vec<ContextField>,
}

#[derive(Debug, Clone, uniffi::Enum)]
pub enum ContextField {
    Text { value: String },
    Number { value: u64 },
    Bytes { value: Vec<u8> },
}

impl From<SealContext> for sealwire::SealContext {
    fn from(context: SealContext) -> Self {
        context.fields.into_iter().fold(Self::new(&context.namespace), |context, field| match field {
            ContextField::Text { value } => context.field(value),
            ContextField::Number { value } => context.field(value),
            ContextField::Bytes { value } => context.field(value),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Aead {
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl From<Aead> for sealwire::Aead {
    fn from(aead: Aead) -> Self {
        match aead {
            Aead::Aes256Gcm => Self::Aes256Gcm,
            Aead::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
        }
    }
}

impl From<sealwire::Aead> for Aead {
    fn from(aead: sealwire::Aead) -> Self {
        match aead {
            sealwire::Aead::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
            _ => Self::Aes256Gcm,
        }
    }
}

#[derive(Debug, Clone, uniffi::Enum)]
pub enum MetadataValue {
    Text { value: String },
    Number { value: u64 },
    Bytes { value: Vec<u8> },
}

impl From<MetadataValue> for sealwire::MetadataValue {
    fn from(value: MetadataValue) -> Self {
        match value {
            MetadataValue::Text { value } => Self::Text(value),
            MetadataValue::Number { value } => Self::Number(value),
            MetadataValue::Bytes { value } => Self::Bytes(value),
        }
    }
}

/// Who can open.
#[derive(uniffi::Enum)]
pub enum Reader {
    Recipient { recipient: Arc<Recipient> },
    Anonymous { recipient: Arc<Recipient> },
    Passphrase { passphrase: Arc<Passphrase> },
    Symmetric { key: Arc<SymmetricKey> },
    Service { service: Arc<dyn KeyService> },
}

/// The complete list of who can open an envelope.
#[derive(uniffi::Object)]
pub struct Readers {
    readers: Vec<KnownReader>,
    classical_allowed: bool,
}

enum KnownReader {
    Recipient(Arc<Recipient>),
    Anonymous(Arc<Recipient>),
    Passphrase(Arc<Passphrase>),
    Key(Arc<SymmetricKey>),
    Service(Service),
}

#[uniffi::export]
impl Readers {
    #[uniffi::constructor(default(allow_classical = false))]
    pub fn new(readers: Vec<Reader>, allow_classical: bool) -> Result<Self> {
        let known = |reader| {
            Ok(match reader {
                Reader::Recipient { recipient } => KnownReader::Recipient(recipient),
                Reader::Anonymous { recipient } => KnownReader::Anonymous(recipient),
                Reader::Passphrase { passphrase } => KnownReader::Passphrase(passphrase),
                Reader::Symmetric { key } => KnownReader::Key(key),
                Reader::Service { service } => KnownReader::Service(Service::new(service)?),
            })
        };
        let readers = readers.into_iter().map(known).collect::<Result<_>>()?;
        Ok(Self { readers, classical_allowed: allow_classical })
    }
}

impl Readers {
    fn recipients(&self) -> Recipients<'_> {
        let recipients = self.readers.iter().fold(Recipients::new(), |all, reader| match reader {
            KnownReader::Recipient(recipient) => all.recipient(&recipient.0),
            KnownReader::Anonymous(recipient) => all.anonymous(&recipient.0),
            KnownReader::Passphrase(passphrase) => all.passphrase(&passphrase.0),
            KnownReader::Key(key) => all.key(&key.0),
            KnownReader::Service(service) => all.service(service),
        });
        if self.classical_allowed { recipients.allow_classical() } else { recipients }
    }
}

#[derive(uniffi::Record)]
pub struct SealOptions {
    #[uniffi(default = None)]
    pub sign: Option<Arc<Identity>>,
    #[uniffi(default)]
    pub metadata: HashMap<String, MetadataValue>,
    /// Unix seconds.
    #[uniffi(default = None)]
    pub created: Option<u64>,
    #[uniffi(default = None)]
    pub content_type: Option<String>,
    #[uniffi(default = None)]
    pub filename: Option<String>,
    #[uniffi(default = None)]
    pub aead: Option<Aead>,
    #[uniffi(default = true)]
    pub padded: bool,
    #[uniffi(default = "")]
    pub part: String,
}

/// What to seal with.
#[derive(uniffi::Object)]
pub struct Sealer {
    context: sealwire::SealContext,
    readers: Arc<Readers>,
    options: SealOptions,
}

/// One of several payloads under one header.
#[derive(uniffi::Record)]
pub struct Part {
    pub name: String,
    pub payload: Vec<u8>,
}

#[derive(uniffi::Record)]
pub struct SealedParts {
    pub header: Bytes,
    pub bodies: Vec<Bytes>,
}

#[uniffi::export]
impl Sealer {
    #[uniffi::constructor]
    pub fn new(context: SealContext, readers: Arc<Readers>, options: SealOptions) -> Self {
        Self { context: context.into(), readers, options }
    }

    pub fn seal(&self, plaintext: &[u8]) -> Result<Bytes> {
        let mut envelope = roomy(plaintext.len());
        self.sealer().seal_behind(FRAME, plaintext, &mut envelope)?;
        Bytes::framed(envelope)
    }

    pub fn seal_parts(&self, parts: Vec<Part>) -> Result<SealedParts> {
        let parts: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.payload.as_slice())).collect();
        let sealed = self.sealer().seal_parts(&parts)?;
        let bodies = sealed.bodies.into_iter().map(Bytes::payload).collect::<Result<_>>()?;
        Ok(SealedParts { header: sealed.header.into(), bodies })
    }

    pub fn reseal(&self, envelope: &[u8], opener: &Opener) -> Result<Bytes> {
        Bytes::payload(self.sealer().reseal(envelope, &opener.opener())?)
    }
}

impl Sealer {
    pub(crate) fn sealer(&self) -> sealwire::Sealer<'_> {
        let options = &self.options;
        let mut sealer =
            sealwire::Sealer::new(&self.context).to(self.readers.recipients()).part(&options.part);
        if let Some(identity) = &options.sign {
            sealer = sealer.sign(&identity.0);
        }
        for (key, value) in &options.metadata {
            sealer = sealer.metadata(key, value.clone());
        }
        if let Some(created) = options.created {
            sealer = sealer.created(created);
        }
        if let Some(media_type) = &options.content_type {
            sealer = sealer.content_type(media_type);
        }
        if let Some(name) = &options.filename {
            sealer = sealer.filename(name);
        }
        if let Some(aead) = options.aead {
            sealer = sealer.aead(aead.into());
        }
        if options.padded { sealer } else { sealer.unpadded() }
    }
}

/// What to open with.
#[derive(uniffi::Object)]
pub struct Opener {
    context: sealwire::SealContext,
    keys: Arc<Keyring>,
    expect: Expect,
    part: String,
}

#[uniffi::export]
impl Opener {
    /// Without `expect` anyone may have signed, or nobody; with it one of these.
    #[uniffi::constructor(default(expect = None, part = ""))]
    pub fn new(
        keys: Arc<Keyring>,
        context: SealContext,
        expect: Option<Vec<String>>,
        part: String,
    ) -> Result<Self> {
        let expect = match expect {
            None => Expect::Anyone,
            Some(signers) => {
                let signers =
                    signers.iter().map(|signer| Signer::parse(signer)).collect::<sealwire::Result<_>>()?;
                Expect::OneOf(signers)
            }
        };
        Ok(Self { context: context.into(), keys, expect, part })
    }

    pub fn open(&self, envelope: &[u8]) -> Result<Opened> {
        let mut plaintext = Zeroizing::new(roomy(envelope.len()));
        let finished = self.opener().open_behind(FRAME, envelope, &mut plaintext)?;
        Ok(Opened::new(Bytes::framed(std::mem::take(&mut plaintext))?, finished))
    }

    pub fn open_detached(&self, header: &[u8], body: &[u8]) -> Result<Opened> {
        let sealwire::Opened { plaintext, signer, about, .. } = self.opener().open_detached(header, body)?;
        Ok(Opened { plaintext: Bytes::payload(plaintext)?, signer: signer_text(signer), about: about.into() })
    }

    pub fn rewrap(&self, envelope: &[u8], readers: &Readers) -> Result<Bytes> {
        Bytes::payload(self.opener().rewrap(envelope, readers.recipients())?)
    }

    /// The new header, from the old one and at least the first 56 bytes of the body.
    pub fn rewrap_header(&self, header: &[u8], body_front: &[u8], readers: &Readers) -> Result<Bytes> {
        Ok(self.opener().rewrap_header(header, body_front, readers.recipients())?.into())
    }
}

impl Opener {
    pub(crate) fn opener(&self) -> CoreOpener<'_> {
        CoreOpener::new(&*self.keys.0, &self.context).expect(self.expect.clone()).part(&self.part)
    }
}

/// Everything in it was verified.
#[derive(uniffi::Record)]
pub struct Opened {
    pub plaintext: Bytes,
    pub signer: Option<String>,
    pub about: About,
}

impl Opened {
    pub(crate) fn new(plaintext: Bytes, finished: Finished) -> Self {
        let Finished { signer, about, .. } = finished;
        Self { plaintext, signer: signer_text(signer), about: about.into() }
    }
}

/// What its sealer said about a payload.
#[derive(Debug, uniffi::Record)]
pub struct About {
    pub metadata: HashMap<String, MetadataValue>,
    pub created: Option<u64>,
    pub content_type: Option<String>,
    pub filename: Option<String>,
    /// Nothing if it does not say.
    pub addressed_to_me: Option<bool>,
}

impl From<sealwire::About> for About {
    fn from(about: sealwire::About) -> Self {
        Self {
            metadata: metadata(&about.metadata),
            created: about.created,
            content_type: about.content_type,
            filename: about.filename,
            addressed_to_me: match about.addressed_to_me {
                Addressed::Yes => Some(true),
                Addressed::No => Some(false),
                _ => None,
            },
        }
    }
}

/// A buffer for this much and a quarter more. A C library that gives memory back once twice the largest block is free (glibc) would otherwise do so
/// after every call, when a result and its copy in the language are freed, and fetching it anew takes as long as sealing.
fn roomy(len: usize) -> Vec<u8> {
    Vec::with_capacity(len.saturating_add(len / 4).saturating_add(2048))
}

pub(crate) fn signer_text(signer: SignedBy) -> Option<String> {
    match signer {
        SignedBy::Verified(signer) => Some(signer.to_string()),
        _ => None,
    }
}

fn metadata(metadata: &Metadata) -> HashMap<String, MetadataValue> {
    let entry = |(key, value): (&str, &sealwire::MetadataValue)| {
        let value = match value {
            sealwire::MetadataValue::Text(value) => MetadataValue::Text { value: value.clone() },
            sealwire::MetadataValue::Number(value) => MetadataValue::Number { value: *value },
            sealwire::MetadataValue::Bytes(value) => MetadataValue::Bytes { value: value.clone() },
            _ => return None,
        };
        Some((key.to_owned(), value))
    };
    metadata.iter().filter_map(entry).collect()
}

#[uniffi::export]
pub fn to_text(bytes: &[u8]) -> String {
    sealwire::to_text(bytes)
}

#[uniffi::export]
pub fn from_text(text: &str) -> Result<Bytes> {
    Bytes::payload(sealwire::from_text(text)?)
}

/// How long the header is, as soon as the beginning of an envelope tells.
#[uniffi::export]
pub fn header_len(front: &[u8]) -> Result<Option<u64>> {
    Ok(sealwire::header_len(front)?.map(|len| len as u64))
}

/// What a server can see of an envelope. Nothing of it is verified.
#[derive(uniffi::Record)]
pub struct Inspected {
    pub header_len: u64,
    pub unverified_id: Bytes,
    pub unverified_aead: Aead,
    pub unverified_padded: bool,
    pub unverified_private_block_len: Option<u64>,
    pub unverified_metadata: HashMap<String, MetadataValue>,
    /// In their order. To unlock one elsewhere run its operation with `binding`, and hand what it gives to [`ContentKey`].
    pub unverified_slots: Vec<Slot>,
}

#[derive(uniffi::Record)]
pub struct Slot {
    pub kind: Locked,
    /// HPKE `info`, or a key service's associated data.
    pub binding: Bytes,
}

#[derive(uniffi::Enum)]
pub enum Locked {
    Hpke { kem: Kem, hint: Option<Bytes>, enc: Bytes, ct: Bytes },
    Passphrase { salt: Bytes, memory: u32, passes: u32, lanes: u32, ct: Bytes },
    Symmetric { salt: Bytes, key_id: Bytes, ct: Bytes },
    External { service: String, ct: Bytes },
    Unknown,
}

#[uniffi::export]
pub fn inspect(envelope: &[u8]) -> Result<Inspected> {
    let header = Header::parse(envelope)?;
    let slot = |request: sealwire::UnlockRequest<'_>| Slot {
        kind: locked(request.kind()),
        binding: request.binding().into(),
    };
    Ok(Inspected {
        header_len: header.len() as u64,
        unverified_id: header.unverified_id().as_slice().into(),
        unverified_aead: header.unverified_aead().into(),
        unverified_padded: header.unverified_padded(),
        unverified_private_block_len: header.unverified_private_block_len().map(|len| len as u64),
        unverified_metadata: metadata(header.unverified_metadata()),
        unverified_slots: header.unlock_requests().into_iter().map(slot).collect(),
    })
}

fn locked(kind: &SlotKind<'_>) -> Locked {
    match *kind {
        SlotKind::Hpke { kem, hint, enc, ct } => Locked::Hpke {
            kem: kem.into(),
            hint: hint.map(|hint| hint.as_slice().into()),
            enc: enc.into(),
            ct: ct.as_slice().into(),
        },
        SlotKind::Passphrase { salt, memory, passes, lanes, ct } => Locked::Passphrase {
            salt: salt.as_slice().into(),
            memory,
            passes,
            lanes,
            ct: ct.as_slice().into(),
        },
        SlotKind::Symmetric { salt, key_id, ct } => Locked::Symmetric {
            salt: salt.as_slice().into(),
            key_id: key_id.as_slice().into(),
            ct: ct.as_slice().into(),
        },
        SlotKind::External { service, ct } => Locked::External { service: service.into(), ct: ct.into() },
        _ => Locked::Unknown,
    }
}
