//! The file: three segments (read; read and execute; read once the loader is done), what a loader asks for, and symbols for
//! profilers. The layout is the usual one: addresses are file offsets plus whole pages, so that nothing is padded in the file.

use std::collections::BTreeMap;

use super::object::Kind;
use super::reloc::Machine;
use super::{Named, Part};

const HEADER: u64 = 64;
const PROGRAM_HEADERS: u64 = 6;
const SONAME: &str = "beiming_kernels.so";

/// Where everything lies.
pub(crate) struct Layout {
    /// Offset of each part in the file, and its address.
    parts: BTreeMap<Kind, (u64, u64)>,
    dynsym: u64,
    hash: u64,
    strings: u64,
    rela: u64,
    dynamic: (u64, u64),
    /// The names the loader reads: empty, the exported symbol, the library's.
    names: Vec<u8>,
    relocations: u64,
}

/// Entries of the dynamic section.
const DYNAMIC: u64 = 13 * 16;

impl Layout {
    /// Of parts whose sizes are final.
    pub fn new(parts: &BTreeMap<Kind, Part>, machine: Machine, exported: &str) -> Layout {
        let names = [b"\0", exported.as_bytes(), b"\0", SONAME.as_bytes(), b"\0"].concat();
        let dynsym = HEADER + PROGRAM_HEADERS * 56;
        let hash = dynsym + 2 * 24;
        let strings = hash + 32;
        let rela = (strings + names.len() as u64).next_multiple_of(8);
        // Every address in the table is one relocation; the head of the table is two numbers.
        let relocations = parts.get(&Kind::Table).map_or(0, |t| t.data.len() as u64 / 8).saturating_sub(1);
        let mut end = rela + relocations * 24;
        let mut placed = BTreeMap::new();
        let mut shift = 0;
        for (&kind, part) in parts {
            if kind != Kind::Constants {
                // The next page in memory, at the same offset within it as in the file.
                shift += machine.page();
            }
            end = end.next_multiple_of(part.align.max(16));
            placed.insert(kind, (end, end + shift));
            end += part.data.len() as u64;
        }
        let at = end.next_multiple_of(8);
        Layout { parts: placed, dynsym, hash, strings, rela, dynamic: (at, at + shift), names, relocations }
    }

    /// Address of a part.
    pub fn address(&self, kind: Kind) -> u64 {
        self.parts[&kind].1
    }
}

/// Bytes that grow, with numbers in little-endian order.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, list: &[u16]) {
        list.iter().for_each(|v| self.0.extend_from_slice(&v.to_le_bytes()));
    }

    fn u32(&mut self, list: &[u32]) {
        list.iter().for_each(|v| self.0.extend_from_slice(&v.to_le_bytes()));
    }

    fn u64(&mut self, list: &[u64]) {
        list.iter().for_each(|v| self.0.extend_from_slice(&v.to_le_bytes()));
    }

    fn at(&mut self, offset: u64, data: &[u8]) {
        self.0.resize(self.0.len().max(offset as usize), 0);
        self.0.extend_from_slice(data);
    }

    /// A program header; offset and address, bytes in the file and in memory.
    fn segment(&mut self, kind: u32, flags: u32, (offset, address): (u64, u64), (size, memory): (u64, u64), align: u64) {
        self.u32(&[kind, flags]);
        self.u64(&[offset, address, address, size, memory, align]);
    }

    fn symbol(&mut self, name: u32, info: u8, other: u8, section: u16, value: u64, size: u64) {
        self.u32(&[name]);
        self.0.extend_from_slice(&[info, other]);
        self.u16(&[section]);
        self.u64(&[value, size]);
    }
}

/// The hash of `DT_GNU_HASH`.
fn gnu_hash(name: &str) -> u32 {
    name.bytes().fold(5381u32, |h, c| h.wrapping_mul(33).wrapping_add(c.into()))
}

