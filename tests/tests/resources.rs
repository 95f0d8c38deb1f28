//! Sealed resources: what a server that stores them, or invents them, can and cannot do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sealwire::http::{
    Client, ENVELOPE_MEDIA_TYPE, LastSeen, ListItem, Policy, Response, ResponseHead, Rule, SealedResource,
    Sender,
};
use sealwire::{
    Candidate, Error, FileStore, Identity, Keyring, MemoryStore, Recipients, SealContext, Sealer,
    SymmetricKey, Unlock, UnlockBudget, UnlockRequest, to_text,
};
use sealwire_tests::loopback::{
    DEVICE, OTHER_DEVICE, Proxy, Service, copy, device, http, known_devices, page, person,
};
use sealwire_tests::people::{cheap_passphrase, note};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Notes that the device writes to itself, under `/store/{id}`.
fn notes() -> SealedResource {
    SealedResource::new("notes", "id").to(&[DEVICE.recipient().clone()]).senders(&[DEVICE.signer()])
}

fn policy(service: &Service, resource: SealedResource) -> Policy {
    let rule = |pattern| Rule::at(&service.origin, pattern).unwrap();
    let list = resource.clone().list("id", "sealed");
    Policy::new()
        .rule(rule("/store/all").seal(list).sign())
        .rule(rule("/store").seal(resource.clone()).sign())
        .rule(rule("/store/{id}").seal(resource).sign())
}

fn client(service: &Service) -> Client {
    Client::new(http(), policy(service, notes())).identity(device())
}

async fn gateway() -> Service {
    Service::gateway(|layer| layer.verify(known_devices())).await
}

fn put(service: &Service, path: &str, kind: &str, body: impl Into<bytes::Bytes>) {
    service.app.stored.lock().unwrap().insert(path.into(), (kind.into(), body.into()));
}

fn sealed(context: &SealContext, signer: Option<&Identity>, version: Option<u64>, text: &str) -> Vec<u8> {
    let reader = [DEVICE.recipient().clone()];
    let mut sealer = Sealer::new(context).to(Recipients::from(&reader[..]));
    if let Some(signer) = signer {
        sealer = sealer.sign(signer);
    }
    if let Some(version) = version {
        sealer = sealer.metadata("version", version);
    }
    sealer.seal(text.as_bytes()).unwrap()
}

async fn get(client: &Client, url: &str) -> Result<Response, Error> {
    client.get(url).send().await
}

