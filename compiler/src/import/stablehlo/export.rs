//! Files of `jax.export`: a flatbuffer that holds a portable artifact and what JAX wants to know about it.
//!
//! Only the table that describes the primal function is read; functions for its derivatives (`vjp`) and shardings are skipped. The
//! buffer is not trusted: every offset is checked, and nothing is followed more than a fixed number of levels.

use beiming_ir::tensor::Data;

use super::bytecode;
use super::syntax::{Loc, Module, Problem};

/// The calling conventions that are understood: the module takes what is kept of the flat inputs, after a token for each ordered
/// effect, after the index of the platform where there are several.
const CALLING_CONVENTIONS: std::ops::RangeInclusive<u64> = 9..=10;
/// Most inputs, outputs, axes or names that are read.
const MOST: usize = 1 << 16;

/// What a file of `jax.export` says.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Name of the function that was exported; the module's is `main`.
    pub function: String,
    /// The portable artifact: a window into the file.
    pub artifact: Data,
    /// Version of the rules by which the module is called.
    pub calling_convention: u64,
    /// Platforms it was lowered for, lower case: `cpu`, `cuda`, `tpu`, ..
    pub platforms: Vec<String>,
    /// Devices that it runs on.
    pub devices: u64,
    /// The flat inputs, whether the module takes them or not.
    pub inputs: Vec<Aval>,
    /// The flat outputs.
    pub outputs: Vec<Aval>,
    /// Which inputs the module takes.
    pub kept: Vec<usize>,
    /// Effects that keep their order: the module takes and returns a token for each.
    pub ordered_effects: Vec<String>,
    /// Other effects.
    pub unordered_effects: Vec<String>,
    /// Checks that the caller was allowed to leave out.
    pub disabled_checks: Vec<DisabledCheck>,
}

/// An abstract value: an input or an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Aval {
    /// An array.
    Array {
        /// Extents: numbers, or expressions over symbols such as `2*b + 1`.
        shape: Vec<String>,
        /// Element type by its name in the IR; what the IR does not have keeps the name that JAX uses, such as `key_fry`.
        dtype: &'static str,
    },
    /// A token.
    Token,
}

/// A check that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DisabledCheck {
    /// That the platform is among those it was lowered for.
    Platform,
    /// That a custom call is one of those whose meaning is stable.
    CustomCall(String),
    /// That extents are what the symbols say.
    ShapeAssertions,
}

/// Element types in the order of their numbers.
const DTYPES: [&str; 30] = [
    "bool",
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "f16",
    "f32",
    "f64",
    "c64",
    "c128",
    "bf16",
    "i4",
    "u4",
    "f8e4m3b11fnuz",
    "f8e4m3fn",
    "f8e4m3fnuz",
    "f8e5m2",
    "f8e5m2fnuz",
    "f0",
    "f8e4m3",
    "f8e3m4",
    "f8e8m0",
    "f4e2m1",
    "key_fry",
    "key_rbg",
    "key_unsafe_rbg",
];

/// Fields of the table `Exported`, by number.
mod field {
    pub(super) const FUNCTION: usize = 1;
    pub(super) const IN_AVALS: usize = 3;
    pub(super) const OUT_AVALS: usize = 5;
    pub(super) const DEVICES_16: usize = 6;
    pub(super) const PLATFORMS: usize = 9;
    pub(super) const ORDERED_EFFECTS: usize = 10;
    pub(super) const UNORDERED_EFFECTS: usize = 11;
    pub(super) const DISABLED_CHECKS: usize = 12;
    pub(super) const MODULE: usize = 13;
    pub(super) const CALLING_CONVENTION: usize = 14;
    pub(super) const KEPT: usize = 15;
    pub(super) const DEVICES: usize = 18;
    pub(super) const UNIQUE_AVALS: usize = 19;
    pub(super) const IN_AVAL_INDICES: usize = 22;
    pub(super) const OUT_AVAL_INDICES: usize = 23;
}

type Read<T> = Result<T, Problem>;

fn problem(message: impl Into<String>) -> Problem {
    Problem { loc: Loc { line: 0, column: 0, name: "jax.export file".into() }, message: message.into() }
}

/// True where the bytes are a file of `jax.export`: a flatbuffer whose module is MLIR bytecode.
pub fn is_export(bytes: &[u8]) -> bool {
    let module = || -> Read<bool> {
        let (start, len) = Table::root(bytes)?.bytes(field::MODULE)?;
        Ok(bytecode::is_bytecode(&bytes[start..start + len]))
    };
    module().unwrap_or(false)
}

