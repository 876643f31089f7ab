//! Fields of a payload: little-endian integers, lengths in LEB128, text as length and bytes.

use mail::{Address, Time};

/// The payload is not what its kind promises, though its checksum is right: written by a version
/// that this one does not know, or not by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads fields one after another.
#[derive(Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn time(&mut self) -> Result<Time, Malformed> {
        self.u64().map(Time)
    }

    /// LEB128, at most 32 bits.
    pub(crate) fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.varint()?;
        std::str::from_utf8(self.bytes(len as usize)?).map_err(|_| Malformed)
    }

    pub(crate) fn address(&mut self) -> Result<Address, Malformed> {
        Address::parse(self.text()?.as_bytes()).map_err(|_| Malformed)
    }

    /// How many elements of at least `bytes_min` each may follow; a count beyond that is a lie that
    /// must not size an allocation.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let count = self.varint()? as usize;
        if count > self.0.len() / bytes_min { Err(Malformed) } else { Ok(count) }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, u32::try_from(count).expect("counts are bounded by the size of a record"));
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_and_overlong_ones_are_malformed() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut fields = Fields::new(&out);
            assert_eq!(fields.varint(), Ok(value));
            assert_eq!(fields.end(), Ok(()));
        }
        assert_eq!(Fields::new(&[0xff; 6]).varint(), Err(Malformed));
        assert_eq!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), Err(Malformed));
    }

    #[test]
    fn a_count_larger_than_what_follows_is_malformed() {
        assert_eq!(Fields::new(&[3, 0, 0]).count(1), Err(Malformed));
        assert_eq!(Fields::new(&[2, 0, 0]).count(1), Ok(2));
    }
}
