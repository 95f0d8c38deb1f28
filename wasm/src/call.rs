//! What `sealedFetch` is made of: a policy, a request, and the steps of a call. An object is one call, and each of its steps is taken once.

use crate::error::{Failure, Result};
use crate::keys::{Identity, Keyring, Recipient};
use crate::seal::{Context, about, signer_text};
use js_sys::{Array, Uint8Array};
use sealwire::http::{
    Answered, Awaiting, Caller, Carriage, Event, Headers, InPlace, KeyConfig, LastSeen, ListItem, Observer,
    Outcome, PassingBody, ReceivedList, Receiving, RequestBodySealer, ResponseHead, SealedResource, Sending,
    SendingBody, ServicePins, Target, TrustedKeys,
};
use sealwire::{About, Error, MemoryStore, Pin, SecretBytes, SecretStore, Signer};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

#[wasm_bindgen]
#[derive(Default)]
pub struct Policy(sealwire::http::Policy);

#[wasm_bindgen]
impl Policy {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Without pins: trust on first use.
    pub fn service(&mut self, origin: &str, pins: Option<Vec<String>>) -> Result<()> {
        let pins = match pins {
            None => ServicePins::trust_on_first_use(),
            Some(pins) => {
                let pins = pins.iter().map(|pin| Pin::parse(pin)).collect::<sealwire::Result<Vec<_>>>()?;
                ServicePins::new(pins)
            }
        };
        self.0 = take(&mut self.0).service(origin, pins)?;
        Ok(())
    }

    #[wasm_bindgen(js_name = serviceKeys)]
    pub fn service_keys(&mut self, origin: &str, ohttp_keys: &[u8], expires: u64) -> Result<()> {
        let keys = TrustedKeys::from_config(KeyConfig::parse_list(ohttp_keys)?, expires);
        self.0 = take(&mut self.0).service_keys(origin, keys)?;
        Ok(())
    }

    pub fn rule(&mut self, rule: Rule) {
        let Rule { rule, resource, recipients } = rule;
        self.0 = take(&mut self.0).rule(match resource {
            Some(resource) => rule.seal(resource.to(&recipients)),
            None => rule,
        });
    }
}

#[wasm_bindgen]
pub struct Rule {
    rule: sealwire::http::Rule,
    resource: Option<SealedResource>,
    recipients: Vec<sealwire::Recipient>,
}

#[wasm_bindgen]
impl Rule {
    #[wasm_bindgen(constructor)]
    pub fn new(
        origin: &str,
        pattern: &str,
        streamed: bool,
        idempotent: bool,
        sign: bool,
        in_the_clear: bool,
    ) -> Result<Self> {
        let mut rule = sealwire::http::Rule::at(origin, pattern)?;
        if streamed {
            rule = rule.streamed();
        }
        if idempotent {
            rule = rule.idempotent();
        }
        if sign {
            rule = rule.sign();
        }
        if in_the_clear {
            rule = rule.in_the_clear();
        }
        Ok(Self { rule, resource: None, recipients: Vec::new() })
    }

    #[wasm_bindgen(js_name = inPlace)]
    pub fn in_place(&mut self, expose: Vec<String>, expose_query: bool, post_carrier: bool) {
        let mut way = expose.iter().fold(InPlace::new(), |way, name| way.expose_field(name));
        if expose_query {
            way = way.expose_query();
        }
        if post_carrier {
            way = way.post_carrier();
        }
        self.rule = self.rule.clone().exchange_by(Carriage::InPlace(way));
    }

    pub fn tunnel(&mut self, url: &str) -> Result<()> {
        self.rule = self.rule.clone().exchange_by(Carriage::Tunnel(Target::parse(url)?));
        Ok(())
    }

    /// `list` is empty, or the members of the id and of the envelope.
    pub fn seal(&mut self, namespace: &str, id: &str, senders: Vec<String>, list: Vec<String>) -> Result<()> {
        let senders =
            senders.iter().map(|sender| Signer::parse(sender)).collect::<sealwire::Result<Vec<_>>>()?;
        let resource = SealedResource::new(namespace, id).senders(&senders);
        self.resource = Some(match list.as_slice() {
            [id, envelope] => resource.list(id, envelope),
            _ => resource,
        });
        Ok(())
    }