/// Sections by number, in the order of the headers.
const SECTIONS: [&str; 12] = [
    "",
    ".dynsym",
    ".gnu.hash",
    ".dynstr",
    ".rela.dyn",
    ".rodata",
    ".text",
    ".data.rel.ro",
    ".dynamic",
    ".symtab",
    ".strtab",
    ".shstrtab",
];

fn section_of(kind: Kind) -> u16 {
    match kind {
        Kind::Constants => 5,
        Kind::Code => 6,
        Kind::Table => 7,
    }
}

/// Writes the library.
pub(crate) fn write(
    parts: &BTreeMap<Kind, Part>,
    named: &[Named],
    l: &Layout,
    exported: &str,
    machine: Machine,
) -> Result<Vec<u8>, String> {
    let table = named.iter().find(|n| n.is_global && n.name == exported).ok_or_else(|| format!("`{exported}` is not defined"))?;
    let address = |n: &Named| l.address(n.kind) + n.offset;
    let page = machine.page();
    let size = |kind: Kind| parts[&kind].data.len() as u64;
    let offset = |kind: Kind| l.parts[&kind].0;

    let mut out = Out::default();
    header(&mut out, machine);
    let read = offset(Kind::Constants) + size(Kind::Constants);
    let (code, table_at) = (l.parts[&Kind::Code], l.parts[&Kind::Table]);
    let written = l.dynamic.0 + DYNAMIC - table_at.0;
    // The page's rest belongs to the segment, so that all of it can be made read-only.
    let memory = (table_at.1 + written).next_multiple_of(page) - table_at.1;
    out.segment(1, 4, (0, 0), (read, read), page);
    out.segment(1, 5, code, (size(Kind::Code), size(Kind::Code)), page);
    out.segment(1, 6, table_at, (written, memory), page);
    out.segment(2, 6, l.dynamic, (DYNAMIC, DYNAMIC), 8);
    out.segment(0x6474_e552, 4, table_at, (written, memory), 1);
    out.segment(0x6474_e551, 6, (0, 0), (0, 0), 16);

    out.symbol(0, 0, 0, 0, 0, 0);
    out.symbol(1, 0x11, 0, section_of(table.kind), address(table), table.size);
    // One bucket that holds the one symbol, whose two bits are set in the filter.
    let hash = gnu_hash(exported);
    out.u32(&[1, 1, 1, 26]);
    out.u64(&[1 << (hash % 64) | 1 << ((hash >> 26) % 64)]);
    out.u32(&[1, hash | 1]);
    out.at(l.strings, &l.names);
    out.at(l.rela, &[]);
    let mut relative = parts[&Kind::Table].relative.clone();
    relative.sort_unstable();
    if relative.len() as u64 != l.relocations {
        return Err(format!("{} addresses in a table of {}", relative.len(), l.relocations));
    }
    for (at, target) in relative {
        out.u64(&[table_at.1 + at, machine.relative().into(), target]);
    }
    for kind in Kind::ALL {
        out.at(offset(kind), &parts[&kind].data);
    }
    out.at(l.dynamic.0, &[]);
    dynamic(&mut out, l, exported);
    sections(&mut out, parts, named, l, exported);
    Ok(out.0)
}

/// The ELF header; [`sections`] completes it.
fn header(out: &mut Out, machine: Machine) {
    out.0.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.u16(&[3, machine.number()]);
    out.u32(&[1]);
    out.u64(&[0, HEADER, 0]);
    out.u32(&[0]);
    out.u16(&[HEADER as u16, 56, PROGRAM_HEADERS as u16, 64, SECTIONS.len() as u16, SECTIONS.len() as u16 - 1]);
}

