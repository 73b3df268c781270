//! Constant elements: `dense<..>` as a splat, nested lists or a hexadecimal string, and `dense_resource<..>`. The type stands
//! behind the elements, so that their end is found first; then each element goes straight to its bytes.

use beiming_ir::tensor::{Data, Tensor};
use beiming_ir::types::DType;

use super::Parser;
use super::cursor::{Bad, Cursor, Result, hex_digit};
use super::element::{Writer, read_one};
use crate::import::stablehlo::syntax::{Dense, Element, TensorType};

impl<'a> Parser<'a> {
    /// What follows `dense`.
    pub fn dense(&mut self) -> Result<Dense> {
        self.c.expect("<")?;
        let start = self.c.pos;
        self.c.pos = literal_end(self.c)?;
        let end = self.c.pos;
        self.c.pos += 1;
        let at = self.c.pos;
        if !self.c.eat(":") {
            return Err(Bad { at, message: "expected `:` and the type of the constant".into() });
        }
        let ty = self.tensor()?;
        let (dtype, count) = storage(&ty).map_err(|message| Bad { at, message })?;
        let mut lit = Cursor::new(&self.c.src[..end], start);
        let bytes = match lit.peek() {
            b'"' => {
                let hex = lit.raw_string()?;
                let bytes = unhex(hex).map_err(|message| Bad { at: start, message })?;
                from_raw(dtype, count, bytes, true).map_err(|message| Bad { at: start, message })?
            }
            b'[' => {
                let shape: Vec<u64> = ty.shape.iter().map(|e| e.unwrap_or(0)).collect();
                let mut out = Writer::new(dtype, (end - start) / 2 + 1, count);
                nest(&mut lit, &shape, &mut out)?;
                out.bytes
            }
            0 if lit.pos == end && count == 0 => vec![],
            _ => {
                let mut out = Writer::new(dtype, 1, 1);
                read_one(&mut lit, &mut out)?;
                lit.space();
                if lit.pos != end {
                    return lit.expected("`>`");
                }
                return Ok(Dense { ty, values: tensor(dtype, vec![], out.bytes).map_err(|message| Bad { at: start, message })? });
            }
        };
        lit.space();
        if lit.pos != end {
            return lit.expected("`>`");
        }
        let extents = ty.shape.iter().map(|e| e.unwrap_or(0) as usize).collect();
        let (shape, bytes) = unsplat(dtype, extents, bytes);
        Ok(Dense { ty, values: tensor(dtype, shape, bytes).map_err(|message| Bad { at: start, message })? })
    }

    /// What follows `dense_resource`: `<key> : tensor<..>`, or the key as a string.
    pub fn dense_resource(&mut self) -> Result<Dense> {
        self.c.expect("<")?;
        self.c.space();
        let at = self.c.pos;
        let key: Vec<u8> = if self.c.byte() == b'"' { self.c.string()?.into_owned() } else { self.resource_key()?.to_vec() };
        self.c.expect(">")?;
        self.c.expect(":")?;
        let ty = self.tensor()?;
        let bad = |message: String| Bad { at, message };
        let (dtype, count) = storage(&ty).map_err(bad)?;
        let name = String::from_utf8_lossy(&key).into_owned();
        let extents: Vec<usize> = ty.shape.iter().map(|e| e.unwrap_or(0) as usize).collect();
        let known = (key, dtype, count);
        let data = match self.blobs.get(&known) {
            Some(data) => data.clone(),
            None => {
                let hex = self.resource(&known.0)?.ok_or_else(|| bad(format!("no resource `{name}` in the file")))?;
                let data = blob(hex, dtype, count).map_err(|why| bad(format!("the resource `{name}`: {why}")))?;
                self.blobs.insert(known, data.clone());
                data
            }
        };
        let len = data.as_bytes().len();
        let values = Tensor::new(dtype, extents, data);
        let values =
            values.ok_or_else(|| bad(format!("the resource `{name}` has {len} bytes, {count} elements of {dtype} do not")))?;
        Ok(Dense { ty, values })
    }

    /// A resource's name without quotes.
    fn resource_key(&mut self) -> Result<&'a [u8]> {
        let start = self.c.pos;
        while super::cursor::is_word(self.c.byte()) || self.c.byte() == b'-' {
            self.c.pos += 1;
        }
        if start == self.c.pos { self.c.expected("the name of a resource") } else { Ok(&self.c.src[start..self.c.pos]) }
    }
}

/// The elements of a resource: those of a whole number of bytes as they are, without another copy. The first four bytes say
/// how the rest was aligned.
fn blob(hex: &[u8], dtype: DType, count: usize) -> std::result::Result<Data, String> {
    let bytes = unhex(hex)?;
    let Some(align) = bytes.first_chunk::<4>().map(|b| u32::from_le_bytes(*b)) else { return Err("it is cut off".into()) };
    if !align.is_power_of_two() {
        return Err(format!("an alignment of {align} bytes, which is no power of two"));
    }
    if fits(dtype) {
        let len = bytes.len() - 4;
        return Data::from(bytes).slice(4, len).ok_or_else(|| "it is cut off".into());
    }
    from_raw(dtype, count, bytes[4..].to_vec(), false).map(Data::from)
}

