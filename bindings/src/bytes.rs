//! Bytes on their way out.
//!
//! uniffi writes a `Vec<u8>` one byte after the other, which takes longer than sealing it. This is the same type to every language, and
//! written at once.

use uniffi::deps::anyhow::{Result, bail};
use uniffi::{FfiConverter, MetadataBuffer, RustBuffer, TypeId};
use zeroize::Zeroize;

/// Bytes that cross the boundary as one run. Secret ones, and all that come in, are wiped on drop.
pub struct Bytes {
    bytes: Vec<u8>,
    secret: bool,
}

impl Bytes {
    /// A payload, which has to fit into one piece of every language.
    pub fn payload(bytes: Vec<u8>) -> crate::error::Result<Self> {
        if i32::try_from(bytes.len()).is_err() {
            return Err(sealwire::Error::TooLarge("2 GiB in one piece: use a stream").into());
        }
        Ok(bytes.into())
    }

    /// What its owner asked to see.
    pub fn secret(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), secret: true }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// See [`Bytes::payload`]: everything else is small.
    fn len(&self) -> [u8; 4] {
        i32::try_from(self.bytes.len()).unwrap_or_default().to_be_bytes()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bytes")
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, secret: false }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

// SAFETY: what is written and read is byte for byte what uniffi writes and reads for `Vec<u8>`, whose metadata it carries: an i32 length
// (big-endian), then that many bytes.
#[allow(unsafe_code)]
unsafe impl FfiConverter<crate::UniFfiTag> for Bytes {
    type FfiType = RustBuffer;

    const TYPE_ID_META: MetadataBuffer = <Vec<u8> as TypeId<crate::UniFfiTag>>::TYPE_ID_META;

    fn lower(mut bytes: Self) -> RustBuffer {
        let len = bytes.len();
        let mut buffer = if bytes.secret { bytes.bytes.clone() } else { std::mem::take(&mut bytes.bytes) };
        // In place: no second buffer of a payload's size.
        buffer.splice(0..0, len);
        RustBuffer::from_vec(buffer)
    }

    fn write(bytes: Self, buffer: &mut Vec<u8>) {
        buffer.reserve(4 + bytes.bytes.len());
        buffer.extend_from_slice(&bytes.len());
        buffer.extend_from_slice(&bytes.bytes);
    }

    fn try_lift(buffer: RustBuffer) -> Result<Self> {
        let mut vec = buffer.destroy_into_vec();
        let read = <Self as FfiConverter<crate::UniFfiTag>>::try_read(&mut vec.as_slice());
        vec.zeroize();
        read
    }

    fn try_read(buffer: &mut &[u8]) -> Result<Self> {
        let Some((len, rest)) = buffer.split_first_chunk::<4>() else { bail!("too few bytes") };
        let len = usize::try_from(i32::from_be_bytes(*len))?;
        let Some((bytes, rest)) = rest.split_at_checked(len) else { bail!("too few bytes") };
        *buffer = rest;
        Ok(Self::secret(bytes))
    }
}

uniffi::derive_ffi_traits!(local Bytes);

#[cfg(test)]
mod tests {
    use super::Bytes;
    use crate::UniFfiTag;
    use uniffi::{Lift, Lower};

    /// uniffi's own `Vec<u8>` is the second implementation.
    #[test]
    fn it_is_what_uniffi_makes_of_a_vec() {
        for content in [vec![], vec![7], (0..=255).collect::<Vec<u8>>()] {
            let ours = <Bytes as Lower<UniFfiTag>>::lower(content.clone().into()).destroy_into_vec();
            let theirs = <Vec<u8> as Lower<UniFfiTag>>::lower(content.clone()).destroy_into_vec();
            assert_eq!(ours, theirs);
            let read = <Bytes as Lift<UniFfiTag>>::try_lift(uniffi::RustBuffer::from_vec(theirs)).unwrap();
            assert_eq!(read.as_slice(), content);
        }
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\x02a", b"\xff\xff\xff\xff"] {
            assert!(<Bytes as Lift<UniFfiTag>>::try_read(&mut &*bad).is_err());
        }
    }
}
