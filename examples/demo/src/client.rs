//! A person's app: keys in a store of its own, and the calls that it makes to the API.

use crate::server::HEADER_LENGTH;
use reqwest::header::{ETAG, HeaderValue, IF_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sealwire::{
    AtomicFile, Expect, FileStore, Finished, Header, Identity, Metadata, MetadataValue, OpenStream, Opened,
    Opener, Pin, Recipient, Recipients, SealContext, SealWriter, Sealer, SecretBytes, SecretStore,
    SymmetricKey, split,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A row of the API.
#[derive(Clone, Copy)]
pub(crate) struct Item {
    pub(crate) kind: &'static str,
    pub(crate) id: &'static str,
}

impl Item {
    pub(crate) fn path(self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// What the row is for: bound to what is sealed, and never sent.
    pub(crate) fn context(self) -> SealContext {
        SealContext::new(self.kind).field(self.id)
    }
}

pub(crate) struct Person {
    pub(crate) name: &'static str,
    identity: Identity,
    store: FileStore,
    home: PathBuf,
    contacts: BTreeMap<&'static str, Recipient>,
    http: Client,
    api: String,
}

impl Person {
    /// Somebody with a new identity, which is kept in a sealed file below `home`.
    pub(crate) fn new(name: &'static str, home: &Path, api: SocketAddr) -> Result<Self, Failure> {
        let home = home.join(name);
        // On a phone this key would lie in the Keystore or Keychain.
        let store = FileStore::with_key(home.join("keys"), SymmetricKey::generate()?);
        Identity::generate()?.save(&store, "me")?;
        let identity = Identity::load(&store, "me")?.ok_or(sealwire::Error::NotRecipient)?;
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self {
            name,
            identity,
            store,
            home,
            contacts: BTreeMap::new(),
            http,
            api: format!("http://{api}"),
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What this person shows to others, as a QR code: 71 characters.
    pub(crate) fn pin(&self) -> Pin {
        self.identity.recipient().pin()
    }

    /// Puts this person's public keys into the server's directory.
    pub(crate) async fn publish(&self) -> Result<(), Failure> {
        self.put(&format!("people/{}", self.name), &[], self.identity.recipient().to_string().as_bytes())
            .await
    }

    /// Somebody's public keys from the server's directory. The server is not believed: the pin decides.
    pub(crate) async fn look_up(&self, name: &str, pin: &Pin) -> Result<Recipient, Failure> {
        let text = self.get(&format!("people/{name}")).await?.bytes().await?;
        let recipient = Recipient::parse(&String::from_utf8_lossy(&text))?;
        pin.check(&recipient)?;
        Ok(recipient)
    }

    pub(crate) async fn meet(&mut self, other: &Person) -> Result<(), Failure> {
        let recipient = self.look_up(other.name, &other.pin()).await?;
        self.contacts.insert(other.name, recipient);
        Ok(())
    }

    /// Seals a note to `readers` and this person, signed, and PUTs it. Gives the number of bytes sent.
    pub(crate) async fn write(&self, note: Item, text: &str, readers: &[&str]) -> Result<usize, Failure> {
        let context = note.context();
        let envelope = Sealer::new(&context)
            .to(self.readers(readers)?)
            .sign(&self.identity)
            .metadata("version", 1_u64)
            .content_type("text/plain; charset=utf-8")
            .seal(text.as_bytes())?;
        let (header, body) = split(&envelope)?;
        self.put(&note.path(), header, body).await?;
        self.refuse_older(note, 1)?;
        Ok(envelope.len())
    }

    /// Seals a file, 1 MiB at a time, and PUTs it. Its name and type travel inside.
    pub(crate) async fn attach(&self, item: Item, file: &Path, readers: &[&str]) -> Result<usize, Failure> {
        let context = item.context();
        let filename = file.file_name().unwrap_or_default().to_string_lossy();
        let sealer = Sealer::new(&context)
            .to(self.readers(readers)?)
            .sign(&self.identity)
            .metadata("version", 1_u64)
            .content_type("image/bmp")
            .filename(&filename);
        let outbox = self.home.join("outbox.sealed");
        let (header, mut sealed) = SealWriter::detached(File::create(&outbox)?, &sealer)?;
        io::copy(&mut File::open(file)?, &mut sealed)?;
        sealed.finish()?;
        let body = fs::read(outbox)?;
        self.put(&item.path(), &header, &body).await?;
        self.refuse_older(item, 1)?;
        Ok(header.len() + body.len())
    }

    /// GETs a note and opens it: only if `sender` signed it, and only if it is not older than the last one seen.
    pub(crate) async fn read(&self, note: Item, sender: &str) -> Result<Opened, Failure> {
        let envelope = self.get(&note.path()).await?.bytes().await?;
        let context = note.context();
        let opened = Opener::new(&self.identity, &context).expect(self.only(sender)?).open(&envelope)?;
        self.refuse_older(note, version(&opened.about.metadata))?;
        Ok(opened)
    }

    /// GETs a file and opens it as it comes in. It appears on the disk whole and verified, or not at all.
    pub(crate) async fn download(&self, item: Item, sender: &str) -> Result<(PathBuf, Finished), Failure> {
        let context = item.context();
        let mut incoming = self.get(&item.path()).await?;
        let mut stream = OpenStream::new(&Opener::new(&self.identity, &context).expect(self.only(sender)?));
        let path = self.home.join(format!("{}-{}", item.kind, item.id));
        let mut file = AtomicFile::create(&path)?;
        let mut plaintext = Vec::new();
        while let Some(piece) = incoming.chunk().await? {
            stream.push(&piece, &mut plaintext)?;
            file.write_all(&plaintext)?;
            plaintext.clear();
        }
        let finished = stream.finish(&mut plaintext)?;
        file.write_all(&plaintext)?;
        self.refuse_older(item, version(&finished.about.metadata))?;
        file.commit()?;
        Ok((path, finished))
    }

    /// Lets `readers` and this person open a row, whatever its size: only its header is replaced.
    /// Gives the number of bytes that were received and sent.
    pub(crate) async fn share(&self, item: Item, sender: &str, readers: &[&str]) -> Result<usize, Failure> {
        let response = self.get(&format!("{}/front", item.path())).await?;
        let revision = response.headers().get(ETAG).cloned();
        let front = response.bytes().await?;
        let (header, body_front) = split(&front)?;
        let context = item.context();
        let opener = Opener::new(&self.identity, &context).expect(self.only(sender)?);
        let rewrapped = opener.rewrap_header(header, body_front, self.readers(readers)?)?;
        // It was verified just now, although the type still says that it was not.
        self.refuse_older(item, version(Header::parse(&rewrapped)?.unverified_metadata()))?;
        let traffic = front.len() + rewrapped.len();
        let request = self.http.put(format!("{}/{}/header", self.api, item.path())).body(rewrapped);
        // Should the body have changed in between, the server says 412, and the app would begin again.
        ok(request.header(IF_MATCH, revision.unwrap_or(HeaderValue::from_static("")))).await?;
        Ok(traffic)
    }

    /// Seals one's own row anew, under a new key, as its next version: whoever is not among `readers` is out from here on.
    pub(crate) async fn revoke(&self, item: Item, readers: &[&str]) -> Result<u64, Failure> {
        let envelope = self.get(&item.path()).await?.bytes().await?;
        let context = item.context();
        let opener =
            Opener::new(&self.identity, &context).expect(Expect::OneOf(vec![self.identity.signer()]));
        let current = version(&opener.open(&envelope)?.about.metadata);
        self.refuse_older(item, current)?;
        let sealer = Sealer::new(&context)
            .to(self.readers(readers)?)
            .sign(&self.identity)
            .metadata("version", current + 1);
        let resealed = sealer.reseal(&envelope, &opener)?;
        let (header, body) = split(&resealed)?;
        self.put(&item.path(), header, body).await?;
        self.refuse_older(item, current + 1)?;
        Ok(current + 1)
    }

    /// This app's own rule, not Sealwire's: a version that is lower than one seen before is refused. The highest one
    /// lies in the key store, so it survives a restart.
    fn refuse_older(&self, item: Item, served: u64) -> Result<(), Failure> {
        let name = format!("seen.{}.{}", item.kind, item.id);
        let seen = match self.store.load(&name)? {
            Some(bytes) => bytes.reveal().try_into().map_or(0, u64::from_be_bytes),
            None => 0,
        };
        if served < seen {
            return Err(Failure::OldVersion { served, seen });
        }
        if served > seen {
            self.store.save(&name, &SecretBytes::new(served.to_be_bytes().to_vec()))?;
        }
        Ok(())
    }

    fn contact(&self, name: &str) -> Result<&Recipient, Failure> {
        if name == self.name {
            return Ok(self.identity.recipient());
        }
        self.contacts.get(name).ok_or(Failure::Stranger)
    }

    /// These people, and oneself.
    fn readers(&self, names: &[&str]) -> Result<Recipients<'_>, Failure> {
        let mut readers = Recipients::new();
        for name in names {
            readers = readers.recipient(self.contact(name)?);
        }
        Ok(readers.recipient(self.identity.recipient()))
    }

    fn only(&self, sender: &str) -> Result<Expect, Failure> {
        Ok(Expect::OneOf(vec![self.contact(sender)?.signer()]))
    }

    async fn get(&self, path: &str) -> Result<Response, Failure> {
        ok(self.http.get(format!("{}/{path}", self.api))).await
    }

    async fn put(&self, path: &str, header: &[u8], body: &[u8]) -> Result<(), Failure> {
        let request = self.http.put(format!("{}/{path}", self.api)).header(HEADER_LENGTH, header.len());
        ok(request.body([header, body].concat())).await.map(drop)
    }
}

async fn ok(request: RequestBuilder) -> Result<Response, Failure> {
    let response = request.send().await?;
    if response.status().is_success() { Ok(response) } else { Err(Failure::Status(response.status())) }
}

/// The number under `version`, or 0.
pub(crate) fn version(metadata: &Metadata) -> u64 {
    match metadata.find("version") {
        Some(MetadataValue::Number(version)) => *version,
        _ => 0,
    }
}

/// Why an app did not show something.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Sealwire refused.
    Sealwire(sealwire::Error),
    /// The app refused: it has seen a later version.
    OldVersion { served: u64, seen: u64 },
    /// The app has not met this person.
    Stranger,
    /// The server answered with an error.
    Status(StatusCode),
    /// The server did not answer.
    Http(reqwest::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Sealwire(error) => error.code().into(),
            Self::OldVersion { .. } => "OldVersion".into(),
            Self::Stranger => "Stranger".into(),
            Self::Status(status) => status.as_u16().to_string(),
            Self::Http(_) => "Http".into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealwire(error) => error.fmt(f),
            Self::OldVersion { served, seen } => {
                write!(f, "version {served} was served, {seen} was seen before")
            }
            Self::Stranger => f.write_str("nobody of that name among the contacts"),
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Http(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<sealwire::Error> for Failure {
    fn from(error: sealwire::Error) -> Self {
        Self::Sealwire(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Sealwire(error.into())
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}
