//! Reading primitives of MLIR's bytecode: bytes, variable-length integers and section headers, every one checked against the
//! end of what is being read.

use crate::import::stablehlo::syntax::{Loc, Problem};

/// Result of reading a part of an artifact.
pub(super) type Read<T> = Result<T, Problem>;

/// A problem with no more place than the name of a part.
pub(super) fn problem(place: impl Into<String>, message: impl Into<String>) -> Problem {
    let place: String = place.into();
    Problem { loc: Loc { line: 0, column: 0, name: place.into() }, message: message.into() }
}

/// A position inside a window of the artifact. Positions count from the start of the artifact, so that they can be reported and
/// so that constants become windows into it.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    artifact: &'a [u8],
    pos: usize,
    end: usize,
    part: &'static str,
}

impl<'a> Cursor<'a> {
    /// At the start of an artifact.
    pub(super) fn new(artifact: &'a [u8]) -> Cursor<'a> {
        Cursor { artifact, pos: 0, end: artifact.len(), part: "header" }
    }

    /// The same window under the name that problems report.
    pub(super) fn named(self, part: &'static str) -> Cursor<'a> {
        Cursor { part, ..self }
    }

    /// Bytes that remain.
    pub(super) fn left(&self) -> usize {
        self.end - self.pos
    }

    /// Position in the artifact.
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// A problem at this position.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        problem(format!("artifact, {} at byte {}", self.part, self.pos), message)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Read<u8> {
        if self.pos == self.end {
            return Err(self.problem("the data ends too early"));
        }
        self.pos += 1;
        Ok(self.artifact[self.pos - 1])
    }

    /// The next `n` bytes.
    pub(super) fn bytes(&mut self, n: u64) -> Read<&'a [u8]> {
        let window = self.window(n)?;
        Ok(&self.artifact[window.pos..window.end])
    }

    /// The next `n` bytes, to be read by themselves.
    pub(super) fn window(&mut self, n: u64) -> Read<Cursor<'a>> {
        match usize::try_from(n) {
            Ok(n) if n <= self.left() => {
                let window = Cursor { end: self.pos + n, ..*self };
                self.pos += n;
                Ok(window)
            }
            _ => Err(self.problem(format!("{n} bytes are announced, {} remain", self.left()))),
        }
    }

    /// An unsigned integer of variable length: the zero bits that the first byte starts with (from the low end) count the bytes
    /// that follow, a one ends them, and what remains of all bytes is the value, little-endian. Nine bytes hold all 64 bits.
    pub(super) fn varint(&mut self) -> Read<u64> {
        let first = self.byte()?;
        let extra = first.trailing_zeros().min(8) as usize;
        if extra == 0 {
            return Ok(u64::from(first >> 1));
        }
        let rest = self.bytes(extra as u64)?;
        let mut all = [0; 16];
        all[0] = first;
        all[1..=extra].copy_from_slice(rest);
        // The ninth byte leaves no room for the one that ends the zeros.
        Ok((u128::from_le_bytes(all) >> (extra + 1).min(8)) as u64)
    }

    /// A signed integer of variable length: zigzag, the low bit is the sign.
    pub(super) fn signed(&mut self) -> Read<i64> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// An integer with a flag in its lowest bit.
    pub(super) fn flagged(&mut self) -> Read<(u64, bool)> {
        let v = self.varint()?;
        Ok((v >> 1, v & 1 == 1))
    }

    /// The length of a list whose elements take at least one byte each: never more than the bytes that remain, so that memory
    /// can be reserved for it.
    pub(super) fn count(&mut self) -> Read<usize> {
        let n = self.varint()?;
        match usize::try_from(n) {
            Ok(n) if n <= self.left() => Ok(n),
            _ => Err(self.problem(format!("a list of {n} elements is announced, {} bytes remain", self.left()))),
        }
    }

    /// A list of signed integers.
    pub(super) fn signed_list(&mut self) -> Read<Vec<i64>> {
        let n = self.count()?;
        (0..n).map(|_| self.signed()).collect()
    }

    /// The bit pattern of a number of known width: one byte up to 8 bits, else a signed integer of variable length.
    pub(super) fn bits(&mut self, width: u32) -> Read<u64> {
        match width {
            0..=8 => Ok(u64::from(self.byte()?)),
            9..=64 => Ok(self.signed()? as u64),
            _ => Err(self.problem(format!("numbers of {width} bits are not supported"))),
        }
    }

    /// A string that a zero byte ends.
    pub(super) fn c_string(&mut self) -> Read<&'a [u8]> {
        let rest = &self.artifact[self.pos..self.end];
        let n = rest.iter().position(|&b| b == 0).ok_or_else(|| self.problem("a string does not end"))?;
        self.pos += n + 1;
        Ok(&rest[..n])
    }

    /// A section: its number and its contents. Sections may be aligned, with filler bytes of `0xCB` before the contents.
    pub(super) fn section(&mut self) -> Read<(u8, Cursor<'a>)> {
        let head = self.byte()?;
        let len = self.varint()?;
        if head & 0x80 != 0 {
            let align = self.varint()?;
            if !align.is_power_of_two() {
                return Err(self.problem(format!("alignment {align} is not a power of two")));
            }
            while self.pos as u64 & (align - 1) != 0 {
                if self.byte()? != 0xCB {
                    return Err(self.problem("filler before an aligned section is not 0xCB"));
                }
            }
        }
        Ok((head & 0x7F, self.window(len)?))
    }

    /// Everything must have been read.
    pub(super) fn finish(&self, what: &str) -> Read<()> {
        if self.left() == 0 { Ok(()) } else { Err(self.problem(format!("{} bytes too many in {what}", self.left()))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let cases: [(&[u8], u64); 6] = [
            (&[0x01], 0),
            (&[0xFF], 127),
            (&[0x02, 0x02], 128),
            (&[0xFC, 0xFF, 0xFF], (1 << 21) - 1),
            (&[0x80, 1, 0, 0, 0, 0, 0, 0], 1),
            (&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], u64::MAX),
        ];
        for (bytes, want) in cases {
            let mut c = Cursor::new(bytes);
            assert_eq!((c.varint().unwrap(), c.left()), (want, 0), "{bytes:?}");
            for n in 0..bytes.len() {
                assert!(Cursor::new(&bytes[..n]).varint().is_err(), "{n} bytes of {bytes:?}");
            }
        }
        for (byte, want) in [(0x01, 0), (0x03, -1), (0x05, 1), (0xFF, -64)] {
            assert_eq!(Cursor::new(&[byte]).signed().unwrap(), want);
        }
    }

    #[test]
    fn sections_align_to_the_artifact() {
        let bytes = [0x80 | 3, 0x05, 0x11, 0xCB, 0xCB, 0xCB, 0xCB, 0xCB, 7, 8];
        let mut c = Cursor::new(&bytes);
        let (id, mut body) = c.section().unwrap();
        assert_eq!((id, body.pos(), body.bytes(2).unwrap()), (3, 8, &[7, 8][..]));
        let bad = [0x80, 0x01, 0x07];
        assert!(Cursor::new(&bad).section().err().is_some_and(|p| p.message.contains("power of two")));
    }
}
