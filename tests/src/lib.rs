//! Shared by the tests: people, vectors, services on loopback, and the other implementation.

pub mod exchanges;
pub mod interop;
pub mod loopback;
pub mod people;
pub mod raw;
pub mod vectors;
