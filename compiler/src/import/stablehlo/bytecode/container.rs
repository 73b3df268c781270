//! The container of MLIR's bytecode, versions 0 to 6: header, sections, strings, dialects and the names of operations.

use std::sync::Arc;

use super::cursor::{Cursor, Read, problem};

/// The first four bytes.
pub(super) const MAGIC: &[u8] = b"ML\xefR";
/// The newest version of the container that is known.
const NEWEST: u64 = 6;

/// From this version on a dialect's name has a flag that says whether the dialect's own version follows.
const DIALECT_VERSIONS: u64 = 1;
/// Regions of operations that are isolated from above are sections of their own.
pub(super) const LAZY_REGIONS: u64 = 2;
/// Results and block arguments may say in what order they are used.
pub(super) const USE_ORDERS: u64 = 3;
/// Block arguments without a location say so; the number of operation names is announced.
pub(super) const NO_ARG_LOCATION: u64 = 4;
/// Properties have a section of their own; operation names say whether the writer knew the operation.
pub(super) const PROPERTIES: u64 = 5;

/// What the sections of an artifact are.
pub(super) struct Container<'a> {
    /// Version of the container.
    pub(super) version: u64,
    /// Who wrote it: `StableHLO_v1.20.0`.
    pub(super) producer: String,
    /// Strings.
    pub(super) strings: Vec<&'a [u8]>,
    /// Names of the dialects.
    pub(super) dialects: Vec<Arc<str>>,
    /// Names of operations.
    pub(super) ops: Vec<OpName>,
    /// Attributes and types, one after another.
    pub(super) entries: Cursor<'a>,
    /// Where each of them ends.
    pub(super) offsets: Cursor<'a>,
    /// The operations.
    pub(super) ir: Cursor<'a>,
    /// Properties of operations, by number.
    pub(super) properties: Vec<Cursor<'a>>,
}

/// The name of an operation.
pub(super) struct OpName {
    /// Dialect, by number.
    pub(super) dialect: usize,
    /// Name without the dialect.
    pub(super) name: Arc<str>,
    /// False where the writer did not know the operation: its properties are then one attribute.
    pub(super) registered: bool,
}

/// Numbers of the sections.
const SECTIONS: [&str; 9] = [
    "strings",
    "dialects",
    "attributes",
    "attribute offsets",
    "operations",
    "resources",
    "resource offsets",
    "versions",
    "properties",
];

/// Reads the frame of an artifact.
pub(super) fn read(artifact: &[u8]) -> Read<Container<'_>> {
    let mut c = Cursor::new(artifact);
    if artifact.len() < MAGIC.len() || c.bytes(MAGIC.len() as u64)? != MAGIC {
        return Err(problem("artifact", "this is not MLIR bytecode: it does not start with `ML\\xefR`"));
    }
    let version = c.varint()?;
    let producer = String::from_utf8_lossy(c.c_string()?).into_owned();
    if version > NEWEST {
        let message =
            format!("MLIR bytecode version {version} (by `{producer}`) is newer than {NEWEST}, the newest that is known");
        return Err(problem("artifact", message));
    }
    let mut found: [Option<Cursor>; SECTIONS.len()] = [None; SECTIONS.len()];
    while c.left() > 0 {
        let (id, body) = c.section()?;
        let Some(slot) = found.get_mut(usize::from(id)) else {
            return Err(c.problem(format!("unknown section {id}")));
        };
        let name = SECTIONS[usize::from(id)];
        if slot.replace(body.named(name)).is_some() {
            return Err(c.problem(format!("two sections of {name}")));
        }
    }
    let need = |id: usize| found[id].ok_or_else(|| problem("artifact", format!("no section of {}", SECTIONS[id])));
    let strings = strings(need(0)?)?;
    let (dialects, ops) = dialects(need(1)?, version, &strings)?;
    let properties = found[8].map_or(Ok(vec![]), properties)?;
    Ok(Container { version, producer, strings, dialects, ops, entries: need(2)?, offsets: need(3)?, ir: need(4)?, properties })
}

/// Strings: their sizes with the zero byte that ends each, last string first, then the strings, first string first.
fn strings(mut c: Cursor<'_>) -> Read<Vec<&[u8]>> {
    let count = c.count()?;
    let mut sizes = (0..count).map(|_| c.varint()).collect::<Read<Vec<u64>>>()?;
    sizes.reverse();
    let mut out = Vec::with_capacity(count);
    for size in sizes {
        let bytes = c.bytes(size)?;
        let Some((0, string)) = bytes.split_last() else {
            return Err(c.problem("a string does not end in zero"));
        };
        out.push(string);
    }
    c.finish("the strings")?;
    Ok(out)
}

/// The string of a number.
pub(super) fn string<'a>(c: &Cursor<'_>, strings: &[&'a [u8]], index: u64) -> Read<&'a [u8]> {
    let found = usize::try_from(index).ok().and_then(|i| strings.get(i));
    found.copied().ok_or_else(|| c.problem(format!("string {index} of {}", strings.len())))
}

/// A name: a string that is text.
fn name(c: &Cursor<'_>, strings: &[&[u8]], index: u64) -> Read<Arc<str>> {
    let text = std::str::from_utf8(string(c, strings, index)?);
    text.map(Arc::from).map_err(|_| c.problem("a name is not UTF-8"))
}

/// Names of the dialects, and of the operations grouped by dialect.
fn dialects(mut c: Cursor<'_>, version: u64, strings: &[&[u8]]) -> Read<(Vec<Arc<str>>, Vec<OpName>)> {
    let count = c.count()?;
    let mut dialects = Vec::with_capacity(count);
    for _ in 0..count {
        let (index, versioned) = if version < DIALECT_VERSIONS { (c.varint()?, false) } else { c.flagged()? };
        dialects.push(name(&c, strings, index)?);
        if versioned {
            c.section()?;
        }
    }
    if version >= NO_ARG_LOCATION {
        c.count()?;
    }
    let mut ops = vec![];
    while c.left() > 0 {
        let (dialect, n) = group(&mut c, dialects.len())?;
        for _ in 0..n {
            let (index, registered) = if version < PROPERTIES { (c.varint()?, true) } else { c.flagged()? };
            ops.push(OpName { dialect, name: name(&c, strings, index)?, registered });
        }
    }
    Ok((dialects, ops))
}

/// The head of a run of entries of one dialect: which, and how many.
pub(super) fn group(c: &mut Cursor<'_>, dialects: usize) -> Read<(usize, usize)> {
    let dialect = c.varint()?;
    match usize::try_from(dialect) {
        Ok(d) if d < dialects => Ok((d, c.count()?)),
        _ => Err(c.problem(format!("dialect {dialect} of {dialects}"))),
    }
}

/// Properties, each with its size.
fn properties(mut c: Cursor<'_>) -> Read<Vec<Cursor<'_>>> {
    let count = c.count()?;
    let all = (0..count).map(|_| c.varint().and_then(|n| c.window(n))).collect::<Read<Vec<_>>>()?;
    c.finish("the properties")?;
    Ok(all)
}