fn dynamic(out: &mut Out, l: &Layout, exported: &str) {
    let soname = exported.len() as u64 + 2;
    // SONAME, FLAGS: BIND_NOW, FLAGS_1: NOW, RELA, RELASZ, RELAENT, RELACOUNT, SYMTAB, SYMENT, STRTAB, STRSZ, GNU_HASH, end.
    out.u64(&[14, soname, 30, 8, 0x6fff_fffb, 1, 7, l.rela, 8, l.relocations * 24, 9, 24, 0x6fff_fff9, l.relocations]);
    out.u64(&[6, l.dynsym, 11, 24, 5, l.strings, 10, l.names.len() as u64, 0x6fff_fef5, l.hash, 0, 0]);
}

/// Symbols, names and headers of the sections: nothing that a loader reads.
fn sections(out: &mut Out, parts: &BTreeMap<Kind, Part>, named: &[Named], l: &Layout, exported: &str) {
    let symtab = (out.0.len() as u64).next_multiple_of(8);
    out.at(symtab, &[]);
    out.symbol(0, 0, 0, 0, 0, 0);
    let mut strings = vec![0u8];
    // Local symbols come first.
    let (global, local): (Vec<&Named>, Vec<&Named>) = named.iter().partition(|n| n.is_global && n.name == exported);
    for (n, is_global) in local.iter().map(|n| (n, false)).chain(global.iter().map(|n| (n, true))) {
        let kind = if n.kind == Kind::Code { 2 } else { 1 };
        let value = l.address(n.kind) + n.offset;
        out.symbol(strings.len() as u32, u8::from(is_global) << 4 | kind, 0, section_of(n.kind), value, n.size);
        strings.extend_from_slice(n.name.as_bytes());
        strings.push(0);
    }
    let strtab = out.0.len() as u64;
    out.at(strtab, &strings);
    let shstrtab = out.0.len() as u64;
    let mut names = vec![];
    let starts: Vec<u32> = SECTIONS
        .iter()
        .map(|s| {
            let at = names.len() as u32;
            names.extend_from_slice(s.as_bytes());
            names.push(0);
            at
        })
        .collect();
    out.at(shstrtab, &names);
    let headers = (out.0.len() as u64).next_multiple_of(8);
    out.at(headers, &[]);
    let part = |kind: Kind| {
        let (offset, address) = l.parts[&kind];
        let p = &parts[&kind];
        (address, offset, p.data.len() as u64, p.align)
    };
    let (constants, code, table) = (part(Kind::Constants), part(Kind::Code), part(Kind::Table));
    let symbols = named.len() as u64 + 1;
    /// Address, offset, size and alignment of a section.
    type Extent = (u64, u64, u64, u64);
    // Kind, flags, extent, link, info, bytes of an entry.
    let rows: [(u32, u64, Extent, u32, u32, u64); 12] = [
        (0, 0, (0, 0, 0, 0), 0, 0, 0),
        (11, 2, (l.dynsym, l.dynsym, 48, 8), 3, 1, 24),
        (0x6fff_fff6, 2, (l.hash, l.hash, 32, 8), 1, 0, 0),
        (3, 2, (l.strings, l.strings, l.names.len() as u64, 1), 0, 0, 0),
        (4, 2, (l.rela, l.rela, l.relocations * 24, 8), 1, 0, 24),
        (1, 2, constants, 0, 0, 0),
        (1, 6, code, 0, 0, 0),
        (1, 3, table, 0, 0, 0),
        (6, 3, (l.dynamic.1, l.dynamic.0, DYNAMIC, 8), 3, 0, 16),
        (2, 0, (0, symtab, symbols * 24, 8), 10, local.len() as u32 + 1, 24),
        (3, 0, (0, strtab, strings.len() as u64, 1), 0, 0, 0),
        (3, 0, (0, shstrtab, names.len() as u64, 1), 0, 0, 0),
    ];
    for (name, (kind, flags, (address, offset, size, align), link, info, entry)) in starts.into_iter().zip(rows) {
        out.u32(&[name, kind]);
        out.u64(&[flags, address, offset, size]);
        out.u32(&[link, info]);
        out.u64(&[align, entry]);
    }
    out.0[40..48].copy_from_slice(&headers.to_le_bytes());
}