    /// Adds one of those who can read what is written.
    pub fn to(&mut self, recipient: &Recipient) {
        self.recipients.push((*recipient.0).clone());
    }
}

/// Field values in JavaScript are one character per byte.
fn headers(fields: &[String]) -> Result<Headers> {
    let mut headers = Headers::new();
    for field in fields.chunks(2) {
        if let [name, value] = field {
            headers.add(name, bytes_of(value)?)?;
        }
    }
    Ok(headers)
}

fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let bytes = text.chars().map(|character| u8::try_from(u32::from(character)));
    bytes.collect::<std::result::Result<_, _>>().map_err(|_| Error::Malformed(&"a field's value").into())
}

/// `[name, value, …]`.
fn fields(headers: &Headers) -> Array {
    let text = |value: &[u8]| value.iter().map(|byte| char::from(*byte)).collect::<String>();
    headers.iter().flat_map(|(name, value)| [JsValue::from(name), text(value).into()]).collect()
}

#[wasm_bindgen]
pub struct CallRequest {
    request: sealwire::http::CallRequest,
    recipients: Option<Vec<sealwire::Recipient>>,
}

#[wasm_bindgen]
impl CallRequest {
    #[wasm_bindgen(constructor)]
    pub fn new(method: &str, url: &str, fields: Vec<String>) -> Result<Self> {
        let mut request = sealwire::http::CallRequest::new(method, url);
        for field in fields.chunks(2) {
            if let [name, value] = field {
                request = request.header(name, bytes_of(value)?);
            }
        }
        Ok(Self { request, recipients: None })
    }

    pub fn body(self, body: Vec<u8>) -> Self {
        Self { request: self.request.body(body), ..self }
    }

    pub fn streamed(self) -> Self {
        Self { request: self.request.streamed(), ..self }
    }

    /// The complete list is empty so far.
    pub fn nobody(&mut self) {
        self.recipients = Some(Vec::new());
    }

    pub fn to(&mut self, recipient: &Recipient) {
        self.recipients.get_or_insert_default().push((*recipient.0).clone());
    }

    pub fn version(self, version: u64) -> Self {
        Self { request: self.request.version(version), ..self }
    }

    pub fn context(self, context: &Context) -> Self {
        Self { request: self.request.context(context.0.clone()), ..self }
    }
}

#[wasm_bindgen]
pub struct Calls {
    caller: Caller,
    mirror: Mirror,
    heard: Arc<Heard>,
}

#[wasm_bindgen]
impl Calls {
    #[wasm_bindgen(constructor)]
    pub fn new(policy: Policy, max_body: Option<u64>) -> Self {
        let (mirror, heard) = (Mirror::default(), Arc::<Heard>::default());
        let caller = Caller::new(policy.0);
        let caller = caller.last_seen(LastSeen::in_store(mirror.clone())).observer(heard.clone());
        let caller = match max_body {
            Some(bytes) => caller.max_body(bytes),
            None => caller,
        };
        Self { caller, mirror, heard }
    }

    pub fn identity(&mut self, identity: &Identity) {
        self.caller = self.caller.clone().identity(Arc::clone(&identity.0));
    }

    pub fn keys(&mut self, keys: Keyring) {
        self.caller = self.caller.clone().keys(keys.0);
    }

    /// What has to be in the mirror before a call.
    #[wasm_bindgen(js_name = serviceNames)]
    pub fn service_names(&self) -> Vec<String> {
        self.caller.service_names().collect()
    }

    /// Puts into the mirror what the store holds.
    pub fn put(&self, name: &str, value: Vec<u8>) -> Result<()> {
        Ok(self.mirror.kept.save(name, &SecretBytes::new(value))?)
    }

    /// `[name, value, …]` of what the mirror was asked for since the last time, as it is there now.
    pub fn touched(&self) -> Result<Array> {
        let mut touched = take(&mut *self.mirror.touched.lock().unwrap_or_else(PoisonError::into_inner));
        touched.sort_unstable();
        touched.dedup();
        let values = Array::new();
        for name in touched {
            values.push(&name.as_str().into());
            let value = self.mirror.kept.load(&name)?;
            values.push(&value.map_or(JsValue::UNDEFINED, |value| Uint8Array::from(value.reveal()).into()));
        }
        Ok(values)
    }

