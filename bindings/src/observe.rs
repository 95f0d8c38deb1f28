//! What an operator may know.

use crate::error::Result;
use std::sync::Arc;

/// One thing that was done. Every value is one of few, so that nothing of a request can be told from it.
#[derive(uniffi::Record)]
pub struct Event {
    /// `call`, `keys`, `verify`, `open` or `serve`.
    pub operation: String,
    /// `ok`, an error's code, or `app`.
    pub code: String,
    pub protection: String,
    pub size: u64,
    pub micros: u64,
    pub key_id: Option<u8>,
}

/// An audit log, an exporter of metrics. It is called while the request waits; what it throws is nobody's.
#[uniffi::export(with_foreign)]
pub trait Observer: Send + Sync {
    fn event(&self, event: Event) -> Result<()>;
}

pub struct Watched(pub Arc<dyn Observer>);

impl sealwire::http::Observer for Watched {
    fn event(&self, event: &sealwire::http::Event) {
        let told = Event {
            operation: event.operation.name().into(),
            code: event.code.into(),
            protection: event.protection.into(),
            size: event.size,
            micros: u64::try_from(event.duration.as_micros()).unwrap_or(u64::MAX),
            key_id: event.key_id,
        };
        drop(self.0.event(told));
    }
}
