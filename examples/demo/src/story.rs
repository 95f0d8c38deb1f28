//! The story, chapter by chapter. Whatever does not go as it must ends it with an error.

use crate::accounts::Accounts;
use crate::client::{Item, Person, Service, version};
use crate::hostile::{self, Stage};
use crate::options::Options;
use crate::picture::{BMP_HEADER, IMAGE_WIDTH, landscape};
use crate::proxy::{Answer, Proxy, Tamper};
use crate::report::{Canaries, Heard, Read, Report};
use crate::script::{
    ATTACHMENT, CANARIES, DIARY, DIARY_TEXT, NOTE, OTHER_NOTE, OTHER_TEXT, QUESTION, TEXT, TOPIC, now,
};
use crate::search::{forms, hex, holds};
use crate::second::{self, Second, Shared};
use crate::server::{self, AccessLog, Server, Setup};
use crate::show::{self, bold, count, dim, good};
use crate::store::{Place, Row, Store};
use crate::{Outcome, assistant};
use sealwire::http::{
    KEY_ROLLOUT, KEYS_PATH, MemoryReplayCache, Origin, RedisReplayCache, ReplayCache, ServiceKeys,
};
use sealwire::{Addressed, FileStore, Header, Identity, Opener, SignedBy, SlotKind, SymmetricKey, to_text};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SECOND_LOG: &str = "access-2.log";

/// Everybody who plays a part.
pub(crate) struct World {
    folder: PathBuf,
    pub(crate) proxy: Proxy,
    pub(crate) store: Arc<Store>,
    /// What to call the store.
    database: String,
    pub(crate) log: Arc<AccessLog>,
    server: Server,
    second: Option<Second>,
    keys: FileStore,
    alice: Person,
    bob: Person,
    carol: Person,
    mallory: Person,
}

impl World {
    /// Starts the CDN, the server (with a shared replay cache: two of them) and four apps.
    pub(crate) async fn begin(options: &Options, folder: &Path, report: &mut Report) -> Outcome<Self> {
        let proxy = Proxy::start().await?;
        let place = Place::new(options.store.as_deref(), folder);
        let store = Arc::new(Store::open(&place).await?);
        let log = AccessLog::create(&folder.join("access.log"))?;

        // Where a service keeps its keys is its own affair: here in sealed files, elsewhere in a secret manager.
        let (keys_folder, keys_key) = (folder.join("service"), SymmetricKey::generate()?);
        let keys_text = to_text(keys_key.reveal().reveal());
        let keys = FileStore::with_key(&keys_folder, keys_key);
        let identity = Identity::generate()?;
        let pin = identity.recipient().pin();
        identity.save(&keys, "identity")?;
        ServiceKeys::generate(now())?.save(&keys, "keys", now())?;

        let service = Service { origin: proxy.origin.clone(), pin };
        let person = |name| Person::new(name, folder, &service);
        let (alice, bob) = (person("alice")?, person("bob")?);
        let (carol, mallory) = (person("carol")?, person("mallory")?);
        let people = [&alice, &bob, &carol, &mallory];
        let replay: Arc<dyn ReplayCache> = match &options.replay {
            None => Arc::new(MemoryReplayCache::new(10_000, now())),
            Some(url) => Arc::new(RedisReplayCache::connect(url, "notes").await?),
        };
        report.store = if options.store.is_some() { "postgres" } else { "sqlite" }.into();
        report.replay_cache = if options.replay.is_some() { "redis" } else { "memory" };
        let database = place.to_string();
        let second = match &options.replay {
            None => None,
            Some(url) => {
                let account = |one: &&Person| (one.name.into(), one.identity().recipient().to_string());
                let shared = Shared {
                    origin: proxy.origin.clone(),
                    place,
                    replay: url.clone(),
                    keys: keys_folder,
                    keys_key: keys_text,
                    accounts: people.iter().map(account).collect(),
                    access_log: folder.join(SECOND_LOG),
                };
                Some(Second::start(&shared).await?)
            }
        };
        let accounts = people.iter().map(|one| (one.name.into(), one.identity().signer())).collect();
        let server = server::start(Setup {
            origin: Origin::parse(&proxy.origin)?,
            identity,
            keys: second::service_keys(&keys)?,
            accounts: Arc::new(Accounts::new(accounts)),
            pages: Vec::new(),
            store: store.clone(),
            replay,
            log: log.clone(),
        })
        .await?;
        proxy.forward_to(server.address);

        report.origin.clone_from(&proxy.origin);
        report.servers = 1 + usize::from(second.is_some());
        let folder = folder.to_owned();
        Ok(Self { folder, proxy, store, database, log, server, second, keys, alice, bob, carol, mallory })
    }