    #[wasm_bindgen(js_name = forgetServiceKeys)]
    pub fn forget_service_keys(&self) {
        self.caller.forget_service_keys();
    }

    /// `[protection, size]`, for an observer.
    pub fn event(&self, request: &CallRequest) -> Array {
        self.caller.report(&request.request).ended(None, Duration::ZERO);
        let heard = take(&mut *self.heard.0.lock().unwrap_or_else(PoisonError::into_inner));
        heard.map_or_else(Array::new, |(protection, size)| Array::of2(&protection.into(), &size.into()))
    }

    pub fn call(&self, request: CallRequest, now: u32) -> Result<Call> {
        let CallRequest { request, recipients } = request;
        let request = match recipients {
            Some(recipients) => request.to(&recipients),
            None => request,
        };
        let sending = self.caller.call(request, now.into())?;
        // Looked at before a write, and nothing was taken yet.
        self.mirror.touched.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(Call(Step::Sending(sending)))
    }
}

/// What the page's own store, which is asynchronous, is known to hold; and what of it was asked for.
#[derive(Clone, Default)]
struct Mirror {
    kept: Arc<MemoryStore>,
    touched: Arc<Mutex<Vec<String>>>,
}

impl SecretStore for Mirror {
    fn save(&self, name: &str, secret: &SecretBytes) -> sealwire::Result<()> {
        self.kept.save(name, secret)
    }

    fn load(&self, name: &str) -> sealwire::Result<Option<SecretBytes>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).push(name.into());
        self.kept.load(name)
    }

    fn delete(&self, name: &str) -> sealwire::Result<()> {
        self.kept.delete(name)
    }
}

