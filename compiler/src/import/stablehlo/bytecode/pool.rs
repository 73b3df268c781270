//! The attributes and types of an artifact. They are found through a table of offsets and read only when something refers to
//! them, so that what belongs to a dialect that is not ours is skipped without being understood.
//!
//! An entry refers to others by number, in any order. What is read is bounded three ways: entries do not nest deeper than
//! [`DEEPEST`], a cycle is an error, and what sharing would unfold to is paid from a budget that grows with the artifact.

use std::sync::Arc;

use beiming_ir::tensor::Data;

use super::container::{self, Container};
use super::cursor::{Cursor, Read, problem};
use super::{builtin, vhlo_attr, vhlo_type};
use crate::import::stablehlo::syntax::{Attr, Attrs, Type};

/// How deep attributes and types nest at most.
const DEEPEST: u32 = 64;
/// What a small artifact may unfold to, in attributes, types and list elements.
const BUDGET: u64 = 1 << 20;
/// What each byte of an artifact adds to that.
const BUDGET_PER_BYTE: u64 = 16;
/// How many locations are followed to find one with a name.
const LOCATION_STEPS: usize = 64;

/// An attribute or a type, not yet read.
#[derive(Clone, Copy)]
struct Entry<'a> {
    dialect: usize,
    /// False where the entry is text.
    custom: bool,
    bytes: Cursor<'a>,
}

/// What has become of an entry.
#[derive(Clone, Default)]
enum Slot<T> {
    #[default]
    Unread,
    Reading,
    Done(T, u64),
}