    async fn row(&self, item: Item) -> Outcome<Row> {
        Ok(self.store.find(&item.path()).await?.ok_or("there is no such row")?)
    }
}

/// Tells it. The people get to know each other first, so this takes the world as a whole.
pub(crate) async fn tell(world: &mut World, report: &mut Report) -> Outcome<()> {
    introduction(world);
    people_meet(world).await?;
    alice_writes(world, report).await?;
    bob_lists(world, report).await?;
    bob_shares(world, report).await?;
    let old_note = alice_revokes(world, report).await?;
    alice_asks(world, report).await?;
    let old_keys = keys_rotate(world).await?;
    search(world, report).await?;
    the_world_turns_hostile(world, report, &old_note, &old_keys).await
}

fn introduction(world: &World) {
    show::title("Sealwire: a notes API that stores what it cannot read");
    show::line(format!("API      {}: a CDN, which ends TLS and sees every byte", world.proxy.origin));
    show::line(format!("server   http://{}, behind it; it verifies every request", world.server.address));
    show::line(format!("database {}", world.database));
    if let Some(second) = &world.second {
        show::line(format!(
            "second   http://{}, a process of its own; they share keys, rows and a replay cache",
            second.address
        ));
    }
    show::line(dim(
        "Each person is a client with a key store of its own. The calls are real HTTP, here without TLS:",
    ));
    show::line(dim("what follows holds even for a server, or a CDN, that sees every byte."));
}

async fn people_meet(world: &mut World) -> Outcome<()> {
    show::heading("1  Three people meet");
    let World { alice, bob, carol, .. } = world;
    for one in [&*alice, bob, carol] {
        one.publish().await?;
        let recipient = one.identity().recipient();
        let keys = count(recipient.to_string().len());
        let call = format!("PUT /people/{}", one.name);
        show::call(one.name, &call, format!("{keys} characters; {}", recipient.fingerprint()));
    }
    alice.meet(bob).await?;
    bob.meet(alice).await?;
    bob.meet(carol).await?;
    carol.meet(alice).await?;
    show::lines(&[
        "They fetched each other's keys from the server, and checked them against the pin (71 characters,",
        "a QR code) that they had shown each other in person. So the server cannot slip in its own.",
        "Each request is signed by the key of who sends it, and the server verifies it before it acts.",
    ]);
    Ok(())
}

async fn alice_writes(world: &World, report: &mut Report) -> Outcome<()> {
    show::heading("2  Alice writes to Bob: a signed note, and a picture of 5 MB");
    let World { alice, mallory, .. } = world;
    let picture = world.folder.join("the-way-to-the-cabin.bmp");
    fs::write(&picture, landscape())?;
    alice.write(NOTE, 1, TEXT, &["bob"]).await?;
    show::call("alice", "PUT /notes/17", "for Bob and herself; the app's policy seals and signs it");
    let sent = alice.attach(ATTACHMENT, &picture, &["bob"]).await?;
    show::call("alice", "PUT /attachments/17", format!("{} bytes, sealed 1 MiB at a time", count(sent)));
    alice.write(OTHER_NOTE, 1, OTHER_TEXT, &["bob"]).await?;
    show::call("alice", "PUT /notes/18", "another one, which will matter later");
    alice.write(DIARY, 1, DIARY_TEXT, &[]).await?;
    show::call("alice", "PUT /notes/19", "her diary, for nobody else");
    bob_reads(world, report).await?;
    what_the_server_sees(world).await?;
    let refused = mallory.write(NOTE, 2, "not Alice's", &[]).await.err().map(|failure| failure.code());
    check(refused.as_deref() == Some("403"), "the verified signature says whose row it is")?;
    show::line(format!("Mallory, who has an account, tries to overwrite Alice's note: {}.", good("403")));
    Ok(())
}

