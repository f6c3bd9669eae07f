//! Reads the file: never reads or allocates more bytes than the file has.

use std::io::{BufReader, Read, Seek};

use super::fault::{Fault, Result, damaged};
use super::tables::MAX_HEADER;

/// The file, the position in it, and its length.
pub(super) struct Reader<R> {
    inner: BufReader<R>,
    pub(super) position: u64,
    pub(super) length: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn new(inner: R, length: u64) -> Self {
        Self { inner: BufReader::with_capacity(1 << 16, inner), position: 0, length }
    }

    /// Moves the position past the next `count` elements of `size` bytes, and
    /// returns how many bytes these are. It fails if the file has fewer bytes
    /// left or the header is larger than [`MAX_HEADER`], so that nothing is
    /// allocated for a count that the file does not hold.
    pub(super) fn claim(&mut self, count: u64, size: u64) -> Result<u64> {
        let end = count.checked_mul(size).and_then(|bytes| bytes.checked_add(self.position));
        let Some(end) = end.filter(|&end| end <= self.length) else {
            return Err(damaged("its header says more than the file holds: it is cut short or damaged"));
        };
        if end > MAX_HEADER {
            return Err(damaged(format_args!("its header is larger than {} MB", MAX_HEADER >> 20)));
        }
        Ok(end - std::mem::replace(&mut self.position, end))
    }

    pub(super) fn skip(&mut self, count: u64, size: u64) -> Result<()> {
        let bytes = self.claim(count, size)?;
        self.inner.seek_relative(bytes as i64).map_err(Fault::unreadable)
    }

    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.claim(count, 1)? as usize];
        self.inner.read_exact(&mut bytes).map_err(Fault::unreadable)?;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.claim(N as u64, 1)?;
        self.inner.read_exact(&mut bytes).map_err(Fault::unreadable)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn text(&mut self) -> Result<Vec<u8>> {
        let length = self.u64()?;
        self.bytes(length)
    }
}