async fn text(client: &Client, url: &str) -> Result<String, Error> {
    get(client, url).await?.text().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_comes_back_as_it_was_written() {
    let service = gateway().await;
    let client = client(&service);
    let url = service.url("/store/17");
    let written =
        client.put(&url).version(3).json(&serde_json::json!({"secret": "milk"})).send().await.unwrap();
    assert_eq!((written.status().as_u16(), written.bytes().await.unwrap().len()), (201, 0));
    let (kind, stored) = service.app.stored.lock().unwrap()["/store/17"].clone();
    assert_eq!(kind, ENVELOPE_MEDIA_TYPE);
    assert!(!stored.windows(4).any(|four| four == b"milk" || four == b"json"));
    assert_eq!(service.app.last().sender, Some(DEVICE.signer()));

    let read = get(&client, &url).await.unwrap();
    assert_eq!(read.status(), 200);
    assert_eq!(read.signer(), Some(DEVICE.signer()));
    assert_eq!(read.about().unwrap().version(), Some(3));
    assert_eq!(read.headers().text("content-type").unwrap(), Some("application/json"));
    assert_eq!(read.json::<serde_json::Value>().await.unwrap()["secret"], "milk");

    // The id is what the path says, decoded; anybody can open it by that.
    client.put(service.url("/store/a%2Fb")).body("x").send().await.unwrap();
    let stored = service.app.stored.lock().unwrap()["/store/a%2Fb"].1.clone();
    assert_eq!(sealwire::open(&stored, &*DEVICE, &note("a/b")).unwrap().plaintext, b"x");
    // HEAD and DELETE have no body to open or to believe.
    for method in ["HEAD", "DELETE"] {
        let answer = client.request(method, &url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_can_travel_in_an_exchange() {
    let service = Service::start(|layer| layer.verify(known_devices())).await;
    let client = |streamed: bool| {
        service.client(|_| {
            let rule = Rule::at(&service.origin, "/store/{id}").unwrap().seal(notes()).exchange().sign();
            if streamed { rule.streamed() } else { rule }
        })
    };
    for streamed in [false, true] {
        let url = service.url("/store/9");
        client(streamed).put(&url).body("inside").version(1).send().await.unwrap();
        assert_eq!(text(&client(streamed), &url).await.unwrap(), "inside");
        assert_eq!(
            get(&client(streamed), &service.url("/store/none")).await.unwrap_err(),
            Error::Unsealed { status: 404 }
        );
        // The service itself is no sender.
        put(&service, "/store/8", "text/plain", "invented");
        assert_eq!(
            get(&client(streamed), &service.url("/store/8")).await.unwrap_err(),
            Error::Unsealed { status: 200 }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_says_what_it_is() {
    let service = gateway().await;
    let client = client(&service);
    let url = service.url("/store");
    let error = client.post(&url).body("x").send().await.unwrap_err();
    assert_eq!((error.code(), service.app.calls()), ("Misuse", 0));
    let answer = client.post(&url).context(note("23")).body("x").send().await.unwrap();
    // What the server says to a write is not data.
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));
    let body = service.app.last().body.unwrap();
    assert_eq!(sealwire::open(&body, &*DEVICE, &note("23")).unwrap().plaintext, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_cannot_write() {
    let service = gateway().await;
    let stranger = person();
    let genuine = sealed(&note("17"), Some(&DEVICE), None, "genuine");
    let mut altered = genuine.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let reader = [stranger.recipient().clone()];
    let to_others =
        Sealer::new(&note("17")).to(Recipients::from(&reader[..])).sign(&DEVICE).seal(b"x").unwrap();
    let unsealed = Error::Unsealed { status: 200 };
    for (what, kind, body, expected) in [
        ("unsigned", ENVELOPE_MEDIA_TYPE, sealed(&note("17"), None, None, "x"), Error::Rejected),
        (
            "a stranger's",
            ENVELOPE_MEDIA_TYPE,
            sealed(&note("17"), Some(&stranger), None, "x"),
            Error::Rejected,
        ),
        (
            "another device's",
            ENVELOPE_MEDIA_TYPE,
            sealed(&note("17"), Some(&OTHER_DEVICE), None, "x"),
            Error::Rejected,
        ),
        ("another note", ENVELOPE_MEDIA_TYPE, sealed(&note("18"), Some(&DEVICE), None, "x"), Error::Rejected),
        (
            "another namespace",
            ENVELOPE_MEDIA_TYPE,
            sealed(&SealContext::new("drafts").field("17"), Some(&DEVICE), None, "x"),
            Error::Rejected,
        ),
        ("altered", ENVELOPE_MEDIA_TYPE, altered, Error::Rejected),
        ("to others", ENVELOPE_MEDIA_TYPE, to_others, Error::NotRecipient),
        ("nothing", ENVELOPE_MEDIA_TYPE, Vec::new(), Error::Truncated),
        ("plaintext", "application/json", b"{}".to_vec(), unsealed),
        ("another type", "application/octet-stream", genuine.clone(), unsealed),
        ("a parameter", "application/vnd.sealwire; v=2", genuine.clone(), unsealed),
    ] {
        put(&service, "/store/17", kind, body);
        let error = get(&client(&service), &service.url("/store/17")).await.unwrap_err();
        assert_eq!(error, expected, "{what}");
    }
    let missing = get(&client(&service), &service.url("/store/404")).await.unwrap_err();
    assert_eq!(missing, Error::Unsealed { status: 404 });
    put(&service, "/store/17", ENVELOPE_MEDIA_TYPE, genuine);
    assert_eq!(text(&client(&service), &service.url("/store/17")).await.unwrap(), "genuine");
    // Who names no senders believes nobody.
    let gullible = SealedResource::new("notes", "id").to(&[DEVICE.recipient().clone()]);
    let gullible = Client::new(http(), policy(&service, gullible)).identity(device());
    assert_eq!(get(&gullible, &service.url("/store/17")).await.unwrap_err(), Error::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_is_not_served_as_new() {
    let service = gateway().await;
    let folder = tempfile::tempdir().unwrap();
    // Every client is a new start of the app.
    let start = || {
        let store = FileStore::with_key(folder.path(), SymmetricKey::from_bytes(&[7; 32]));
        client(&service).last_seen(LastSeen::in_store(store))
    };
    let url = service.url("/store/17");
    for (version, taken) in [
        (None, true),
        (Some(0), true),
        (None, true),
        (Some(4), true),
        (Some(4), true),
        (Some(3), false),
        (None, false),
        (Some(0), false),
        (Some(5), true),
        (Some(4), false),
        (Some(u64::MAX), true),
        (Some(5), false),
        (None, false),
    ] {
        serve(&service, "17", version);
        match get(&start(), &url).await {
            Ok(read) => assert!(taken && read.about().unwrap().version() == version, "{version:?}"),
            Err(error) => assert!(!taken && error == Error::Rejected, "{version:?}: {error}"),
        }
    }
    // Another note has versions of its own; without a store they are forgotten with the process.
    put(&service, "/store/18", ENVELOPE_MEDIA_TYPE, sealed(&note("18"), Some(&DEVICE), Some(1), "v"));
    assert_eq!(text(&start(), &service.url("/store/18")).await.unwrap(), "v");
    assert_eq!(text(&client(&service), &url).await.unwrap(), "v");
    // A forged high version does not lock the genuine one out.
    let forger = person();
    put(&service, "/store/19", ENVELOPE_MEDIA_TYPE, sealed(&note("19"), Some(&forger), Some(99), "v"));
    assert_eq!(get(&start(), &service.url("/store/19")).await.unwrap_err(), Error::Rejected);
    put(&service, "/store/19", ENVELOPE_MEDIA_TYPE, sealed(&note("19"), Some(&DEVICE), Some(1), "v"));
    assert_eq!(text(&start(), &service.url("/store/19")).await.unwrap(), "v");
}

fn serve(service: &Service, id: &str, version: Option<u64>) {
    let envelope = sealed(&note(id), Some(&DEVICE), version, "v");
    put(service, &format!("/store/{id}"), ENVELOPE_MEDIA_TYPE, envelope);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_text_is_sealed_like_every_other() {
    let service = gateway().await;
    let client = client(&service);
    for method in ["PUT", "POST", "PATCH"] {
        client.request(method, service.url("/store/17")).send().await.unwrap();
        let sent = service.app.last();
        assert_eq!(sent.headers["content-type"], ENVELOPE_MEDIA_TYPE, "{method}");
        let opened = sealwire::open(&sent.body.unwrap(), &*DEVICE, &note("17")).unwrap();
        assert!(opened.plaintext.is_empty(), "{method}");
    }
    client.put(service.url("/store/17")).send().await.unwrap();
    assert_eq!(text(&client, &service.url("/store/17")).await.unwrap(), "");
    // What removes holds nothing, and what asks neither.
    client.delete(service.url("/store/17")).send().await.unwrap();
    assert_eq!(service.app.last().body.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_not_taken_back() {
    let service = gateway().await;
    let rule = Rule::at(&service.origin, "/status/{id}").unwrap().seal(notes()).sign();
    let client = Client::new(http(), policy(&service, notes()).rule(rule)).identity(device());
    let write = async |method: &str, path: &str, version: u64| {
        let request = client.request(method, service.url(path)).context(note("17"));
        request.version(version).body("v").send().await.map(|answer| answer.status().as_u16())
    };
    let url = service.url("/store/17");
    // What the service did not take, and what has no body, is not remembered.
    assert_eq!(write("PUT", "/status/500", 9).await.unwrap(), 500);
    client.delete(&url).version(9).send().await.unwrap();
    serve(&service, "17", Some(4));
    assert_eq!(text(&client, &url).await.unwrap(), "v");

    for (method, path, version) in [("PUT", "/store/17", 5), ("POST", "/store", 6), ("PATCH", "/store", 7)] {
        assert!((200..300).contains(&write(method, path, version).await.unwrap()), "{method}");
        for (served, taken) in [(Some(version - 1), false), (None, false), (Some(version), true)] {
            serve(&service, "17", served);
            let expected = if taken { Ok("v".into()) } else { Err(Error::Rejected) };
            assert_eq!(text(&client, &url).await, expected, "{method} {served:?}");
        }
    }
    // A writer who has lost count, or forgets to count, learns it before anything is sent.
    let before = service.app.calls();
    assert_eq!(write("PUT", "/store/17", 6).await, Err(Error::Rejected));
    assert_eq!(client.put(&url).body("w").send().await.unwrap_err(), Error::Rejected);
    assert_eq!(client.put(&url).send().await.unwrap_err(), Error::Rejected);
    assert_eq!(service.app.calls(), before);
    assert_eq!(text(&client, &url).await.unwrap(), "v");
    // Nor can the answer to a write hold an older one.
    serve(&service, "17", Some(7));
    let stored = service.app.stored.lock().unwrap()["/store/17"].clone();
    let proxy = Proxy::start().await;
    proxy.to(&service);
    proxy.tamper(move |_, _| {
        let (kind, body) = stored.clone();
        async move { page(200, &kind, body) }
    });
    let rule = Rule::at(&proxy.origin, "/store/{id}").unwrap().seal(notes());
    let client = Client::new(http(), Policy::new().rule(rule)).identity(device());
    let url = format!("{}/store/17", proxy.origin);
    assert_eq!(client.put(&url).version(7).body("w").send().await.unwrap().text().await.unwrap(), "v");
    assert_eq!(client.put(&url).version(8).body("w").send().await.unwrap_err(), Error::Rejected);
}

#[test]
fn processes_that_share_a_store_do_not_lower_it() {
    let folder = tempfile::tempdir().unwrap();
    let start = || LastSeen::in_store(FileStore::with_key(folder.path(), SymmetricKey::from_bytes(&[7; 32])));
    let (one, other) = (start(), start());
    one.advance("note", 4).unwrap();
    other.advance("note", 9).unwrap();
    assert_eq!(one.advance("note", 5), Err(Error::Rejected));
    assert_eq!(start().advance("note", 8), Err(Error::Rejected));
    // Neither does it help to take the store away: who has seen it knows it, and puts it back.
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    start().advance("note", 1).unwrap();
    assert_eq!(other.advance("note", 8), Err(Error::Rejected));
    other.advance("note", 9).unwrap();
    assert_eq!(start().advance("note", 8), Err(Error::Rejected));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_urls_are_not_one_resource() {
    let service = gateway().await;
    let files = SealedResource::new("files", "path").to(&[DEVICE.recipient().clone()]);
    let rule = Rule::at(&service.origin, "/store/{path..}").unwrap();
    let rule = rule.seal(files.senders(&[DEVICE.signer()])).sign();
    let client = Client::new(http(), Policy::new().rule(rule)).identity(device());
    client.put(service.url("/store/a/b%20c")).body("x").send().await.unwrap();
    assert_eq!(text(&client, &service.url("/store/a/b%20c")).await.unwrap(), "x");
    // 'a/b' in the root would be the same as 'b' in 'a'.
    let refused = client.put(service.url("/store/a%2Fb")).body("x").send().await;
    assert_eq!(refused.unwrap_err().code(), "Misuse");
    assert_eq!(Rule::at(&service.origin, "/a/{id}/b/{id}").unwrap_err().code(), "Malformed");
}

#[test]
fn a_former_sender_locks_nobody_out() {
    let seen = LastSeen::in_store(MemoryStore::default());
    let mut head = ResponseHead::new(200).unwrap();
    head.headers.set("content-type", ENVELOPE_MEDIA_TYPE).unwrap();
    let third = person();
    let open = |senders: &[&Identity], writer: &Identity, version| {
        let senders: Vec<_> = senders.iter().map(|sender| sender.signer()).collect();
        let envelope = sealed(&note("17"), Some(writer), Some(version), "v");
        let opened = notes().senders(&senders).open_body(&head, &envelope, &*DEVICE, &note("17"), &seen);
        opened.map(drop)
    };
    let both: [&Identity; 2] = [&DEVICE, &OTHER_DEVICE];
    open(&both, &DEVICE, 5).unwrap();
    assert_eq!(open(&both, &OTHER_DEVICE, 4), Err(Error::Rejected), "another sender's old one");
    open(&both, &OTHER_DEVICE, u64::MAX).unwrap();
    assert_eq!(open(&both, &DEVICE, 6), Err(Error::Rejected));
    // The other device was stolen, and is taken out; what the others have written counts on.
    open(&[&DEVICE], &DEVICE, 6).unwrap();
    for writer in [&*DEVICE, &third] {
        assert_eq!(open(&[&DEVICE, &third], writer, 5), Err(Error::Rejected));
    }
    open(&[&DEVICE, &third], &third, 6).unwrap();
}

fn item(id: &serde_json::Value, envelope: &[u8]) -> serde_json::Value {
    serde_json::json!({"id": id, "sealed": to_text(envelope), "stars": 3})
}

fn opened(item: &ListItem) -> Result<String, Error> {
    item.opened.clone().map(|opened| String::from_utf8(opened.plaintext).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_does_not_spoil_a_list() {
    let service = gateway().await;
    let url = service.url("/store/all");
    let one = sealed(&note("1"), Some(&DEVICE), Some(2), "one");
    let two = sealed(&note("two"), Some(&DEVICE), None, "two");
    let forged = sealed(&note("3"), None, None, "three");
    let list = serde_json::json!([
        item(&1.into(), &one),
        item(&"two".into(), &two),
        item(&"3".into(), &forged),
        item(&"4".into(), &two),
        {"id": "5"},
        {"id": "6", "sealed": 6},
        {"id": "7", "sealed": "sealwire1nonsense"},
    ]);
    put(&service, "/store/all", "application/json; charset=utf-8", list.to_string());
    let items = get(&client(&service), &url).await.unwrap().into_list();
    let found: Vec<_> = items.iter().map(|item| (item.id.as_str(), opened(item))).collect();
    let unsealed = Err(Error::Unsealed { status: 200 });
    assert_eq!(
        found[..6],
        [
            ("1", Ok("one".into())),
            ("two", Ok("two".into())),
            ("3", Err(Error::Rejected)),
            ("4", Err(Error::Rejected)),
            ("5", unsealed.clone()),
            ("6", unsealed),
        ]
    );
    assert_eq!((found[6].0, found[6].1.clone().unwrap_err().code()), ("7", "Malformed"));
    assert_eq!(found.len(), 7);

    put(&service, "/store/all", "application/json", "[]");
    assert!(get(&client(&service), &url).await.unwrap().into_list().is_empty());
    let many = (0..10_001).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    let many = format!("[{}]", many.join(","));
    for (kind, body, expected) in [
        ("application/json", "{}", "Malformed"),
        ("application/json", "[1]", "Malformed"),
        ("application/json", "[{}]", "Malformed"),
        ("application/json", r#"[{"id":-1}]"#, "Malformed"),
        ("application/json", r#"[{"id":1.5}]"#, "Malformed"),
        ("application/json", r#"[{"id":null}]"#, "Malformed"),
        ("application/json", r#"[{"id":{}}]"#, "Malformed"),
        ("application/json", r#"[{"id":[1]}]"#, "Malformed"),
        ("application/json", r#"[{"id":18446744073709551616}]"#, "Malformed"),
        ("application/json", r#"[{"id":1,"id":1}]"#, "Malformed"),
        ("application/json", r#"[{"id":1,"\u0069d":2}]"#, "Malformed"),
        ("application/json", r#"[{"id":1,"sealed":"","sealed":""}]"#, "Malformed"),
        ("application/json", r#"[{"id":1,"sealed":null,"sealed":""}]"#, "Malformed"),
        ("application/json", r#"[{"id":17},{"id":1},{"id":17}]"#, "Malformed"),
        ("application/json", r#"[{"id":17},{"id":"17"}]"#, "Malformed"),
        ("application/json", r#"[{"id":17},{"id":"017"}]"#, "ok"),
        ("application/json", r#"[{"id":1}]]"#, "Malformed"),
        ("application/json", r#"[{"id":1},]"#, "Malformed"),
        ("application/json", r#"[{"id":1}"#, "Malformed"),
        ("application/json", "", "Malformed"),
        ("application/json", &"[".repeat(100_000), "Malformed"),
        ("application/json", &many, "TooLarge"),
        ("application/json", &(many.trim_end_matches(']').to_owned() + ",and so on"), "TooLarge"),
        ("application/json", &many.replacen("{\"id\":0},", "", 1), "ok"),
        ("text/html", "<h1>x</h1>", "Unsealed"),
        ("application/jsonx", "[]", "Unsealed"),
    ] {
        put(&service, "/store/all", kind, body.to_owned());
        let code = get(&client(&service), &url).await.map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(code, expected, "{kind}: {body:.80}");
    }
    service.app.stored.lock().unwrap().clear();
    assert_eq!(get(&client(&service), &url).await.unwrap_err(), Error::Unsealed { status: 404 });
}

#[test]
fn a_list_is_read_for_its_ids_and_envelopes_only() {
    let list = notes().list("id", "sealed");
    let envelope = to_text(&sealed(&note("1"), Some(&DEVICE), None, "one"));
    let mut head = ResponseHead::new(200).unwrap();
    head.headers.set("content-type", "application/json").unwrap();
    let open = |body: &[u8]| {
        let seen = LastSeen::in_store(MemoryStore::default());
        let items = list.open_list(&head, body, &*DEVICE, &seen)?;
        let found = items.iter().map(|item| (item.id.clone(), opened(item).map_err(|error| error.code())));
        Ok::<_, Error>(found.collect::<Vec<_>>())
    };
    let one = Ok(vec![("1".to_owned(), Ok("one".to_owned()))]);
    // What is built in memory has a nesting that serde_json limits to 128; what is skipped has none.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for other in [&*deep, "1e999999", "-0", "{\"id\":2,\"id\":3}", "\"\\n\"", "null"] {
        let body = format!(r#" [ {{"x":{other},"id":1,"sealed":"{envelope}","x":{other}}} ] "#);
        assert_eq!(open(body.as_bytes()), one, "{other:.20}");
    }
    // Escapes are another spelling of the same text.
    let body = format!(
        r#"[{{"\u0069d":"\u0031","s\u0065aled":"\u{:04x}{}"}}]"#,
        envelope.as_bytes()[0],
        envelope.get(1..).unwrap()
    );
    assert_eq!(open(body.as_bytes()), one);
    // What is not text is no envelope.
    for other in ["null", "true", "1", "-1", "1.5", "[\"x\",[]]", "{\"x\":{}}"] {
        let body = format!(r#"[{{"id":"2","sealed":{other}}},{{"id":1,"sealed":"{envelope}"}}]"#);
        let expected = vec![("2".to_owned(), Err("Unsealed")), ("1".to_owned(), Ok("one".to_owned()))];
        assert_eq!(open(body.as_bytes()), Ok(expected), "{other}");
    }
    assert_eq!(open(b"[{\"id\":1,\"x\":\"\xff\"}]").unwrap_err().code(), "Malformed");
}

/// Opens a list of these envelopes, whose ids count up from 0.
fn open_all<'e>(envelopes: impl IntoIterator<Item = &'e Vec<u8>>, keys: &dyn Unlock) -> Vec<ListItem> {
    let items: Vec<_> = envelopes.into_iter().enumerate().map(|(id, e)| item(&id.into(), e)).collect();
    let body = serde_json::to_vec(&items).unwrap();
    let mut head = ResponseHead::new(200).unwrap();
    head.headers.set("content-type", "application/json").unwrap();
    let seen = LastSeen::in_store(MemoryStore::default());
    notes().list("id", "sealed").open_list(&head, &body, keys, &seen).unwrap()
}

/// A key service that is asked for everything, and has nothing.
struct Bill(AtomicUsize);

impl Unlock for Bill {
    fn unlock(&self, _: &UnlockRequest<'_>, budget: &mut UnlockBudget) -> Result<Option<Candidate>, Error> {
        budget.spend()?;
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    }
}

#[test]
fn a_list_of_junk_costs_little_and_spoils_nothing() {
    let strangers: Vec<_> = (0..128).map(|_| person().recipient().clone()).collect();
    let junk = Sealer::new(&note("x")).to(Recipients::from(&strangers[..])).unpadded().seal(b"").unwrap();
    let bill = Bill(AtomicUsize::new(0));
    let items = open_all(vec![&junk; 50], &bill);
    assert_eq!(bill.0.load(Ordering::SeqCst), 128 + 4 * 50);
    assert_eq!(opened(&items[0]), Err(Error::NotRecipient));
    assert!(items[1..].iter().all(|item| opened(item).unwrap_err().code() == "TooLarge"));

    // Junk in front that names nobody, and so is tried by everybody, does not keep an honest item shut.
    let hidden = strangers[..60].iter().fold(Recipients::new(), Recipients::anonymous);
    let hidden = Sealer::new(&note("x")).to(hidden).seal(b"").unwrap();
    let honest = |id: usize| sealed(&note(&id.to_string()), Some(&DEVICE), Some(1), "v");
    let list: Vec<_> = (0..10).map(|_| hidden.clone()).chain((10..15).map(honest)).collect();
    let items = open_all(&list, &*DEVICE);
    assert_eq!(items[..10].iter().filter(|item| opened(item) == Err(Error::NotRecipient)).count(), 2);
    assert!(items[10..].iter().all(|item| opened(item) == Ok("v".into())));
}

#[test]
fn a_list_runs_argon2_four_times() {
    let recovery = cheap_passphrase("the server's guess").unwrap();
    let junk = Sealer::new(&note("x")).to(Recipients::new().passphrase(&recovery)).seal(b"").unwrap();
    let keys = Keyring::default().and(device()).and(cheap_passphrase("the reader's own").unwrap());
    let honest = sealed(&note("6"), Some(&DEVICE), Some(1), "v");
    let items = open_all([&junk; 6].into_iter().chain([&honest]), &keys);
    let codes = items.iter().map(|item| opened(item).map_or_else(|error| error.code(), |_| "ok"));
    let [tried, spent] = ["NotRecipient", "TooLarge"];
    assert_eq!(codes.collect::<Vec<_>>(), [tried, tried, tried, tried, spent, spent, "ok"]);
}

/// The device's keys; they note how many turns others have had by each use.
struct Watched {
    turns: Arc<AtomicUsize>,
    at: Arc<Mutex<Vec<usize>>>,
}

impl Unlock for Watched {
    fn unlock(
        &self,
        request: &UnlockRequest<'_>,
        budget: &mut UnlockBudget,
    ) -> Result<Option<Candidate>, Error> {
        self.at.lock().unwrap().push(self.turns.load(Ordering::Relaxed));
        DEVICE.unlock(request, budget)
    }
}

/// On a single thread, where only who is let run runs.
#[tokio::test]
async fn others_run_while_a_list_is_opened() {
    let service = gateway().await;
    let (turns, at) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let client = client(&service).keys(Watched { turns: turns.clone(), at: Arc::clone(&at) });
    let note = |id: u32| item(&id.into(), &sealed(&note(&id.to_string()), Some(&DEVICE), None, "one"));
    let list = serde_json::Value::from((0..100).map(note).collect::<Vec<_>>());
    put(&service, "/store/all", "application/json", list.to_string());
    let other = tokio::spawn(async move {
        loop {
            turns.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let items = get(&client, &service.url("/store/all")).await.unwrap().into_list();
    other.abort();
    assert!(items.iter().all(|item| opened(item) == Ok("one".into())));
    let at = at.lock().unwrap();
    assert_eq!(at.len(), 100);
    assert!(at.windows(2).all(|two| two[0] < two[1]), "{at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_no_empty_text() {
    let service = gateway().await;
    put(&service, "/store/all", "application/json", "[]");
    let error = text(&client(&service), &service.url("/store/all")).await.unwrap_err();
    assert_eq!(error, Error::Misuse(&"a list is read with into_list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_of_tower_services_gets_the_same() {
    use tower_service::Service as _;
    let service = gateway().await;
    let mut client = client(&service);
    let mut call = async |method: &str, path: &str, body: &'static str| {
        let request = axum::http::Request::builder().method(method).uri(service.url(path));
        client.call(request.body(bytes::Bytes::from_static(body.as_bytes())).unwrap()).await
    };
    assert_eq!(call("PUT", "/store/1", "one").await.unwrap().status(), 201);
    let read = call("GET", "/store/1", "").await.unwrap();
    assert_eq!(read.extensions().get::<Sender>(), Some(&Sender(DEVICE.signer())));
    assert_eq!(read.into_body(), "one");
    assert_eq!(call("GET", "/store/2", "").await.unwrap_err(), Error::Unsealed { status: 404 });
    assert_eq!(call("GET", "/nowhere", "").await.unwrap_err().code(), "Misuse");
    let list = serde_json::json!([item(&1.into(), &sealed(&note("1"), Some(&DEVICE), None, "one"))]);
    put(&service, "/store/all", "application/json", list.to_string());
    let read = call("GET", "/store/all", "").await.unwrap();
    let items = read.extensions().get::<Vec<ListItem>>().unwrap();
    assert_eq!((items.len(), opened(&items[0])), (1, Ok("one".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_own_readers() {
    let service = gateway().await;
    let (bob, url) = (person(), service.url("/store/17"));
    client(&service).put(&url).to(&[bob.recipient().clone()]).body("for Bob").send().await.unwrap();
    assert_eq!(get(&client(&service), &url).await.unwrap_err(), Error::NotRecipient);
    // Bob reads with a key that he had before, beside the identity that signs.
    let by_bob = |keys: Keyring| Client::new(http(), policy(&service, notes())).identity(device()).keys(keys);
    let keyring = Keyring::default().and(person()).and(copy(&bob));
    assert_eq!(text(&by_bob(keyring), &url).await.unwrap(), "for Bob");
    // Nobody is no reader, and no key no way to read or to write.
    let nobody = client(&service).put(&url).to(&[]).body("x").send().await;
    assert_eq!(nobody.unwrap_err().code(), "Misuse");
    let keyless = Client::new(http(), policy(&service, notes()));
    assert_eq!(get(&keyless, &url).await.unwrap_err().code(), "Misuse");
    assert_eq!(keyless.put(&url).body("x").send().await.unwrap_err().code(), "Misuse");
}
