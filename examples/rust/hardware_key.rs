//! A key that never leaves its device: a cloud KMS, an HSM, a phone's secure element.
//!
//! `cargo run --example hardware_key`
#![allow(clippy::print_stdout)] // An example shows what happens.

use sealwire::{
    Candidate, Error, Header, KeyService, Recipients, SealContext, Sealer, SecretBytes, SlotKind,
    SymmetricKey, open, seal,
};

/// Stands for the device. It wraps and unwraps 32 bytes; its own key is in there and does not come out. (A real one
/// would use its own encryption. This one uses Sealwire's, to keep the example short.)
struct Device(SymmetricKey);

impl KeyService for Device {
    fn service(&self) -> &str {
        "example-hsm/key-1" // stands in the envelope in clear, so that readers know whom to ask
    }

    // `binding` names the envelope. Bind it (AWS KMS: encryption context), so that the device does not unwrap a key for
    // another envelope than it was wrapped for.
    fn wrap_key(&self, content_key: &[u8; 32], binding: &[u8]) -> Result<Vec<u8>, Error> {
        seal(content_key, Recipients::new().key(&self.0), &SealContext::new("hsm").field(binding))
    }

    fn unwrap_key(&self, wrapped: &[u8], binding: &[u8]) -> Result<Option<Candidate>, Error> {
        match open(wrapped, &self.0, &SealContext::new("hsm").field(binding)) {
            Ok(opened) => {
                let key = SecretBytes::new(opened.plaintext); // wiped when it goes
                Ok(key.reveal().try_into().ok().map(Candidate::from_bytes))
            }
            Err(_) => Ok(None), // not one of ours; `Err` is for a device that is out of reach
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device(SymmetricKey::generate()?);
    let context = SealContext::new("invoices").field("4711");
    let envelope =
        Sealer::new(&context).to(Recipients::new().service(&device)).seal(b"5,000 to be paid by Friday")?;

    // The short way: the service is a key like any other. It fits if a call may wait for the device.
    assert_eq!(open(&envelope, &device, &context)?.plaintext, b"5,000 to be paid by Friday");
    println!("opened through the key service");

    // The way in two steps, if asking takes `await`, a fingerprint or another process. First: what is asked for?
    let header = Header::parse(&envelope)?;
    let requests = header.unlock_requests();
    let ours = |kind: &SlotKind<'_>| matches!(kind, SlotKind::External { service, .. } if *service == device.service());
    let request = requests.iter().find(|request| ours(request.kind())).ok_or("no slot for this device")?;
    let SlotKind::External { ct, .. } = request.kind() else { return Err("not a key service's slot".into()) };

    // Then ask, in your own way. Here `.await` would stand.
    let answer =
        device.unwrap_key(ct, &request.binding())?.ok_or("the device says that it is not its own")?;

    // Last: the answer is checked against the header, and opens this one envelope.
    let content_key = header.content_key(answer)?;
    let opened = open(&envelope, &content_key, &context)?;
    println!("opened in two steps: {}", String::from_utf8_lossy(&opened.plaintext));

    let other = Sealer::new(&context).to(Recipients::new().service(&device)).seal(b"another invoice")?;
    assert_eq!(open(&other, &content_key, &context).err(), Some(Error::NotRecipient));
    println!("and that content key opens no other envelope");
    Ok(())
}