/// Bob opens both, side by side with the rows.
async fn bob_reads(world: &World, report: &mut Report) -> Outcome<()> {
    let World { alice, bob, .. } = world;
    let note = bob.read(NOTE).await?;
    let (signer, about) = (note.signer().ok_or("the note is not signed")?, note.about().cloned());
    check(signer == alice.identity().signer(), "Alice signed it")?;
    check(about.is_some_and(|about| about.addressed_to_me == Addressed::Yes), "it is addressed to Bob")?;
    let text = note.text().await?;
    check(text == TEXT, "Bob reads what Alice wrote")?;
    let Row { header, body, .. } = world.row(NOTE).await?;
    let mut left: Vec<String> = text.lines().map(str::to_owned).collect();
    left.extend([
        String::new(),
        format!("signed by  Alice ({}…), verified", hex(signer.as_bytes().get(..4).unwrap_or_default())),
        "addressed  to Bob".into(),
    ]);
    let mut right = vec![format!("header  {} bytes", count(header.len()))];
    right.extend(show::hex_lines(&header, 3));
    right.push(format!("body    {} bytes", count(body.len())));
    right.extend(show::hex_lines(&body, 3));
    right.push("in base64".into());
    right.push(format!("{}…", to_text(body.get(..33).unwrap_or_default())));
    show::side_by_side(("Bob reads /notes/17", &left), ("the database holds", &right));
    read(world, report, "bob", NOTE, Ok((text.len(), Some("alice")))).await?;

    let (path, finished) = bob.download(ATTACHMENT, "alice").await?;
    let bytes = fs::read(path)?;
    check(bytes == landscape(), "Bob has the picture, byte for byte")?;
    check(matches!(finished.signer, SignedBy::Verified(_)), "the picture is signed")?;
    let Row { body, .. } = world.row(ATTACHMENT).await?;
    let (stride, text) = (IMAGE_WIDTH * 3, |text: Option<String>| text.unwrap_or_default());
    let mut left = show::picture(bytes.get(BMP_HEADER..).unwrap_or_default(), stride);
    left.push(format!("{}, {}", text(finished.about.filename), text(finished.about.content_type)));
    left.push(format!("{} bytes, signed by Alice, verified", count(bytes.len())));
    let mut right = show::picture(body.get(BMP_HEADER..).unwrap_or_default(), stride);
    right.push("name, type, signer: encrypted in the header".into());
    right.push(format!("{} bytes, drawn in the same way", count(body.len())));
    show::side_by_side(("Bob opens /attachments/17 as it comes in", &left), ("the database holds", &right));
    read(world, report, "bob", ATTACHMENT, Ok((bytes.len(), Some("alice")))).await
}

