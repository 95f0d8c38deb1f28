//! Binary HTTP (RFC 9292) by hand, for messages that nobody's writer would write.

/// What is written so far.
#[derive(Debug, Clone, Default)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// A variable-length integer in 8 bytes.
    #[must_use]
    pub fn varint(mut self, n: u64) -> Self {
        self.0.extend((n | 3 << 62).to_be_bytes());
        self
    }

    /// Bytes with their length in front.
    #[must_use]
    pub fn string(self, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(bytes.as_ref().len() as u64).bytes(bytes)
    }

    /// Bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    /// A section of fields, with its length in front.
    #[must_use]
    pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(self, fields: &[(N, V)]) -> Self {
        let written = |raw: Self, (name, value): &(N, V)| raw.string(name).string(value);
        self.string(fields.iter().fold(Self::default(), written).0)
    }

    /// The front of a request in the known-length form: all before its fields.
    #[must_use]
    pub fn request(control: [&str; 4]) -> Self {
        control.iter().fold(Self::default().varint(0), Self::string)
    }

    /// The front of a response in the known-length form.
    #[must_use]
    pub fn response(status: u64) -> Self {
        Self::default().varint(1).varint(status)
    }
}