#[derive(Default)]
struct Heard(Mutex<Option<(&'static str, u64)>>);

impl Observer for Heard {
    fn event(&self, event: &Event) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((event.protection, event.size));
    }
}

/// One call. Its phase says what is to be done next; what is done out of turn, or twice, is `Misuse`.
#[wasm_bindgen]
pub struct Call(Step);

#[derive(Default)]
enum Step {
    Sending(Sending),
    Awaiting(Awaiting),
    Reading(Receiving),
    Passing(PassingBody, Option<Answer>),
    Done(Answer),
    List(ReceivedList),
    /// While a step is taken, and for ever after one that failed.
    #[default]
    Spent,
}

struct Answer {
    head: ResponseHead,
    body: Zeroizing<Vec<u8>>,
    signer: Option<Signer>,
    about: Option<About>,
}

#[wasm_bindgen]
impl Call {
    /// 0: send; 1: await the answer; 2: read on; 3: it passes; 4: it is here; 5: it is a list; 6: nothing more.
    pub fn phase(&self) -> u8 {
        match self.0 {
            Step::Sending(_) => 0,
            Step::Awaiting(_) => 1,
            Step::Reading(_) => 2,
            Step::Passing(..) => 3,
            Step::Done(_) => 4,
            Step::List(_) => 5,
            Step::Spent => 6,
        }
    }

    /// `[method, url, fields, body or the upload's front, upload]`.
    pub fn send(&mut self) -> Result<Array> {
        let Step::Sending(Sending { head, body, awaiting }) = take(&mut self.0) else { return out_of_turn() };
        self.0 = Step::Awaiting(awaiting);
        let (bytes, upload) = match body {
            SendingBody::Whole(body) => (body, JsValue::UNDEFINED),
            SendingBody::Streamed { front, sealer } => (front, Upload(Some(sealer)).into()),
        };
        let (method, url) = (head.method.as_str().into(), head.target.url().into());
        let body = Uint8Array::from(bytes.as_slice()).into();
        Ok(Array::of5(&method, &url, &fields(&head.headers).into(), &body, &upload))
    }

    pub fn answered(&mut self, status: u16, fields: Vec<String>, redirected: bool) -> Result<()> {
        let Step::Awaiting(awaiting) = take(&mut self.0) else { return out_of_turn() };
        self.0 = awaiting.answered(status, headers(&fields)?, redirected)?.into();
        Ok(())
    }

    /// Whether anything counts of what is still to be read.
    #[wasm_bindgen(js_name = wantsMore)]
    pub fn wants_more(&self) -> bool {
        matches!(&self.0, Step::Reading(receiving) if receiving.wants_more())
    }

    pub fn read(&mut self, piece: &[u8]) -> Result<()> {
        let Step::Reading(receiving) = take(&mut self.0) else { return out_of_turn() };
        self.0 = receiving.push(piece)?.into();
        Ok(())
    }

    pub fn finish(&mut self, now: u32) -> Result<()> {
        let Step::Reading(receiving) = take(&mut self.0) else { return out_of_turn() };
        self.0 = match receiving.finish(now.into())? {
            Outcome::Again(sending) => Step::Sending(sending),
            Outcome::Done(received) => Step::Done(Answer {
                head: received.head,
                body: Zeroizing::new(received.body),
                signer: received.signer,
                about: received.about,
            }),
            Outcome::List(list) => Step::List(list),
        };
        Ok(())
    }

    /// `[status, fields, the body so far, signer, about]` of an answer that passes, is here, or is a list.
    pub fn answer(&mut self) -> Result<Array> {
        let answer = match take(&mut self.0) {
            Step::Passing(body, Some(answer)) => {
                self.0 = Step::Passing(body, None);
                answer
            }
            Step::Done(answer) => answer,
            Step::List(list) => {
                let head = list.head.clone();
                self.0 = Step::List(list);
                Answer { head, body: Zeroizing::default(), signer: None, about: None }
            }
            _ => return out_of_turn(),
        };
        Ok(Array::of5(
            &answer.head.status.into(),
            &fields(&answer.head.headers).into(),
            &Uint8Array::from(answer.body.as_slice()).into(),
            &answer.signer.map(|signer| signer.to_string()).into(),
            &answer.about.as_ref().map_or(JsValue::UNDEFINED, |told| about(told).into()),
        ))
    }

    /// The next piece of a body that passes, or, without a piece, its end.
    pub fn pass(&mut self, piece: Option<Vec<u8>>) -> Result<Uint8Array> {
        let Step::Passing(mut body, _) = take(&mut self.0) else { return out_of_turn() };
        let mut content = Zeroizing::new(Vec::new());
        match piece {
            Some(piece) => {
                body.push(&piece, &mut content)?;
                self.0 = Step::Passing(body, None);
            }
            None => body.finish(&mut content)?,
        }
        Ok(Uint8Array::from(content.as_slice()))
    }

    /// `[id, plaintext, signer, about, failure]` of the next item of a list.
    pub fn item(&mut self) -> Result<Option<Array>> {
        let Step::List(list) = &mut self.0 else { return out_of_turn() };
        Ok(list.next().map(|ListItem { id, opened, .. }| match opened {
            Ok(opened) => {
                let plaintext = Zeroizing::new(opened.plaintext);
                Array::of4(
                    &id.into(),
                    &Uint8Array::from(plaintext.as_slice()).into(),
                    &signer_text(opened.signer).into(),
                    &about(&opened.about).into(),
                )
            }
            Err(error) => {
                let none = JsValue::UNDEFINED;
                Array::of5(&id.into(), &none, &none, &none, &Failure::from(error).into())
            }
        }))
    }
}

impl From<Answered> for Step {
    fn from(answered: Answered) -> Self {
        match answered {
            Answered::Reading(receiving) => Self::Reading(receiving),
            Answered::Passing(passing) => {
                let body = Zeroizing::new(passing.front);
                Self::Passing(
                    passing.body,
                    Some(Answer { head: passing.head, body, signer: None, about: None }),
                )
            }
        }
    }
}

fn out_of_turn<T>() -> Result<T> {
    Err(Error::Misuse(&"a step of a call is taken once, in its turn").into())
}

/// Seals a body while it is sent.
#[wasm_bindgen]
pub struct Upload(Option<RequestBodySealer>);

#[wasm_bindgen]
impl Upload {
    /// The next piece, or, without a piece, the end.
    pub fn seal(&mut self, piece: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let Some(mut sealer) = self.0.take() else { return out_of_turn() };
        let mut sealed = Vec::new();
        match piece {
            Some(piece) => {
                sealer.push(&Zeroizing::new(piece), &mut sealed)?;
                self.0 = Some(sealer);
            }
            None => sealer.finish(&mut sealed)?,
        }
        Ok(sealed)
    }
}