/// The attributes and types of an artifact.
pub(super) struct Pool<'a> {
    /// The artifact, which constants are windows into.
    pub(super) data: &'a Data,
    /// Strings.
    strings: Vec<&'a [u8]>,
    dialects: Vec<Arc<str>>,
    attrs: Vec<(Entry<'a>, Slot<Attr>)>,
    types: Vec<(Entry<'a>, Slot<Type>)>,
    locations: Vec<Option<Arc<str>>>,
    depth: u32,
    budget: u64,
}

impl<'a> Pool<'a> {
    /// The table of an artifact.
    pub(super) fn new(data: &'a Data, c: &Container<'a>) -> Read<Pool<'a>> {
        let mut offsets = c.offsets;
        let mut entries = c.entries;
        let (attrs, types) = (offsets.count()?, offsets.count()?);
        let attrs = table(&mut offsets, &mut entries, attrs, c.dialects.len())?;
        let types = table(&mut offsets, &mut entries, types, c.dialects.len())?;
        offsets.finish("the offsets of attributes")?;
        Ok(Pool {
            data,
            strings: c.strings.clone(),
            dialects: c.dialects.clone(),
            locations: vec![None; attrs.len()],
            attrs: attrs.into_iter().map(|e| (e, Slot::Unread)).collect(),
            types: types.into_iter().map(|e| (e, Slot::Unread)).collect(),
            depth: 0,
            budget: BUDGET + BUDGET_PER_BYTE * data.as_bytes().len() as u64,
        })
    }

    /// Pays for something that is about to be made.
    pub(super) fn pay(&mut self, weight: u64) -> Read<()> {
        match self.budget.checked_sub(weight) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(problem("artifact", "what the attributes of this artifact unfold to is out of proportion to its size")),
        }
    }

    /// The string that the cursor refers to.
    pub(super) fn string(&self, c: &mut Cursor<'_>) -> Read<&'a [u8]> {
        let index = c.varint()?;
        container::string(c, &self.strings, index)
    }

    /// The attribute that the cursor refers to.
    pub(super) fn attr(&mut self, c: &mut Cursor<'_>) -> Read<Attr> {
        let index = c.varint()?;
        self.attr_at(c, index)
    }

    /// The attribute of a number.
    pub(super) fn attr_at(&mut self, c: &Cursor<'_>, index: u64) -> Read<Attr> {
        let total = self.attrs.len();
        let found = usize::try_from(index).ok().and_then(|i| self.attrs.get_mut(i));
        let Some((entry, slot)) = found else {
            return Err(c.problem(format!("attribute {index} of {total}")));
        };
        let entry = *entry;
        match slot {
            Slot::Done(attr, weight) => {
                let (attr, weight) = (attr.clone(), *weight);
                self.pay(weight)?;
                return Ok(attr);
            }
            Slot::Reading => return Err(c.problem(format!("attribute {index} contains itself"))),
            Slot::Unread => *slot = Slot::Reading,
        }
        let before = self.budget;
        let attr = self.nested(c, |pool| pool.read_attr(entry))?;
        self.pay(1)?;
        // What it cost to make is what it costs to make again.
        self.attrs[index as usize].1 = Slot::Done(attr.clone(), before - self.budget);
        Ok(attr)
    }

    fn read_attr(&mut self, entry: Entry<'a>) -> Read<Attr> {
        let mut c = entry.bytes;
        if !entry.custom {
            return Ok(Attr::Other(String::from_utf8_lossy(c.c_string()?).into()));
        }
        let attr = match &*self.dialects[entry.dialect] {
            "vhlo" => vhlo_attr::read(self, &mut c)?,
            "builtin" => builtin::attr(self, &mut c)?,
            other => return Ok(Attr::Other(format!("#{other}").into())),
        };
        // The contents of an attribute that is kept by name alone are not looked at.
        if !matches!(attr, Attr::Other(_)) {
            c.finish("an attribute")?;
        }
        Ok(attr)
    }

    /// The type that the cursor refers to.
    pub(super) fn ty(&mut self, c: &mut Cursor<'_>) -> Read<Type> {
        let index = c.varint()?;
        self.ty_at(c, index)
    }

    /// The type of a number.
    pub(super) fn ty_at(&mut self, c: &Cursor<'_>, index: u64) -> Read<Type> {
        let total = self.types.len();
        let found = usize::try_from(index).ok().and_then(|i| self.types.get_mut(i));
        let Some((entry, slot)) = found else {
            return Err(c.problem(format!("type {index} of {total}")));
        };
        let entry = *entry;
        match slot {
            Slot::Done(ty, weight) => {
                let (ty, weight) = (ty.clone(), *weight);
                self.pay(weight)?;
                return Ok(ty);
            }
            Slot::Reading => return Err(c.problem(format!("type {index} contains itself"))),
            Slot::Unread => *slot = Slot::Reading,
        }
        let before = self.budget;
        let ty = self.nested(c, |pool| pool.read_type(entry))?;
        self.pay(1)?;
        self.types[index as usize].1 = Slot::Done(ty.clone(), before - self.budget);
        Ok(ty)
    }

    fn read_type(&mut self, entry: Entry<'a>) -> Read<Type> {
        let mut c = entry.bytes;
        if !entry.custom {
            return Ok(Type::Other(String::from_utf8_lossy(c.c_string()?).into()));
        }
        let ty = match &*self.dialects[entry.dialect] {
            "vhlo" => vhlo_type::read(self, &mut c)?,
            "builtin" => builtin::ty(self, &mut c)?,
            other => return Ok(Type::Other(format!("!{other}").into())),
        };
        c.finish("a type")?;
        Ok(ty)
    }

    /// Reads one level deeper.
    fn nested<T>(&mut self, c: &Cursor<'_>, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEEPEST {
            return Err(c.problem(format!("attributes and types nest deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    /// Several attributes.
    pub(super) fn attr_list(&mut self, c: &mut Cursor<'_>) -> Read<Vec<Attr>> {
        let n = c.count()?;
        (0..n).map(|_| self.attr(c)).collect()
    }

    /// Several types.
    pub(super) fn type_list(&mut self, c: &mut Cursor<'_>) -> Read<Vec<Type>> {
        let n = c.count()?;
        (0..n).map(|_| self.ty(c)).collect()
    }

    /// A dictionary: pairs of a string attribute and an attribute.
    pub(super) fn dictionary(&mut self, c: &mut Cursor<'_>) -> Read<Attrs> {
        let n = c.count()?;
        let mut out = Attrs::new();
        for _ in 0..n {
            let name = self.name(c)?;
            out.insert(name, self.attr(c)?);
        }
        Ok(out)
    }

    /// A string attribute, as a name.
    pub(super) fn name(&mut self, c: &mut Cursor<'_>) -> Read<Arc<str>> {
        match self.attr(c)? {
            Attr::Str(s) => match std::str::from_utf8(&s) {
                Ok(text) => Ok(text.into()),
                Err(_) => Err(c.problem("a name is not UTF-8")),
            },
            _ => Err(c.problem("a name is no string")),
        }
    }

    /// What the location of a number says; empty where it says nothing.
    pub(super) fn location(&mut self, c: &Cursor<'_>, index: u64) -> Read<Arc<str>> {
        let start = usize::try_from(index).ok().filter(|i| *i < self.attrs.len());
        let Some(start) = start else {
            return Err(c.problem(format!("location {index} of {}", self.attrs.len())));
        };
        if let Some(text) = &self.locations[start] {
            return Ok(text.clone());
        }
        let mut text: Arc<str> = "".into();
        let mut at = start;
        for _ in 0..LOCATION_STEPS {
            let Some((entry, _)) = self.attrs.get(at) else {
                return Err(c.problem(format!("location {at} of {}", self.attrs.len())));
            };
            let mut inner = entry.bytes;
            if !entry.custom || &*self.dialects[entry.dialect] != "builtin" {
                break;
            }
            match builtin::location(self, &mut inner)? {
                builtin::Place::Named(name) => {
                    self.pay(1 + name.len() as u64 / 8)?;
                    text = name;
                    break;
                }
                builtin::Place::At(next) => at = usize::try_from(next).unwrap_or(usize::MAX),
                builtin::Place::Unknown => break,
            }
        }
        self.locations[start] = Some(text.clone());
        Ok(text)
    }
}

/// The entries of attributes or of types: runs of one dialect, each entry with its size and whether it is in the dialect's own
/// encoding.
fn table<'a>(offsets: &mut Cursor<'a>, entries: &mut Cursor<'a>, count: usize, dialects: usize) -> Read<Vec<Entry<'a>>> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let (dialect, n) = container::group(offsets, dialects)?;
        if n > count - out.len() {
            return Err(offsets.problem("more attributes than announced"));
        }
        for _ in 0..n {
            let (size, custom) = offsets.flagged()?;
            out.push(Entry { dialect, custom, bytes: entries.window(size)? });
        }
    }
    Ok(out)
}
