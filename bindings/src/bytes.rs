//! Bytes on their way out.
//!
//! uniffi writes a `Vec<u8>` one byte after the other, which takes longer than sealing it. This is the same type to every language, and
//! written at once.

use uniffi::deps::anyhow::{Result, bail};
use uniffi::{FfiConverter, MetadataBuffer, RustBuffer, TypeId};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that cross the boundary as one run. Secret ones, and all that come in, are wiped on drop.
pub struct Bytes {
    /// The length as uniffi writes it, then the bytes: nothing has to be moved on the way out.
    framed: Vec<u8>,
    secret: bool,
}

/// How many bytes the length takes.
pub const FRAME: usize = 4;

impl Bytes {
    /// What stands behind [`FRAME`] bytes of room. A payload has to fit into one piece of every language.
    pub fn framed(mut framed: Vec<u8>) -> crate::error::Result<Self> {
        let Ok(len) = i32::try_from(framed.len().saturating_sub(FRAME)) else {
            framed.zeroize();
            return Err(sealwire::Error::TooLarge(&"2 GiB in one piece: use a stream").into());
        };
        match framed.first_chunk_mut() {
            Some(room) => *room = len.to_be_bytes(),
            None => framed = vec![0; FRAME],
        }
        Ok(Self { framed, secret: false })
    }

    /// What `fill` appends, and what it gives back; `len` bytes are expected.
    pub fn filled<T>(
        len: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> sealwire::Result<T>,
    ) -> crate::error::Result<(Self, T)> {
        let mut framed = Zeroizing::new(Vec::with_capacity(FRAME.saturating_add(len)));
        framed.resize(FRAME, 0);
        let filled = fill(&mut framed)?;
        Ok((Self::framed(std::mem::take(&mut framed))?, filled))
    }

    /// A payload that was made elsewhere.
    pub fn payload(mut bytes: Vec<u8>) -> crate::error::Result<Self> {
        bytes.splice(0..0, [0; FRAME]);
        Self::framed(bytes)
    }

    /// What its owner asked to see.
    pub fn secret(bytes: &[u8]) -> Self {
        let mut bytes = Self::from(bytes);
        bytes.secret = true;
        bytes
    }

    pub fn as_slice(&self) -> &[u8] {
        self.framed.get(FRAME..).unwrap_or_default()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.secret {
            self.framed.zeroize();
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bytes")
    }
}

/// Small ones: what may be long is a [`Bytes::payload`].
impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        let len = i32::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
        Self { framed: [&len, bytes].concat(), secret: false }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

// SAFETY: what is written and read is byte for byte what uniffi writes and reads for `Vec<u8>`, whose metadata it carries: an i32 length
// (big-endian), then that many bytes.
#[allow(unsafe_code)]
unsafe impl FfiConverter<crate::UniFfiTag> for Bytes {
    type FfiType = RustBuffer;

    const TYPE_ID_META: MetadataBuffer = <Vec<u8> as TypeId<crate::UniFfiTag>>::TYPE_ID_META;

    fn lower(mut bytes: Self) -> RustBuffer {
        RustBuffer::from_vec(match bytes.secret {
            true => bytes.framed.clone(),
            false => std::mem::take(&mut bytes.framed),
        })
    }

    fn write(mut bytes: Self, buffer: &mut Vec<u8>) {
        if buffer.is_empty() && !bytes.secret {
            // The first field of a record becomes its buffer: `Opened`, whose payload is not copied once more.
            *buffer = std::mem::take(&mut bytes.framed);
        } else {
            buffer.extend_from_slice(&bytes.framed);
        }
    }

    fn try_lift(buffer: RustBuffer) -> Result<Self> {
        let mut vec = buffer.destroy_into_vec();
        let read = <Self as FfiConverter<crate::UniFfiTag>>::try_read(&mut vec.as_slice());
        vec.zeroize();
        read
    }

    fn try_read(buffer: &mut &[u8]) -> Result<Self> {
        let Some((len, rest)) = buffer.split_first_chunk::<FRAME>() else { bail!("too few bytes") };
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

    /// So does a record whose first field it is, and one in whose midst it is.
    #[test]
    fn it_is_written_like_a_vector_anywhere() {
        for front in [&b""[..], b"front"] {
            for content in [vec![], vec![7; 300]] {
                let (mut ours, mut theirs) = (front.to_vec(), front.to_vec());
                <Bytes as Lower<UniFfiTag>>::write(Bytes::payload(content.clone()).unwrap(), &mut ours);
                <Vec<u8> as Lower<UniFfiTag>>::write(content.clone(), &mut theirs);
                assert_eq!(ours, theirs);
                let (filled, ()) = Bytes::filled(0, |out| {
                    out.extend_from_slice(&content);
                    Ok(())
                })
                .unwrap();
                assert_eq!(filled.as_slice(), content);
            }
        }
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\x02a", b"\xff\xff\xff\xff"] {
            assert!(<Bytes as Lift<UniFfiTag>>::try_read(&mut &*bad).is_err());
        }
    }
}
