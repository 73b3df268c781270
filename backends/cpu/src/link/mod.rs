//! Objects to a shared library, without a linker: kernels refer to nothing outside, so all there is to do is to lay out three
//! sections (constants, code, the table of addresses), set the references between them, and write what a loader asks for.
//! `object` reads what LLVM writes, `reloc` sets references, `library` writes. Whatever is not expected is an error, not a guess.
//!
//! Doing it here keeps a linker out of what is shipped, spares a process and temporary files for every model, and leaves nothing
//! of the machine in the bytes. Every kernel that a test runs, natively or under qemu, was linked by it.

mod library;
mod object;
mod reloc;

use std::collections::BTreeMap;

use beiming_ir::target::Target;

use crate::EmitError;
use object::{Kind, Object, Symbol};
use reloc::Machine;

/// The three parts of the library.
#[derive(Default)]
pub(crate) struct Part {
    /// Bytes, references set.
    pub data: Vec<u8>,
    /// Alignment of the start.
    pub align: u64,
    /// Where the loader adds its base address, and the address before that: only in the table.
    pub relative: Vec<(u64, u64)>,
}

impl Part {
    fn append(&mut self, bytes: &[u8], align: u64, fill: u8) -> u64 {
        self.align = self.align.max(align);
        let at = (self.data.len() as u64).next_multiple_of(align);
        self.data.resize(at as usize, fill);
        self.data.extend_from_slice(bytes);
        at
    }
}

/// A symbol of the library: name, part, offset in it, bytes, whether it is code.
pub(crate) struct Named {
    pub name: String,
    pub kind: Kind,
    pub offset: u64,
    pub size: u64,
    /// Whether other objects may refer to it.
    pub is_global: bool,
}

/// Where sections of the objects went: the part, and the offset of each of their entries in it. A section that is not of equal
/// entries is one entry.
struct Placed {
    kind: Kind,
    entry: u64,
    offsets: Vec<u64>,
}

impl Placed {
    /// The offset in the part of an offset in the section. An offset at the end is of the last entry.
    fn offset(&self, at: u64) -> Option<u64> {
        let i = at.checked_div(self.entry).unwrap_or(0).min(self.offsets.len() as u64 - 1);
        Some(self.offsets[i as usize] + at.checked_sub(i * self.entry)?)
    }
}

/// Links objects, in order, into a library that needs no other and exports `exported`.
pub fn shared(objects: &[&[u8]], exported: &str, t: &Target) -> Result<Vec<u8>, EmitError> {
    let machine = if t.triple.starts_with("aarch64") { Machine::Aarch64 } else { Machine::X86 };
    link(objects, exported, machine).map_err(EmitError::Link)
}

fn link(objects: &[&[u8]], exported: &str, machine: Machine) -> Result<Vec<u8>, String> {
    let objects: Vec<Object<'_>> = objects
        .iter()
        .enumerate()
        .map(|(i, bytes)| Object::read(bytes, machine.number()).map_err(|e| format!("object {i}: {e}")))
        .collect::<Result<_, _>>()?;
    let mut parts: BTreeMap<Kind, Part> = Kind::ALL.into_iter().map(|k| (k, Part { align: 1, ..Part::default() })).collect();
    let placed = place(&objects, &mut parts, machine);
    let named = names(&objects, &placed)?;
    let mut defined = BTreeMap::new();
    for n in named.iter().filter(|n| n.is_global) {
        if defined.insert(n.name.as_str(), (n.kind, n.offset)).is_some() {
            return Err(format!("symbol `{}` is defined twice", n.name));
        }
    }
    let layout = library::Layout::new(&parts, machine, exported);
    for (object, placed) in objects.iter().zip(&placed) {
        for r in &object.relocations {
            let fail = |what: &str| format!("reference of type {} in `{}`: {what}", r.kind, object.sections[r.section].name);
            let Some(from) = &placed[r.section] else { return Err(fail("the section is not linked")) };
            let at = from.offset(r.offset).ok_or_else(|| fail("outside its section"))?;
            let symbol = object.symbols.get(r.symbol).ok_or_else(|| fail("no such symbol"))?;
            let (kind, target) =
                resolve(symbol, r.addend, placed, &defined).ok_or_else(|| fail(&format!("`{}` is not defined", symbol.name)))?;
            let (place, target) = (layout.address(from.kind) + at, layout.address(kind).wrapping_add(target));
            let part = parts.get_mut(&from.kind).ok_or_else(|| fail("no such part"))?;
            if machine.is_absolute(r.kind) {
                // The loader knows the base; only the table is writable until it is done.
                if from.kind != Kind::Table || !at.is_multiple_of(8) {
                    return Err(fail("an address outside the table"));
                }
                part.relative.push((at, target));
                continue;
            }
            machine.set(&mut part.data, at as usize, r.kind, place, target).map_err(|e| fail(&e))?;
        }
    }
    library::write(&parts, &named, &layout, exported, machine)
}