/// Puts into the report who reads what.
async fn read(
    world: &World,
    report: &mut Report,
    who: &'static str,
    item: Item,
    outcome: Result<(usize, Option<&'static str>), String>,
) -> Outcome<()> {
    let Row { header, body, .. } = world.row(item).await?;
    let (row_header, row_body) = (header.len(), body.len());
    let (bytes, signed_by) = *outcome.as_ref().unwrap_or(&(0, None));
    let (path, refused) = (item.path(), outcome.err());
    report.reads.push(Read { who, path, bytes, signed_by, refused, row_header, row_body });
    Ok(())
}

/// What is not hidden, read from the rows without any key.
async fn what_the_server_sees(world: &World) -> Outcome<()> {
    show::blank();
    show::line(bold("What the server does see, without any key:"));
    for item in [NOTE, ATTACHMENT] {
        let Row { header, body, .. } = world.row(item).await?;
        let parsed = Header::parse(&header)?;
        let slots = parsed.unverified_slots().filter(|slot| matches!(slot, SlotKind::Hpke { .. })).count();
        let size = if parsed.unverified_padded() { "padded" } else { "a stream: the exact size" };
        let version = version(parsed.unverified_metadata());
        show::line(format!(
            "  {:<15} {slots} recipients, version {version}, {} bytes of body ({size})",
            item.path(),
            count(body.len())
        ));
    }
    show::lines(&[
        "  Who calls, when, from where and for which row. And, as it knows everybody's public keys, it can",
        "  test whose slots these are: each has a hint by which its reader finds it. (Anonymous ones do not.)",
    ]);
    Ok(())
}

async fn bob_lists(world: &World, report: &mut Report) -> Outcome<()> {
    show::heading("3  Bob lists all notes: each is opened for its own id");
    let mut left = Vec::new();
    for item in world.bob.list().await? {
        left.push(match item.opened {
            Ok(opened) => {
                let text = String::from_utf8_lossy(&opened.plaintext).into_owned();
                format!("{}  {}", item.id, text.lines().next().unwrap_or_default())
            }
            Err(error) => {
                check(item.id == DIARY.id && error.code() == "NotRecipient", "only the diary is not Bob's")?;
                format!("{}  ({}: not for Bob)", item.id, error.code())
            }
        });
    }
    check(left.len() == 3, "Bob lists three notes")?;
    let lines = world.log.lines();
    let right: Vec<_> = lines.iter().rev().take(3).rev().cloned().collect();
    show::side_by_side(("Bob lists /notes", &left), ("the access log holds", &right));
    read(world, report, "bob", DIARY, Err("NotRecipient".into())).await
}

async fn bob_shares(world: &World, report: &mut Report) -> Outcome<()> {
    show::heading("4  Bob lets Carol read it too: rewrap");
    let World { bob, carol, mallory, .. } = world;
    let row = world.row(NOTE).await?;
    let context = NOTE.context();
    let server = Opener::new(&**mallory.identity(), &context);
    let by_server = server.rewrap_header(&row.header, &row.body, carol.identity().recipient());
    check(by_server.err().map(|error| error.code()) == Some("NotRecipient"), "the server cannot share")?;
    for item in [NOTE, ATTACHMENT] {
        let moved = bob.share(item, "alice", &["alice", "carol"]).await?;
        let whole = count(world.row(item).await?.body.len());
        let call = format!("PUT /{}/header", item.path());
        let note = format!("{} bytes moved; the body of {whole} stays where it is", count(moved));
        show::call("bob", &call, note);
    }
    let opened = carol.read(NOTE).await?;
    check(opened.signer() == Some(world.alice.identity().signer()), "Alice's signature survives a rewrap")?;
    let addressed = opened.about().map(|about| about.addressed_to_me);
    check(addressed == Some(Addressed::No), "Carol can tell that it was passed on")?;
    let text = opened.text().await?;
    check(text == TEXT, "Carol reads what Alice wrote")?;
    show::lines(&[
        "Carol reads it. It is still signed by Alice, and Carol can tell that it was passed on to her.",
        "The server tried first, with keys of its own: NotRecipient. Only a reader can let others read.",
    ]);
    read(world, report, "carol", NOTE, Ok((text.len(), Some("alice")))).await
}

/// Gives the note's row as it was before.
async fn alice_revokes(world: &World, report: &mut Report) -> Outcome<Row> {
    show::heading("5  Alice takes Carol off the list: reseal, the only revocation");
    let World { alice, bob, carol, .. } = world;
    let old_note = world.row(NOTE).await?;
    for item in [NOTE, ATTACHMENT] {
        let version = match item.kind {
            "notes" => alice.revoke(item, &["bob"]).await?,
            _ => alice.revoke_file(item, &["bob"]).await?,
        };
        let note = format!("version {version}: a new key, for Bob and herself");
        show::call("alice", &format!("PUT /{}", item.path()), note);
    }
    check(bob.read(NOTE).await?.text().await? == TEXT, "Bob reads the new version")?;
    check(fs::read(bob.download(ATTACHMENT, "alice").await?.0)? == landscape(), "Bob has the picture")?;
    for item in [NOTE, ATTACHMENT] {
        let refused = match item.kind {
            "notes" => carol.read(item).await.err(),
            _ => carol.download(item, "alice").await.err(),
        };
        let code = refused.map(|failure| failure.code());
        check(code.as_deref() == Some("NotRecipient"), "Carol is refused")?;
        read(world, report, "carol", item, Err(code.unwrap_or_default())).await?;
    }
    show::line(format!("Bob reads version 2. Carol gets {}.", good("NotRecipient")));
    show::line(dim("What Carol has read she may have kept, and version 1 too: nothing can take that back."));
    Ok(old_note)
}

async fn alice_asks(world: &World, report: &mut Report) -> Outcome<()> {
    show::heading("6  Alice asks the assistant: it reads, so it is sealed to it");
    let alice = &world.alice;
    let (reply, passed) = world.proxy.tampering(Tamper::none(), alice.ask(QUESTION)).await;
    let reply = reply?;
    check(reply.asked_by == "alice", "the assistant knows who asked, by a verified signature")?;
    let (outer, _) = passed.last().ok_or("nothing passed")?;
    let field = |name: &str| outer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    let last = world.log.lines().last().cloned().unwrap_or_default();
    let mut left = show::wrapped(QUESTION);
    left.extend(["Authorization: Bearer … (inside)".into(), String::new()]);
    left.extend(show::wrapped(&format!("To {}: {}", reply.asked_by, reply.answer)));
    let mut right = vec![
        format!("{} {}", outer.method, outer.path),
        format!("content-type: {}", field("content-type")),
        format!("authorization: {}", field("authorization")),
    ];
    right.extend(show::hex_lines(&outer.body, 2));
    let (call, sender) = last.split_once(" length").unwrap_or((&last, ""));
    right.extend([format!("log: {call}"), format!("     length{sender}")]);
    show::side_by_side(("Alice and the assistant read", &left), ("CDN and access log have", &right));

    show::blank();
    show::call("alice", "GET /assistant/stream", "server-sent events, through a streamed exchange");
    let heard = |after: Duration, event: &str| {
        show::line(format!("  {:>5} ms  {event}", after.as_millis()));
        report.events.push(Heard { after_ms: after.as_millis(), event: event.into() });
    };
    alice.listen(TOPIC, heard).await?;
    check(report.events.len() == 1 + assistant::LINES.len(), "all events came")?;
    let spread = report.events.last().map_or(0, |last| last.after_ms)
        - report.events.first().map_or(0, |first| first.after_ms);
    check(spread >= assistant::PAUSE.as_millis() * 2, "events are read as they arrive")?;
    let last = world.log.lines().last().cloned().unwrap_or_default();
    show::line(format!("log: {last} {}", dim("(the query is inside)")));

    check(alice.help().await?.starts_with("Ask"), "a page for everybody opens")?;
    let last = world.log.lines().last().cloned().unwrap_or_default();
    show::line(format!("log: {last} {}", dim("(sealed, unsigned: whose it is, it does not say)")));
    check(alice.hours().await?.starts_with("The"), "a page through the tunnel opens")?;
    let last = world.log.lines().last().cloned().unwrap_or_default();
    show::line(format!("log: {last} {}", dim("(a tunnel: not even the path)")));
    Ok(())
}

/// Gives what was published before.
async fn keys_rotate(world: &World) -> Outcome<Answer> {
    show::heading("7  The service rotates its keys, while it runs");
    let World { alice, proxy, server, .. } = world;
    alice.restart();
    let (helped, passed) = proxy.tampering(Tamper::none(), alice.help()).await;
    helped?;
    let published = passed.into_iter().find(|(call, _)| call.path == KEYS_PATH);
    let (_, old_keys) = published.ok_or("Alice's app fetched no keys")?;
    // As if an hour ago, since a new key is published after that.
    server.service.change_keys(|keys| keys.rotate(now() - KEY_ROLLOUT - 60))?;
    server.service.with_keys(|keys| keys.save(&world.keys, "keys", now()))?;
    if let Some(second) = &world.second {
        second.load_keys().await?;
    }
    alice.help().await?;
    alice.restart();
    alice.help().await?;
    show::lines(&[
        "Alice's app goes on with the key that it has, which is still understood; after a new start it",
        "fetches the next one, checks its signature against the pin, and keeps its serial number.",
    ]);
    if let Some(second) = &world.second {
        proxy.forward_to(second.address);
        let (reply, note) = (alice.ask(QUESTION).await, world.bob.read(NOTE).await);
        proxy.forward_to(server.address);
        check(reply?.asked_by == "alice" && note?.text().await? == TEXT, "the second server serves, too")?;
        show::line(
            "The second server loaded the new key, too: it answers Alice's question, and serves Bob his note.",
        );
    }
    Ok(old_keys)
}

/// Searches for the canaries in all that the server and the CDN have, and proves that the search would find them.
async fn search(world: &World, report: &mut Report) -> Outcome<()> {
    show::heading("8  Is anything of it in the database, the access log, or on the wire?");
    let (raw, wire) = (world.store.raw().await?, world.proxy.take_wire());
    let mut log = fs::read(world.folder.join("access.log"))?;
    if world.second.is_some() {
        log.extend(fs::read(world.folder.join(SECOND_LOG))?);
    }
    let image = landscape();
    let pixels = image.get(image.len() / 2..).and_then(|rest| rest.get(..48)).ok_or("no picture")?;
    let canaries: Vec<&[u8]> = CANARIES.iter().map(|canary| canary.as_bytes()).chain([pixels]).collect();
    let found = |bytes: &[u8]| canaries.iter().filter(|canary| holds(bytes, canary)).count();
    report.canaries = Canaries {
        searched_for: canaries.len(),
        in_database: found(&raw),
        in_access_log: found(&log),
        on_the_wire: found(&wire),
        database_bytes: raw.len(),
        wire_bytes: wire.len(),
    };
    let Canaries { in_database, in_access_log, on_the_wire, .. } = report.canaries;
    check(in_database + in_access_log + on_the_wire == 0, "no canary is anywhere")?;
    for canary in &canaries {
        for planted in forms(canary) {
            check(holds(&[&log, planted.as_slice()].concat(), canary), "a planted canary is found")?;
        }
    }
    let clear = NOTE.path();
    check(
        [&raw, &log, &wire].iter().all(|bytes| holds(bytes, clear.as_bytes())),
        "what is in clear is found",
    )?;
    show::line(format!(
        "canary check: {} pieces of text, file name, type, token and pixels, as they are, in hex and base64,",
        canaries.len()
    ));
    show::line(format!(
        "searched in {} bytes of database, {} lines of log, {} bytes of traffic: {}",
        count(raw.len()),
        count(world.log.lines().len()),
        count(wire.len()),
        good("none found")
    ));
    show::line(dim(format!(
        "The same search finds \"{clear}\", which is no secret, and each piece once it is planted."
    )));
    Ok(())
}

async fn the_world_turns_hostile(
    world: &World,
    report: &mut Report,
    old_note: &Row,
    old_keys: &Answer,
) -> Outcome<()> {
    show::heading("9  The server and the CDN turn hostile");
    show::lines(&[
        "They alter rows, answers and requests, and somebody's app makes an ordinary call. Before each act",
        "the same call was made without it, and succeeded (but Carol's, who is off the list).",
    ]);
    let World { proxy, server, alice, bob, carol, mallory, .. } = world;
    let (store, second) = (&*world.store, world.second.as_ref());
    let stage = Stage { store, proxy, server, second, alice, bob, carol, mallory, old_note, old_keys };
    report.acts = hostile::run(&stage).await?;
    report.let_in = server.audit.verified();
    if let Some(second) = second {
        report.let_in += second.verified().await?;
    }
    show::blank();
    show::lines(&[
        "* Version 1 is a true note of Alice's, but Bob's app keeps the highest version that it has seen, and",
        "  does not go back. It cannot tell on a first read, nor that a row was left out.",
        "The codes do not say which check refused, so that nobody can probe. The middle column explains.",
        "What the server refuses, it refuses without a reason: the codes are from its audit log.",
    ]);
    show::blank();
    let acts = report.acts.len();
    let not_refused = report.acts.iter().filter(|act| !act.held).count();
    if not_refused > 0 {
        return Err(format!("{not_refused} of {acts} hostile acts were not refused as they must be").into());
    }
    let let_in = count(report.let_in);
    show::line(good(format!("All {acts} acts were refused. {let_in} requests were verified and let in.")));
    Ok(())
}

fn check(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("this should hold: {what}").into()) }
}