/// Reads what the file says, not yet its module.
///
/// # Errors
/// The bytes are no such file, damaged, or of a calling convention that is not known.
pub fn read(bytes: Data) -> Result<Exported, Vec<Problem>> {
    exported(&bytes).map_err(|p| vec![p])
}

impl Exported {
    /// Reads the module.
    ///
    /// # Errors
    /// Those of [`bytecode::read`].
    pub fn module(&self) -> Result<Module, Vec<Problem>> {
        bytecode::read(self.artifact.clone())
    }
}

fn exported(data: &Data) -> Read<Exported> {
    let t = Table::root(data.as_bytes())?;
    let (start, len) = t.bytes(field::MODULE)?;
    let artifact = data.slice(start, len).ok_or_else(|| problem("the module lies outside the file"))?;
    if !bytecode::is_bytecode(artifact.as_bytes()) {
        return Err(problem("there is no MLIR bytecode where the module is expected"));
    }
    let calling_convention = t.number(field::CALLING_CONVENTION, 2)?;
    if !CALLING_CONVENTIONS.contains(&calling_convention) {
        let (first, last) = (CALLING_CONVENTIONS.start(), CALLING_CONVENTIONS.end());
        return Err(problem(format!("calling convention {calling_convention} is not known, only {first} to {last} are")));
    }
    let unique = t.tables(field::UNIQUE_AVALS)?.iter().map(aval).collect::<Read<Vec<Aval>>>()?;
    let avals = |indices: usize, direct: usize| -> Read<Vec<Aval>> {
        let by_index = t.numbers(indices, 4)?;
        if by_index.is_empty() {
            return t.tables(direct)?.iter().map(aval).collect();
        }
        let one = |i: &u64| usize::try_from(*i).ok().and_then(|i| unique.get(i)).cloned();
        by_index.iter().map(|i| one(i).ok_or_else(|| problem(format!("abstract value {i} of {}", unique.len())))).collect()
    };
    let inputs = avals(field::IN_AVAL_INDICES, field::IN_AVALS)?;
    let kept: Vec<usize> = t.numbers(field::KEPT, 2)?.into_iter().map(|i| i as usize).collect();
    if let Some(i) = kept.iter().find(|i| **i >= inputs.len()) {
        return Err(problem(format!("the module takes input {i} of {}", inputs.len())));
    }
    let effects = |f: usize| t.tables(f)?.iter().map(|e| e.string(0)).collect::<Read<Vec<String>>>();
    Ok(Exported {
        function: t.string(field::FUNCTION)?,
        artifact,
        calling_convention,
        platforms: t.strings(field::PLATFORMS)?,
        devices: match t.number(field::DEVICES, 4)? {
            0 => t.number(field::DEVICES_16, 2)?,
            n => n,
        },
        outputs: avals(field::OUT_AVAL_INDICES, field::OUT_AVALS)?,
        inputs,
        kept,
        ordered_effects: effects(field::ORDERED_EFFECTS)?,
        unordered_effects: effects(field::UNORDERED_EFFECTS)?,
        disabled_checks: t.tables(field::DISABLED_CHECKS)?.iter().map(check).collect::<Read<_>>()?,
    })
}

/// An abstract value: kind, extents as strings, element type.
fn aval(t: &Table<'_>) -> Read<Aval> {
    match t.number(0, 1)? {
        0 => {
            let code = t.number(2, 1)?;
            let dtype = DTYPES.get(code as usize).ok_or_else(|| problem(format!("element type {code} is not known")))?;
            Ok(Aval::Array { shape: t.strings(1)?, dtype })
        }
        1 => Ok(Aval::Token),
        kind => Err(problem(format!("abstract values of kind {kind} are not known"))),
    }
}

/// A check that was left out: kind, name of the custom call.
fn check(t: &Table<'_>) -> Read<DisabledCheck> {
    match t.number(0, 1)? {
        0 => Ok(DisabledCheck::Platform),
        1 => Ok(DisabledCheck::CustomCall(t.string(1)?)),
        2 => Ok(DisabledCheck::ShapeAssertions),
        kind => Err(problem(format!("checks of kind {kind} are not known"))),
    }
}

/// A table of a flatbuffer. At its position stands how far before it its field table lies; that has its own size, the size of
/// the table, and for each field the distance from the table's position, 0 where the field has its default.
#[derive(Clone, Copy)]
struct Table<'a> {
    buffer: &'a [u8],
    pos: usize,
    fields: usize,
    count: usize,
}