/// Where a symbol and an addend point: the part and the offset. The addend counts before constants are merged, since in a
/// section of equal entries it chooses one.
fn resolve(
    symbol: &Symbol<'_>,
    addend: i64,
    placed: &[Option<Placed>],
    defined: &BTreeMap<&str, (Kind, u64)>,
) -> Option<(Kind, u64)> {
    let Some(section) = symbol.section else {
        let &(kind, offset) = defined.get(symbol.name)?;
        return Some((kind, offset.wrapping_add_signed(addend)));
    };
    let p = placed.get(section)?.as_ref()?;
    match u64::try_from(symbol.value as i64 + addend) {
        // The usual case: an offset into the section; for a section symbol it may lie in any entry.
        Ok(at) if symbol.is_section => Some((p.kind, p.offset(at)?)),
        // A reference relative to the next instruction has an addend of -4 or less, which is no part of the target.
        _ => Some((p.kind, p.offset(symbol.value)?.wrapping_add_signed(addend))),
    }
}

/// Puts the sections of all objects into the parts. Constants of equal size are kept once.
fn place(objects: &[Object<'_>], parts: &mut BTreeMap<Kind, Part>, machine: Machine) -> Vec<Vec<Option<Placed>>> {
    let mut seen: BTreeMap<&[u8], u64> = BTreeMap::new();
    let mut all = Vec::with_capacity(objects.len());
    for object in objects {
        let mut placed = Vec::with_capacity(object.sections.len());
        for s in &object.sections {
            let (Some(kind), Some(part)) = (s.kind, s.kind.and_then(|k| parts.get_mut(&k))) else {
                placed.push(None);
                continue;
            };
            let fill = if kind == Kind::Code { machine.padding() } else { 0 };
            let mergeable =
                s.entry > 0 && (s.data.len() as u64).is_multiple_of(s.entry) && !s.has_relocations && s.align <= s.entry;
            let (entry, offsets) = if mergeable && !s.data.is_empty() {
                let chunks = s.data.chunks_exact(s.entry as usize);
                let offsets = chunks.map(|c| *seen.entry(c).or_insert_with(|| part.append(c, s.entry.next_power_of_two(), 0)));
                (s.entry, offsets.collect())
            } else {
                (0, vec![part.append(s.data, s.align, fill)])
            };
            placed.push(Some(Placed { kind, entry, offsets }));
        }
        all.push(placed);
    }
    all
}

/// The symbols with names that objects define.
fn names(objects: &[Object<'_>], placed: &[Vec<Option<Placed>>]) -> Result<Vec<Named>, String> {
    let mut named = vec![];
    for (object, placed) in objects.iter().zip(placed) {
        for s in object.symbols.iter().filter(|s| s.is_global || s.is_function) {
            let Some(p) = s.section.and_then(|i| placed.get(i)?.as_ref()) else { continue };
            let offset = p.offset(s.value).ok_or_else(|| format!("symbol `{}` lies outside its section", s.name))?;
            let is_global = s.is_global;
            named.push(Named { name: s.name.to_string(), kind: p.kind, offset, size: s.size, is_global });
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_object_is_refused() {
        for bytes in [&b""[..], b"\x7fELF\x02\x01", &[0; 64]] {
            assert!(link(&[bytes], "t", Machine::X86).is_err());
        }
        // A header of an object for the machine, and then nothing, or tables that lie outside.
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(64, 0xff);
        header[16..20].copy_from_slice(&[1, 0, 62, 0]);
        assert!(link(&[&header], "t", Machine::X86).unwrap_err().contains("cut off"));
        assert!(link(&[&header], "t", Machine::Aarch64).unwrap_err().contains("not a relocatable object"));
    }

    #[test]
    fn references_are_set_or_refused() {
        let mut data = vec![0u8; 8];
        // From 0x1000 to 0x2344.
        Machine::X86.set(&mut data, 0, 2, 0x1000, 0x2344).unwrap();
        assert_eq!(data[..4], 0x1344i32.to_le_bytes());
        assert!(Machine::X86.set(&mut data, 0, 2, 0, 1 << 40).is_err());
        assert!(Machine::X86.set(&mut data, 6, 2, 0, 0).is_err());
        assert!(Machine::X86.set(&mut data, 0, 9, 0, 0).is_err());
        // adrp x0, page of 0x12345678 from 0x1000; ldr q0, [x0, low 12 bits], which must be a multiple of 16.
        let mut adrp = 0x9000_0000u32.to_le_bytes();
        Machine::Aarch64.set(&mut adrp, 0, 275, 0x1000, 0x1234_5670).unwrap();
        let word = u32::from_le_bytes(adrp);
        let pages = (word >> 5 & 0x7ffff) << 2 | word >> 29 & 3;
        assert_eq!(pages, 0x12345 - 1);
        let mut ldr = 0x3dc0_0000u32.to_le_bytes();
        Machine::Aarch64.set(&mut ldr, 0, 299, 0, 0x1234_5670).unwrap();
        assert_eq!(u32::from_le_bytes(ldr) >> 10 & 0xfff, 0x670 >> 4);
        assert!(Machine::Aarch64.set(&mut ldr, 0, 299, 0, 0x1234_5678).is_err());
        // bl, 26 bits of words: back and too far.
        let mut bl = 0x9400_0000u32.to_le_bytes();
        Machine::Aarch64.set(&mut bl, 0, 283, 0x1000, 0xff0).unwrap();
        assert_eq!(u32::from_le_bytes(bl), 0x97ff_fffc);
        assert!(Machine::Aarch64.set(&mut bl, 0, 283, 0, 1 << 30).is_err());
    }
}
