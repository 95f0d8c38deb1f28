//! Shared by the tests: people, vectors, and the other implementation.

pub mod exchanges;
pub mod interop;
pub mod people;
pub mod raw;
pub mod vectors;
