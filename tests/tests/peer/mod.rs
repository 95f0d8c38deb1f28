//! martinthomson/ohttp as the other end: an independent client and server of Oblivious HTTP, which takes any bytes as a message.
#![allow(clippy::unwrap_used, dead_code)] // Each test uses a part.

use futures::executor::block_on;
use futures::io::{AllowStdIo, AsyncReadExt, AsyncWriteExt};
use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{ClientRequest, Server, SymmetricSuite};
use sealwire::http::{ExchangeService, Form, KeyConfig};
use sealwire_tests::exchanges::NOW;
use std::cell::RefCell;
use std::io::{Result, Write};
use std::rc::Rc;

/// Opens one encapsulated response.
pub(crate) type Open = Box<dyn FnOnce(&[u8]) -> Vec<u8>>;

/// Their client encapsulates any bytes for our service.
pub(crate) fn seal(service: &ExchangeService, form: Form, message: &[u8]) -> (Vec<u8>, Open) {
    let keys = service.with_keys(|keys| keys.ohttp_keys(NOW));
    let client = ClientRequest::from_encoded_config_list(&keys).unwrap();
    if form == Form::Whole {
        let (sealed, response) = client.encapsulate(message).unwrap();
        return (sealed, Box::new(move |sealed| response.decapsulate(sealed).unwrap()));
    }
    let sent = Sent::default();
    let mut request = client.encapsulate_stream(AllowStdIo::new(sent.clone())).unwrap();
    block_on(request.write_all(message)).unwrap();
    block_on(request.close()).unwrap();
    let open = move |sealed: &[u8]| {
        let mut opened = Vec::new();
        block_on(request.response(sealed).unwrap().read_to_end(&mut opened)).unwrap();
        opened
    };
    (sent.take(), Box::new(open))
}

/// Their server, with a fresh X25519 key for one suite.
pub(crate) fn server(aead: Aead) -> Server {
    let suite = SymmetricSuite::new(Kdf::HkdfSha256, aead);
    Server::new(ohttp::KeyConfig::new(9, Kem::X25519Sha256, vec![suite]).unwrap()).unwrap()
}

/// What our clients seal to.
pub(crate) fn config(server: &Server) -> KeyConfig {
    KeyConfig::parse_list(&ohttp::KeyConfig::encode_list(&[server.config()]).unwrap()).unwrap()
}

/// Their server opens our request and answers any bytes: the message that it got, and its encapsulated response.
pub(crate) fn answer(server: &Server, form: Form, sealed: &[u8], message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if form == Form::Whole {
        let (request, response) = server.decapsulate(sealed).unwrap();
        return (request, response.encapsulate(message).unwrap());
    }
    let mut arriving = server.clone().decapsulate_stream(sealed);
    let mut request = Vec::new();
    block_on(arriving.read_to_end(&mut request)).unwrap();
    let sent = Sent::default();
    let mut response = arriving.response(AllowStdIo::new(sent.clone())).unwrap();
    block_on(response.write_all(message)).unwrap();
    block_on(response.close()).unwrap();
    (request, sent.take())
}

/// What was written to a stream that somebody else owns.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<Vec<u8>>>);

impl Sent {
    fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Write::write(&mut *self.0.borrow_mut(), bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
