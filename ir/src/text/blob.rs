//! Constants in the text: a few numbers where they are few, else a window of a blob that follows the text in hexadecimal or
//! lies in a file beside it.

use std::fmt::Write;

use super::lexer::{Cursor, Kind, Parsed};
use super::{ParseError, parse_type};
use crate::num::encode;
use crate::tensor::{Data, Num, Tensor};
use crate::types::DType;

/// Most elements written as numbers.
const FEW: usize = 16;
/// Bytes in a line of a blob.
const LINE: usize = 48;
/// The line that starts a blob in the text.
const HEAD: &str = "blob";

/// Where the bytes of large constants go.
pub enum Constants<'a> {
    /// After the text.
    Inline,
    /// To the end of this buffer, which is handed to the parser beside the text.
    External(&'a mut Vec<u8>),
}

/// Collects the large constants of one text.
pub(super) struct Sink<'a> {
    external: Option<&'a mut Vec<u8>>,
    own: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub fn new(c: Constants<'a>) -> Sink<'a> {
        Sink { external: if let Constants::External(v) = c { Some(v) } else { None }, own: vec![] }
    }

    /// The right-hand side of a constant: `f32[2] = [1.0, 2.0]`, `.. = hex 3ff0` or `.. = blob 64..128`.
    pub fn tensor(&mut self, t: &Tensor) -> String {
        let bytes = t.bytes();
        let ty = t.ty();
        if t.len() <= FEW {
            let words: Vec<String> = (0..t.len()).map(|i| number(t.dtype, t.get(i))).collect();
            let mut back = Vec::with_capacity(bytes.len());
            if words.iter().all(|w| {
                read_number(&mut Cursor::new(w), t.dtype).is_ok_and(|v| {
                    encode(t.dtype, v, &mut back);
                    true
                })
            }) && back == bytes
            {
                return format!("{ty} = [{}]", words.join(", "));
            }
            // A NaN with a payload, or a byte that is no value of the type.
            return format!("{ty} = hex \"{}\"", hex(bytes));
        }
        let blob = match &mut self.external {
            Some(v) => v,
            None => &mut self.own,
        };
        let start = blob.len();
        blob.extend_from_slice(bytes);
        format!("{ty} = blob {start}..{}", blob.len())
    }

    /// What follows the text.
    pub fn finish(self, out: &mut String) {
        if self.own.is_empty() {
            return;
        }
        out.push_str(HEAD);
        out.push('\n');
        for line in self.own.chunks(LINE) {
            out.push_str(&hex(line));
            out.push('\n');
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut s = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(s, "{b:02x}");
    }
    s
}

fn number(d: DType, v: Num) -> String {
    let float = |x: f64| if d == DType::F32 || d == DType::C64 { format!("{:?}", x as f32) } else { format!("{x:?}") };
    match v {
        Num::Int(i) if d == DType::Bool => if i == 1 { "true" } else { "false" }.into(),
        Num::Int(i) => i.to_string(),
        Num::Float(x) => float(x),
        Num::Complex(r, i) => format!("({}, {})", float(r), float(i)),
    }
}

fn read_number(c: &mut Cursor<'_>, d: DType) -> Parsed<Num> {
    if d == DType::Bool {
        let yes = c.sees("true");
        return if c.eat("true") || c.eat("false") { Ok(Num::Int(yes.into())) } else { c.expected("`true` or `false`") };
    }
    if let Some((lo, hi)) = d.int_range() {
        let at = c.pos();
        let v: i128 = c.int("an integer")?;
        return if (lo..=hi).contains(&v) { Ok(Num::Int(v)) } else { c.error_at(at, format!("{v} is not a value of {d}")) };
    }
    if d.is_complex() {
        c.expect("(")?;
        let r = read_float(c)?;
        c.expect(",")?;
        let i = read_float(c)?;
        c.expect(")")?;
        return Ok(Num::Complex(r, i));
    }
    Ok(Num::Float(read_float(c)?))
}

fn read_float(c: &mut Cursor<'_>) -> Parsed<f64> {
    let minus = c.eat("-");
    let v = match (c.kind(), c.word()) {
        (Kind::Ident, "inf") => f64::INFINITY,
        (Kind::Ident, "NaN") => f64::NAN,
        (Kind::Number, w) if w.parse::<f64>().is_ok() => w.parse().unwrap_or(0.0),
        _ => return c.expected("a number"),
    };
    c.advance();
    Ok(if minus { -v } else { v })
}

/// The bytes that constants of a text point into.
pub(super) struct Source(Data);

impl Source {
    /// Splits a text from the blob behind it, if it has one; else `side` is the blob.
    pub fn split<'t>(text: &'t str, side: &[u8]) -> Result<(&'t str, Source), ParseError> {
        let mark = format!("\n{HEAD}\n");
        let Some(p) = text.find(&mark) else { return Ok((text, Source(side.to_vec().into()))) };
        let from = p + mark.len();
        let mut bytes = Vec::with_capacity((text.len() - from) / 2);
        let mut high = None;
        for (i, b) in text[from..].bytes().enumerate() {
            let digit = match b {
                b'0'..=b'9' => b - b'0',
                b'a'..=b'f' => b - b'a' + 10,
                b'\n' | b'\r' => continue,
                _ => return Cursor::new(text).error_at(from + i, "a blob has hexadecimal digits only"),
            };
            match high.take() {
                None => high = Some(digit),
                Some(h) => bytes.push(h << 4 | digit),
            }
        }
        if high.is_some() {
            return Cursor::new(text).error_at(text.len(), "the blob ends in the middle of a byte");
        }
        Ok((&text[..=p], Source(bytes.into())))
    }

    /// Reads what [`Sink::tensor`] writes.
    pub fn tensor(&self, c: &mut Cursor<'_>) -> Parsed<Tensor> {
        let at = c.pos();
        let ty = parse_type(c)?;
        let Some(shape) = ty.static_shape() else { return c.error_at(at, "the shape of a constant has no symbols") };
        c.expect("=")?;
        let from = c.pos();
        let data: Data = if c.eat("blob") {
            let start: usize = c.int("a byte offset")?;
            c.expect("..")?;
            let end: usize = c.int("a byte offset")?;
            match end.checked_sub(start).and_then(|n| self.0.slice(start, n)) {
                Some(d) => d,
                None => return c.error_at(from, format!("the blob has {} bytes", self.0.as_bytes().len())),
            }
        } else if c.eat("hex") {
            let s = c.string()?;
            let pair = |p: &[u8]| std::str::from_utf8(p).ok().and_then(|s| u8::from_str_radix(s, 16).ok());
            match s.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>() {
                Some(v) => v.into(),
                None => return c.error_at(from, "expected hexadecimal digits"),
            }
        } else {
            c.expect("[")?;
            let mut bytes = vec![];
            while !c.eat("]") {
                if !bytes.is_empty() {
                    c.expect(",")?;
                }
                let v = read_number(c, ty.dtype)?;
                encode(ty.dtype, v, &mut bytes);
            }
            bytes.into()
        };
        match Tensor::new(ty.dtype, shape, data) {
            Some(t) => Ok(t),
            None => c.error_at(from, format!("these are not as many bytes as {ty} has")),
        }
    }
}
