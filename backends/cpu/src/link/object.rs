//! A relocatable ELF object, as LLVM writes them: little-endian, 64 bits, references with addends.

/// What a section becomes a part of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Read.
    Constants,
    /// Executed.
    Code,
    /// Read, after the loader has added its base to the addresses in it.
    Table,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Constants, Kind::Code, Kind::Table];
}

/// A section.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub name: &'a str,
    pub data: &'a [u8],
    pub align: u64,
    /// Bytes of each entry, where entries of equal bytes may be one; else 0.
    pub entry: u64,
    /// `None` for what is not loaded.
    pub kind: Option<Kind>,
    pub has_relocations: bool,
}

/// A symbol.
#[derive(Debug)]
pub(crate) struct Symbol<'a> {
    pub name: &'a str,
    /// Section it lies in; `None` where it is defined elsewhere.
    pub section: Option<usize>,
    pub value: u64,
    pub size: u64,
    pub is_global: bool,
    pub is_function: bool,
    pub is_section: bool,
}

/// A reference.
#[derive(Debug)]
pub(crate) struct Relocation {
    /// Section and offset it is set at.
    pub section: usize,
    pub offset: u64,
    pub kind: u32,
    pub symbol: usize,
    pub addend: i64,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
    pub relocations: Vec<Relocation>,
}

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHT_NOBITS: u32 = 8;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;
const SHF_EXEC: u64 = 4;
const SHF_MERGE: u64 = 0x10;
const SHF_STRINGS: u64 = 0x20;
const SHF_TLS: u64 = 0x400;

/// A header of a section.
struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    offset: u64,
    size: u64,
    align: u64,
    entry: u64,
}

fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    bytes(data, at).map(u16::from_le_bytes)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    bytes(data, at).map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    bytes(data, at).map(u64::from_le_bytes)
}

fn text(table: &[u8], at: u32) -> Option<&str> {
    let rest = table.get(at as usize..)?;
    std::str::from_utf8(&rest[..rest.iter().position(|&c| c == 0)?]).ok()
}

impl<'a> Object<'a> {
    /// Reads an object for a machine, by its ELF number.
    pub fn read(data: &'a [u8], machine: u16) -> Result<Object<'a>, String> {
        let ok = data.starts_with(b"\x7fELF\x02\x01") && u16_at(data, 16) == Some(1) && u16_at(data, 18) == Some(machine);
        if !ok {
            return Err("not a relocatable object for this machine".into());
        }
        Self::parse(data).ok_or("cut off, or not as LLVM writes objects")?
    }

    /// `None` where something lies outside the bytes.
    fn parse(data: &'a [u8]) -> Option<Result<Object<'a>, String>> {
        let (table, size) = (u64_at(data, 40)? as usize, u16_at(data, 58)? as usize);
        let (count, names) = (u16_at(data, 60)? as usize, u16_at(data, 62)? as usize);
        let header = |i: usize| -> Option<Header> {
            let at = table.checked_add(i.checked_mul(size)?)?;
            Some(Header {
                name: u32_at(data, at)?,
                kind: u32_at(data, at + 4)?,
                flags: u64_at(data, at + 8)?,
                offset: u64_at(data, at + 24)?,
                size: u64_at(data, at + 32)?,
                link: u32_at(data, at + 40)?,
                info: u32_at(data, at + 44)?,
                align: u64_at(data, at + 48)?.max(1),
                entry: u64_at(data, at + 56)?,
            })
        };
        let headers: Vec<Header> = (0..count).map(header).collect::<Option<_>>()?;
        let content = |h: &Header| -> Option<&'a [u8]> {
            if h.kind == SHT_NOBITS {
                return Some(&[]);
            }
            data.get(h.offset as usize..(h.offset.checked_add(h.size)?) as usize)
        };
        let name_table = content(headers.get(names)?)?;
        let mut sections = Vec::with_capacity(count);
        for h in &headers {
            let name = text(name_table, h.name)?;
            let kind = match kind(h, name) {
                Ok(k) => k,
                Err(e) => return Some(Err(e)),
            };
            let merged = h.flags & (SHF_MERGE | SHF_STRINGS) == SHF_MERGE;
            let entry = if merged { h.entry } else { 0 };
            sections.push(Section { name, data: content(h)?, align: h.align, entry, kind, has_relocations: false });
        }
        let (mut symbols, mut relocations) = (vec![], vec![]);
        if let Some(h) = headers.iter().find(|h| h.kind == SHT_SYMTAB) {
            let strings = content(headers.get(h.link as usize)?)?;
            for s in content(h)?.chunks_exact(24) {
                let (info, index) = (*s.get(4)?, u16_at(s, 6)?);
                symbols.push(Symbol {
                    name: text(strings, u32_at(s, 0)?)?,
                    // Special numbers (absolute, common) start at 0xff00; no kernel has such a symbol that is referred to.
                    section: (index != 0 && index < 0xff00).then_some(index as usize),
                    value: u64_at(s, 8)?,
                    size: u64_at(s, 16)?,
                    is_global: info >> 4 != 0,
                    is_function: info & 15 == 2,
                    is_section: info & 15 == 3,
                });
            }
        }
        for h in headers.iter().filter(|h| h.kind == SHT_RELA) {
            let section = h.info as usize;
            let target = sections.get_mut(section)?;
            if target.kind.is_none() {
                continue;
            }
            target.has_relocations = true;
            for r in content(h)?.chunks_exact(24) {
                let info = u64_at(r, 8)?;
                let addend = u64_at(r, 16)? as i64;
                let (symbol, kind) = ((info >> 32) as usize, info as u32);
                relocations.push(Relocation { section, offset: u64_at(r, 0)?, kind, symbol, addend });
            }
        }
        Some(Ok(Object { sections, symbols, relocations }))
    }
}

/// The part a section belongs to. Kernels have no variables and no unwinding: a section of such is a fault above.
fn kind(h: &Header, name: &str) -> Result<Option<Kind>, String> {
    if h.flags & SHF_ALLOC == 0 || h.size == 0 && h.kind == SHT_PROGBITS && h.flags & SHF_EXEC == 0 {
        return Ok(None);
    }
    match (h.kind, h.flags & (SHF_WRITE | SHF_EXEC | SHF_TLS)) {
        (SHT_PROGBITS, SHF_EXEC) => Ok(Some(Kind::Code)),
        (SHT_PROGBITS, 0) => Ok(Some(Kind::Constants)),
        (SHT_PROGBITS, SHF_WRITE) if name.starts_with(".data.rel.ro") => Ok(Some(Kind::Table)),
        _ => Err(format!("a section `{name}` that kernels do not have")),
    }
}