/// True where the bytes of a file are those of the IR: nothing is packed or to be extended.
fn fits(dtype: DType) -> bool {
    dtype.bits() as usize == dtype.size() * 8
}

/// How elements are stored, and how many there are.
fn storage(ty: &TensorType) -> std::result::Result<(DType, usize), String> {
    let dtype = match &ty.element {
        Element::Plain(d) => *d,
        Element::Index => DType::I64,
        Element::Quantized(q) => q.storage,
    };
    let count = ty.shape.iter().try_fold(1usize, |n, e| n.checked_mul(usize::try_from((*e)?).ok()?));
    // So that the number of bytes does not overflow either.
    count
        .filter(|n| *n < 1 << 48)
        .map(|n| (dtype, n))
        .ok_or_else(|| "a constant needs known extents, fewer than 2^48 elements".into())
}

fn tensor(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> std::result::Result<Tensor, String> {
    let have = bytes.len();
    Tensor::new(dtype, shape, bytes.into()).ok_or_else(|| format!("{have} bytes do not fit the type"))
}

/// Where the `>` stands that ends a literal begun at `c`.
fn literal_end(mut c: Cursor) -> Result<usize> {
    let start = c.pos;
    loop {
        let Some(n) = memchr::memchr3(b'>', b'"', b'/', &c.src[c.pos..]) else {
            return Err(Bad { at: start, message: "`>` that ends the constant is missing".into() });
        };
        c.pos += n;
        match c.byte() {
            b'>' => return Ok(c.pos),
            b'"' => {
                c.raw_string()?;
            }
            _ => {
                let at = c.pos;
                c.space();
                if c.pos == at {
                    c.pos += 1;
                }
            }
        }
    }
}

/// A list, of lists but on the last axis.
fn nest(lit: &mut Cursor, shape: &[u64], out: &mut Writer) -> Result<()> {
    let Some((extent, inner)) = shape.split_first() else {
        return lit.bad("a list where a single element is expected: the literal has more axes than the type");
    };
    lit.expect("[")?;
    let at = lit.pos;
    let mut n = 0u64;
    if !lit.eat("]") {
        if inner.is_empty() {
            n = out.row(lit)?;
        } else {
            loop {
                if lit.peek() != b'[' {
                    return lit.expected("`[`, since the type has more axes");
                }
                nest(lit, inner, out)?;
                n += 1;
                if !lit.eat(",") {
                    break;
                }
            }
        }
        lit.expect("]")?;
    }
    if n == *extent {
        return Ok(());
    }
    Err(Bad { at, message: format!("a list of {n} where the type has an extent of {extent}") })
}

/// The bytes of `0x..`.
fn unhex(text: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let digits = text.strip_prefix(b"0x").ok_or("a string of elements begins with 0x")?;
    if digits.len() % 2 != 0 {
        return Err("an odd number of hexadecimal digits".into());
    }
    let mut wrong = 0u8;
    let mut out = vec![0u8; digits.len() / 2];
    for (b, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (h, l) = (HEX[usize::from(pair[0])], HEX[usize::from(pair[1])]);
        wrong |= h | l;
        *b = h << 4 | (l & 15);
    }
    if wrong & 0x80 != 0 { Err("a character that is no hexadecimal digit".into()) } else { Ok(out) }
}

/// Hexadecimal digits; 0x80 is set for other characters.
const HEX: [u8; 256] = {
    let mut t = [0x80u8; 256];
    let mut i = 0;
    while i < 256 {
        if let Some(d) = hex_digit(i as u8) {
            t[i] = d;
        }
        i += 1;
    }
    t
};

/// Elements from raw little-endian bytes: one element for all (only where `splat` is allowed), or all of them. `i1` is one
/// byte an element, or, as MLIR wrote it until 2025, one bit; other narrow types have a byte each whose upper bits do not
/// count.
fn from_raw(dtype: DType, count: usize, mut bytes: Vec<u8>, splat: bool) -> std::result::Result<Vec<u8>, String> {
    let size = dtype.size();
    if dtype == DType::Bool && bytes.len() > 1 && bytes.len() < count && bytes.len() == count.div_ceil(8) {
        bytes = (0..count).map(|i| bytes[i / 8] >> (i % 8) & 1).collect();
    }
    let whole = bytes.len() == count * size;
    let one = splat && bytes.len() == size;
    if !whole && !one {
        return Err(format!("{} bytes for {count} elements of {size} bytes", bytes.len()));
    }
    match dtype {
        DType::Bool => bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0)),
        d if d.bits() < 8 => {
            let unused = 8 - d.bits();
            let signed = d.is_signed_int();
            bytes.iter_mut().for_each(|b| {
                let top = *b << unused;
                *b = if signed { ((top as i8) >> unused) as u8 } else { top >> unused };
            });
        }
        _ => {}
    }
    Ok(bytes)
}

/// Equal elements become one: how a constant is written does not matter then.
fn unsplat(dtype: DType, shape: Vec<usize>, mut bytes: Vec<u8>) -> (Vec<usize>, Vec<u8>) {
    let size = dtype.size();
    if bytes.is_empty() || bytes.chunks_exact(size).any(|e| e != &bytes[..size]) {
        return (shape, bytes);
    }
    bytes.truncate(size);
    bytes.shrink_to_fit();
    (vec![], bytes)
}
