//! The binary form of rows: big-endian numbers, so that bytes sort as the numbers do, and bytes with their length.

use crate::fault::Fault;

/// Builds a row or a key.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    pub(crate) fn u16(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Bytes with their length before them; at most 4 GiB.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("invariant: every value is bounded far below 4 GiB");
        self.u32(len).tail(bytes)
    }

    /// Bytes without their length: the last of the row, or of a fixed size.
    pub(crate) fn tail(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A byte that states whether there is a value, and the value.
    pub(crate) fn option<T>(self, value: Option<T>, encode: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => encode(self.u8(1), value),
            None => self.u8(0),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a row from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn new(row: &'a [u8]) -> Self {
        Self(row)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Fault::Corrupt("a row is too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Fault::Corrupt("a row is too short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A text with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        text(self.bytes()?)
    }

    pub(crate) fn option<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
        match self.u8()? {
            0 => Ok(None),
            _ => decode(self).map(Some),
        }
    }

    /// All bytes that were not read yet.
    pub(crate) fn tail(self) -> &'a [u8] {
        self.0
    }
}

/// Bytes that have to be UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Corrupt("a text is not UTF-8"))
}

/// Bytes that have to be a valid name.
pub(crate) fn name<'a, N: TryFrom<&'a str>>(bytes: &'a [u8]) -> Result<N, Fault> {
    N::try_from(text(bytes)?).map_err(|_| Fault::Corrupt("a name is not valid"))
}
