//! A person's app: keys in a store of its own, a policy that says what is done with which call, and the calls.

use crate::assistant::{self, Question, Reply};
use crate::server::TUNNEL;
use sealwire::http::{Carriage, Client, LastSeen, Origin, Policy, Response, Rule, SealedResource};
use sealwire::http::{ENVELOPE_MEDIA_TYPE, ListItem, ServicePins, Target};
use sealwire::{
    AtomicFile, Expect, FileStore, Finished, Header, Identity, Metadata, MetadataValue, OpenStream, Opener,
    Pin, Recipient, Recipients, SealContext, SealWriter, Sealer, SymmetricKey, split,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What this app's session is, for the assistant: nobody on the way may see it.
pub(crate) const TOKEN: &str = "alices-session-token-9f2c";

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

/// What an app knows of the service when it is installed.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) origin: String,
    /// The identity that signs the service's keys.
    pub(crate) pin: Pin,
}

pub(crate) struct Person {
    pub(crate) name: &'static str,
    identity: Arc<Identity>,
    seen: LastSeen,
    home: PathBuf,
    contacts: BTreeMap<&'static str, Recipient>,
    service: Service,
    http: reqwest::Client,
    client: Client,
}

impl Person {
    /// Somebody with a new identity, which is kept in a sealed file below `home`.
    pub(crate) fn new(name: &'static str, home: &Path, service: &Service) -> Result<Self, Failure> {
        let home = home.join(name);
        // On a phone these keys would lie in the Keystore or Keychain.
        let store = FileStore::with_key(home.join("keys"), SymmetricKey::generate()?);
        let seen = FileStore::with_key(home.join("seen"), SymmetricKey::generate()?);
        Identity::generate()?.save(&store, "me")?;
        let identity = Arc::new(Identity::load(&store, "me")?.ok_or(sealwire::Error::NotRecipient)?);
        let seen = LastSeen::in_store(seen);
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(redirects);
        let http = http
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(|_| sealwire::Error::Network(&"no client"))?;
        let client = client(&http, policy(service, &[identity.signer()])?, &identity, &seen);
        let (contacts, service) = (BTreeMap::new(), service.clone());
        Ok(Self { name, identity, seen, home, contacts, service, http, client })
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// What this person shows to others, as a QR code: 71 characters.
    pub(crate) fn pin(&self) -> Pin {
        self.identity.recipient().pin()
    }

    /// Puts this person's public keys into the server's directory.
    pub(crate) async fn publish(&self) -> Result<(), Failure> {
        let text = self.identity.recipient().to_string();
        ok(self.client.put(self.url(&format!("people/{}", self.name))).body(text).send().await?).map(drop)
    }

    /// Somebody's public keys from the server's directory. The server is not believed: the pin decides.
    pub(crate) async fn look_up(&self, name: &str, pin: &Pin) -> Result<Recipient, Failure> {
        let found = ok(self.client.get(self.url(&format!("people/{name}"))).send().await?)?;
        let recipient = Recipient::parse(&found.text().await?)?;
        pin.check(&recipient)?;
        Ok(recipient)
    }

    /// From here on, this person reads what `other` wrote, and can write to them.
    pub(crate) async fn meet(&mut self, other: &Person) -> Result<(), Failure> {
        let recipient = self.look_up(other.name, &other.pin()).await?;
        self.contacts.insert(other.name, recipient);
        let senders: Vec<_> = self.contacts.values().map(Recipient::signer).collect();
        let senders = [senders.as_slice(), &[self.identity.signer()]].concat();
        self.client = client(&self.http, policy(&self.service, &senders)?, &self.identity, &self.seen);
        Ok(())
    }

    /// PUTs a note that `readers` and this person can read. The policy seals and signs it.
    pub(crate) async fn write(
        &self,
        note: Item,
        version: u64,
        text: &str,
        readers: &[&str],
    ) -> Result<(), Failure> {
        let request = self.client.put(self.url(&note.path())).to(&self.readers(readers)?).version(version);
        ok(request.header("content-type", "text/plain; charset=utf-8").body(text).send().await?).map(drop)
    }

    /// GETs a note: it opens only if one of the contacts signed it, and if it is not older than the last one seen.
    pub(crate) async fn read(&self, note: Item) -> Result<Response, Failure> {
        ok(self.client.get(self.url(&note.path())).send().await?)
    }

    /// GETs all notes. Each is what it holds, or why it does not open.
    pub(crate) async fn list(&self) -> Result<Vec<ListItem>, Failure> {
        Ok(ok(self.client.get(self.url("notes")).send().await?)?.into_list())
    }

    /// Seals a file, 1 MiB at a time, and PUTs it. Its name and type travel inside. Gives the number of bytes sent.
    pub(crate) async fn attach(&self, item: Item, file: &Path, readers: &[&str]) -> Result<usize, Failure> {
        let (context, recipients) = (item.context(), self.readers(readers)?);
        let filename = file.file_name().unwrap_or_default().to_string_lossy();
        let sealer = Sealer::new(&context)
            .to(Recipients::from(recipients.as_slice()))
            .sign(&self.identity)
            .metadata("version", 1_u64)
            .content_type("image/bmp")
            .filename(&filename);
        let outbox = self.home.join("outbox.sealed");
        let mut sealed = SealWriter::new(File::create(&outbox)?, &sealer)?;
        io::copy(&mut File::open(file)?, &mut sealed)?;
        sealed.finish()?;
        let envelope = fs::read(outbox)?;
        self.put_envelope(item, &envelope).await?;
        self.refuse_older(item, 1)?;
        Ok(envelope.len())
    }

    /// GETs a file and opens it as it comes in. It appears on the disk whole and verified, or not at all.
    pub(crate) async fn download(&self, item: Item, sender: &str) -> Result<(PathBuf, Finished), Failure> {
        let context = item.context();
        let mut incoming = ok(self.client.get(self.url(&item.path())).send().await?)?;
        let mut stream = OpenStream::new(&Opener::new(&*self.identity, &context).expect(self.only(sender)?));
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
        let response = ok(self.client.get(self.url(&format!("{}/front", item.path()))).send().await?)?;
        let revision = response.headers().text("etag")?.unwrap_or_default().to_owned();
        let front = response.bytes().await?;
        let (header, body_front) = split(&front)?;
        let (context, recipients) = (item.context(), self.readers(readers)?);
        let opener = Opener::new(&*self.identity, &context).expect(self.only(sender)?);
        let rewrapped = opener.rewrap_header(header, body_front, Recipients::from(recipients.as_slice()))?;
        // It was verified just now, although the type still says that it was not.
        self.refuse_older(item, version(Header::parse(&rewrapped)?.unverified_metadata()))?;
        let traffic = front.len() + rewrapped.len();
        // Should the row have changed in between, the server says 412, and the app would begin again.
        let url = self.url(&format!("{}/header?revision={revision}", item.path()));
        ok(self.client.put(&url).body(rewrapped).send().await?)?;
        Ok(traffic)
    }

    /// Seals one's own note anew, under a new key, as its next version: whoever is not among `readers` is out from here on.
    pub(crate) async fn revoke(&self, note: Item, readers: &[&str]) -> Result<u64, Failure> {
        let current = self.read(note).await?;
        let next = current.about().and_then(sealwire::About::version).unwrap_or(0) + 1;
        self.write(note, next, &current.text().await?, readers).await?;
        Ok(next)
    }

    /// The same for a file.
    pub(crate) async fn revoke_file(&self, item: Item, readers: &[&str]) -> Result<u64, Failure> {
        let envelope = ok(self.client.get(self.url(&item.path())).send().await?)?.bytes().await?;
        let (context, recipients) = (item.context(), self.readers(readers)?);
        let opener = Opener::new(&*self.identity, &context).expect(self.only(self.name)?);
        let current = version(Header::parse(&envelope)?.unverified_metadata());
        self.refuse_older(item, current)?;
        let sealer = Sealer::new(&context)
            .to(Recipients::from(recipients.as_slice()))
            .sign(&self.identity)
            .metadata("version", current + 1);
        self.put_envelope(item, &sealer.reseal(&envelope, &opener)?).await?;
        self.refuse_older(item, current + 1)?;
        Ok(current + 1)
    }

    /// Asks the assistant: question and answer are sealed to it, in place.
    pub(crate) async fn ask(&self, question: &str) -> Result<Reply, Failure> {
        let question = Question { question: question.into() };
        let reply = self.client.post(self.url("assistant/ask")).bearer_auth(TOKEN).json(&question);
        Ok(ok(reply.send().await?)?.json().await?)
    }

    /// Orders what the assistant counted: not to be done twice.
    pub(crate) async fn order(&self) -> Result<String, Failure> {
        let order = self.client.post(self.url("assistant/orders")).body("eighteen logs");
        Ok(ok(order.send().await?)?.text().await?)
    }

    /// Server-sent events through a streamed exchange; `heard` gets each as it arrives, with the time since the call began.
    pub(crate) async fn listen(
        &self,
        about: &str,
        mut heard: impl FnMut(Duration, &str),
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let url = self.url(&format!("assistant/stream?about={about}"));
        let mut response = ok(self.client.get(&url).send().await?)?;
        let mut text = String::new();
        while let Some(piece) = response.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&piece));
            for event in assistant::events(&mut text).map_err(|_| sealwire::Error::Malformed(&"an event"))? {
                heard(began.elapsed(), &event);
            }
        }
        Ok(())
    }

    /// Reads a page for everybody: sealed, in place, unsigned.
    pub(crate) async fn help(&self) -> Result<String, Failure> {
        Ok(ok(self.client.get(self.url("assistant/public/help")).send().await?)?.text().await?)
    }

    /// The same through the tunnel: nobody on the way learns even which page.
    pub(crate) async fn hours(&self) -> Result<String, Failure> {
        Ok(ok(self.client.get(self.url("assistant/public/hours")).send().await?)?.text().await?)
    }

    /// As after a new start of the app: what was learned of the service's keys has to be fetched, and is checked, anew.
    pub(crate) fn restart(&self) {
        self.client.forget_service_keys();
    }

    async fn put_envelope(&self, item: Item, envelope: &[u8]) -> Result<(), Failure> {
        let request = self.client.put(self.url(&item.path())).header("content-type", ENVELOPE_MEDIA_TYPE);
        ok(request.body(envelope).send().await?).map(drop)
    }

    /// For what this app opens itself. For notes the client does it.
    fn refuse_older(&self, item: Item, served: u64) -> Result<(), Failure> {
        Ok(self.seen.advance(&item.path(), served)?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.service.origin)
    }

    fn contact(&self, name: &str) -> Result<&Recipient, Failure> {
        if name == self.name {
            return Ok(self.identity.recipient());
        }
        self.contacts.get(name).ok_or(Failure::Stranger)
    }

    /// These people, and oneself.
    fn readers(&self, names: &[&str]) -> Result<Vec<Recipient>, Failure> {
        names.iter().chain([&self.name]).map(|name| self.contact(name).cloned()).collect()
    }

    fn only(&self, sender: &str) -> Result<Expect, Failure> {
        Ok(Expect::OneOf(vec![self.contact(sender)?.signer()]))
    }
}

