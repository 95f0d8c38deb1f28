//! Shared by the tests: where vectors come from, and the other implementation.

pub mod interop;
pub mod vectors;
