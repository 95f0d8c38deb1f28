//! Client-side end-to-end encryption for APIs: seal bytes to people, open them again, and let nobody in between read them.
//!
//! ```
//! use sealwire::{Identity, Recipient, SealContext, open, seal};
//!
//! let bob = Identity::generate()?; // stays on Bob's device
//! let to_bob = Recipient::parse(&bob.recipient().to_string())?; // what Bob pastes to Alice
//!
//! let context = SealContext::new("notes").field("17"); // what it is for; never sent
//! let envelope = seal(b"meet me at noon", &[to_bob], &context)?; // what the server stores
//!
//! assert_eq!(open(&envelope, &bob, &context)?.plaintext, b"meet me at noon");
//! # Ok::<(), sealwire::Error>(())
//! ```
//!
//! Features add what needs other crates: `reqwest` is [`http`]'s `Client`, `tower` its `SealwireLayer`, `redis` its `RedisReplayCache`;
//! `keychain` is `Keychain`, and `testing` the module of that name. All of it at once: `cargo doc -p sealwire --no-deps --all-features --open`.
//!
//! Start with [`seal`](seal()) and [`open`](open()); [`Sealer`] and [`Opener`] have the options, [`SealWriter`] and
//! [`OpenReader`] the payloads that do not fit in memory. The bytes are specified in `SPEC.md`; what is and is not
//! protected, in `SECURITY.md`.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

// From the top down: a file imports only from files further down this list.
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
#[cfg(not(target_arch = "wasm32"))]
mod file_store;
pub mod http;
mod seal;
mod stream;
mod opener;
mod sealer;
mod about;
mod layout;
mod content_key;
mod envelope;
mod chunks;
mod identity;
mod store;
mod context;
mod suite;
mod cbor;
mod json;
mod secret;
mod error;

#[cfg(test)]
#[path = "../../tests/src/vectors.rs"]
#[allow(unreachable_pub)] // One file for two crates.
mod vectors;
#[cfg(test)]
mod worked_example;

pub use about::{About, Addressed};
pub use chunks::{BODY_HEAD_LEN, ChunkCipher, ChunkKey};
pub use content_key::ContentKey;
pub use context::{ContextField, SealContext};
pub use envelope::{
    Header, Metadata, MetadataValue, from_text, header_len, join, read_header, split, to_text,
};
pub use error::{Error, Result};
pub use identity::{
    Candidate, Fingerprint, Identity, KeyService, Keyring, Passphrase, Pin, Recipient, Recipients, SlotKind,
    StretchedPassphrase, SymmetricKey, Unlock, UnlockBudget, UnlockRequest,
};
pub use opener::{Expect, Finished, Opener, SignedBy};
pub use seal::{Opened, SealedParts, open, reseal, rewrap, seal};
pub use sealer::Sealer;
pub use secret::SecretBytes;
pub use store::{MemoryStore, SecretStore};
pub use stream::{
    OpenReader, OpenStream, OutsideOpenStream, OutsideOpening, OutsideSealStream, OutsideSealing,
    RangeOpener, RangeStart, SealStream, SealWriter, SeekReader,
};
pub use suite::{Aead, Kem, Signer};

#[cfg(not(target_arch = "wasm32"))]
pub use file_store::FileStore;
#[cfg(feature = "keychain")]
pub use file_store::Keychain;
#[cfg(not(target_arch = "wasm32"))]
pub use store::AtomicFile;

/// What the fuzz targets reach besides the public API: parsers behind a key. Only there with `--cfg fuzzing`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::error::Result;
    use crate::http::{Form, Head, KeyConfig, Reader, RequestHead, RequestSealing, ResponseHead};

    /// The plaintext of a private block.
    pub fn private_block(plaintext: &[u8]) {
        drop(crate::envelope::PrivateBlock::read(plaintext));
    }

    /// A Binary HTTP request that arrives in pieces of this length: its head and content.
    pub fn binary_request(bytes: &[u8], piece: usize) -> Result<(Option<RequestHead>, Vec<u8>)> {
        binary_message(bytes, piece)
    }

    /// The same for a response.
    pub fn binary_response(bytes: &[u8], piece: usize) -> Result<(Option<ResponseHead>, Vec<u8>)> {
        binary_message(bytes, piece)
    }

    fn binary_message<H: Head>(bytes: &[u8], piece: usize) -> Result<(Option<H>, Vec<u8>)> {
        let (mut reader, mut content) = (Reader::new(10_000), Vec::new());
        bytes.chunks(piece.max(1)).try_for_each(|piece| reader.push(piece, &mut content))?;
        reader.finish()?;
        Ok((reader.take_head(), content))
    }

    /// Whether a text is one JSON value.
    pub fn is_json(text: &str) -> bool {
        let mut json = crate::json::Reader::new(text);
        json.value().is_some() && json.is_over()
    }

    /// Any bytes as the message of an encapsulated request.
    pub fn encapsulate(config: &KeyConfig, message: &[u8]) -> Result<Vec<u8>> {
        RequestSealing::start(config, Form::Whole)?.0.seal_whole(message)
    }
}

/// Runs the code blocks of the README.
#[cfg(all(doctest, feature = "reqwest", feature = "testing", feature = "tower"))]
#[doc = include_str!("../../README.md")]
struct Readme;
