//! Shared by the tests: people, vectors, and the other implementation.

pub mod interop;
pub mod people;
pub mod vectors;
