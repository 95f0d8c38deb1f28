//! Payloads of any size, in bounded memory: pushed in pieces, over `std::io`, or read at random.

mod io;
mod open;
mod outside;
mod range;
mod seal;
mod seek;

pub use io::{OpenReader, SealWriter};
pub use open::OpenStream;
pub use outside::{OutsideOpenStream, OutsideOpening, OutsideSealStream, OutsideSealing};
pub use range::{RangeOpener, RangeStart};
pub use seal::SealStream;
pub use seek::SeekReader;