impl<'a> Table<'a> {
    /// The table that the buffer is about.
    fn root(buffer: &'a [u8]) -> Read<Table<'a>> {
        Table::at(buffer, follow(buffer, 0)?)
    }

    fn at(buffer: &'a [u8], pos: usize) -> Read<Table<'a>> {
        let back = number(buffer, pos, 4)? as u32 as i32;
        let fields =
            usize::try_from(pos as i64 - i64::from(back)).map_err(|_| problem("a table's fields lie outside the file"))?;
        let size = number(buffer, fields, 2)? as usize;
        if size < 4 || fields.checked_add(size).is_none_or(|end| end > buffer.len()) {
            return Err(problem("a table's fields lie outside the file"));
        }
        Ok(Table { buffer, pos, fields, count: (size - 4) / 2 })
    }

    /// Where a field is; `None` where it has its default.
    fn field(&self, i: usize) -> Read<Option<usize>> {
        if i >= self.count {
            return Ok(None);
        }
        let distance = number(self.buffer, self.fields + 4 + 2 * i, 2)? as usize;
        Ok((distance != 0).then_some(self.pos + distance))
    }

    /// A number of so many bytes; 0 by default.
    fn number(&self, i: usize, bytes: usize) -> Read<u64> {
        self.field(i)?.map_or(Ok(0), |at| number(self.buffer, at, bytes))
    }

    /// Where the elements of a vector start, and how many there are of so many bytes each.
    fn vector(&self, i: usize, bytes: usize) -> Read<(usize, usize)> {
        let Some(at) = self.field(i)? else { return Ok((0, 0)) };
        elements(self.buffer, at, bytes)
    }

    /// A vector of bytes: start and length.
    fn bytes(&self, i: usize) -> Read<(usize, usize)> {
        self.vector(i, 1)
    }

    /// A vector of numbers.
    fn numbers(&self, i: usize, bytes: usize) -> Read<Vec<u64>> {
        let (start, count) = self.vector(i, bytes)?;
        (0..few(count)?).map(|k| number(self.buffer, start + k * bytes, bytes)).collect()
    }

    /// A vector of tables.
    fn tables(&self, i: usize) -> Read<Vec<Table<'a>>> {
        let (start, count) = self.vector(i, 4)?;
        (0..few(count)?).map(|k| Table::at(self.buffer, follow(self.buffer, start + 4 * k)?)).collect()
    }

    /// A string; empty by default.
    fn string(&self, i: usize) -> Read<String> {
        self.field(i)?.map_or(Ok(String::new()), |at| string(self.buffer, at))
    }

    /// A vector of strings.
    fn strings(&self, i: usize) -> Read<Vec<String>> {
        let (start, count) = self.vector(i, 4)?;
        (0..few(count)?).map(|k| string(self.buffer, start + 4 * k)).collect()
    }
}

/// A little-endian number.
fn number(buffer: &[u8], at: usize, bytes: usize) -> Read<u64> {
    let end = at.checked_add(bytes).filter(|end| *end <= buffer.len());
    let end = end.ok_or_else(|| problem(format!("byte {at} lies outside the file of {}", buffer.len())))?;
    Ok(buffer[at..end].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Where an offset leads.
fn follow(buffer: &[u8], at: usize) -> Read<usize> {
    Ok(at + number(buffer, at, 4)? as usize)
}

/// The elements of the vector that the offset at a position leads to.
fn elements(buffer: &[u8], at: usize, bytes: usize) -> Read<(usize, usize)> {
    let at = follow(buffer, at)?;
    let count = number(buffer, at, 4)? as usize;
    let start = at + 4;
    match count.checked_mul(bytes).and_then(|n| n.checked_add(start)) {
        Some(end) if end <= buffer.len() => Ok((start, count)),
        _ => Err(problem(format!("{count} elements at byte {start} lie outside the file of {}", buffer.len()))),
    }
}

/// The string that the offset at a position leads to. Strings are short: names and extents.
fn string(buffer: &[u8], at: usize) -> Read<String> {
    let (start, count) = elements(buffer, at, 1)?;
    Ok(String::from_utf8_lossy(&buffer[start..start + few(count)?]).into_owned())
}

/// A number of elements that is not out of proportion.
fn few(count: usize) -> Read<usize> {
    if count <= MOST { Ok(count) } else { Err(problem(format!("a list of {count} elements; {MOST} are supported"))) }
}