/// The policy: for each URL what is sealed to whom, and what is signed. A URL that is not here is not called.
fn policy(service: &Service, senders: &[sealwire::Signer]) -> sealwire::Result<Policy> {
    let at = |path: &str| Rule::at(&service.origin, path);
    let notes = || SealedResource::new("notes", "id").senders(senders);
    let tunnel = Carriage::Tunnel(Target::new(Origin::parse(&service.origin)?, TUNNEL)?);
    Ok(Policy::new()
        .service(&service.origin, ServicePins::new([service.pin]))?
        .rule(at("/notes")?.seal(notes().list("id", "envelope")).sign())
        .rule(at("/notes/{id}")?.seal(notes()).sign())
        // What this app seals and opens itself, as streams and headers, and public keys.
        .rule(at("/notes/{id}/{part}")?.in_the_clear().sign())
        .rule(at("/attachments/{rest..}")?.in_the_clear().sign())
        .rule(at("/people/{name}")?.in_the_clear().sign())
        .rule(at("/assistant/public/help")?.exchange())
        .rule(at("/assistant/public/hours")?.exchange_by(tunnel).sign())
        .rule(at("/assistant/stream")?.exchange().streamed().sign())
        .rule(at("/assistant/{rest..}")?.exchange().sign()))
}

fn client(http: &reqwest::Client, policy: Policy, identity: &Arc<Identity>, seen: &LastSeen) -> Client {
    Client::new(http.clone(), policy).identity(identity.clone()).last_seen(seen.clone())
}

fn ok(response: Response) -> Result<Response, Failure> {
    match response.status().as_u16() {
        200..300 => Ok(response),
        status => Err(Failure::Status(status)),
    }
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
    /// The server answered with an error.
    Status(u16),
    /// The app has not met this person.
    Stranger,
}

impl Failure {
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Sealwire(error) => error.code().into(),
            Self::Status(status) => status.to_string(),
            Self::Stranger => "Stranger".into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealwire(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Stranger => f.write_str("nobody of that name among the contacts"),
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
