//! The file: a header page, then sections, each with its BLAKE3 hash. Nothing of a file is used before all of it is checked.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::hash;
use crate::arena::AlignedBytes;
use crate::error::{Error, Result};

/// First bytes of an artifact.
pub const MAGIC: [u8; 8] = *b"BEIMING\0";
/// Version of the format: of the header, the manifest's schema and the kernels' calling convention together.
pub const VERSION: u32 = 1;
/// Bytes of the header with its table; also the alignment of the weights, so that they can be mapped.
pub const PAGE: u64 = 4096;
/// Bytes of the fixed part of the header, and of an entry of the table.
const ENTRY: usize = 64;
/// Sections that the table has room for.
pub const MAX_SECTIONS: usize = PAGE as usize / ENTRY - 1;
/// Alignment of a section other than the weights.
const SECTION_ALIGN: u64 = 64;
/// Where the header's own hash stands.
const HEADER_HASH: std::ops::Range<usize> = 32..64;

/// Name of the section that describes the model.
pub const MANIFEST: &str = "manifest";
/// Name of the section of constants.
pub const WEIGHTS: &str = "weights";
/// Name of the section that holds the code: an ELF shared library.
pub const CODE: &str = "code";

/// A section of an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its name: at most 16 bytes of `a-z0-9_-`.
    pub name: String,
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// BLAKE3.
    pub hash: [u8; 32],
}

/// Writes an artifact, section by section, each once and in one pass.
pub struct Writer<W: Write + Seek> {
    out: W,
    at: u64,
    sections: Vec<Section>,
}

/// The section being written. Its bytes go to the file and the hash at once, so a section may be larger than memory.
pub struct SectionWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    length: u64,
}

impl SectionWriter<'_> {
    /// Bytes written so far: the offset of the next byte within the section.
    pub fn position(&self) -> u64 {
        self.length
    }

    /// Writes zeros up to the next multiple of `to` and returns the position.
    pub fn align(&mut self, to: u64) -> io::Result<u64> {
        const ZEROS: [u8; 256] = [0; 256];
        let mut gap = self.length.next_multiple_of(to) - self.length;
        while gap > 0 {
            let n = gap.min(ZEROS.len() as u64);
            self.write_all(&ZEROS[..n as usize])?;
            gap -= n;
        }
        Ok(self.length)
    }
}

impl Write for SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Starts an artifact at the beginning of `out`.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        out.write_all(&[0; PAGE as usize])?;
        Ok(Writer { out, at: PAGE, sections: vec![] })
    }

    /// Writes a section: `fill` writes its bytes. The weights start on a page.
    pub fn section<T>(&mut self, name: &str, fill: impl FnOnce(&mut SectionWriter<'_>) -> io::Result<T>) -> io::Result<T> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if !valid_name(name) {
            return invalid(format!("`{name}` is no name for a section"));
        }
        if self.sections.iter().any(|s| s.name == name) {
            return invalid(format!("section `{name}` is written twice"));
        }
        if self.sections.len() == MAX_SECTIONS {
            return invalid(format!("more than {MAX_SECTIONS} sections"));
        }
        let offset = self.at.next_multiple_of(alignment(name));
        self.out.write_all(&vec![0; (offset - self.at) as usize])?;
        let mut w = SectionWriter { out: &mut self.out, hasher: blake3::Hasher::new(), length: 0 };
        let result = fill(&mut w)?;
        let (length, hash) = (w.length, *w.hasher.finalize().as_bytes());
        self.at = offset + length;
        self.sections.push(Section { name: name.into(), offset, length, hash });
        Ok(result)
    }

    /// Writes the header and gives the stream back.
    pub fn finish(mut self) -> io::Result<W> {
        let mut head = vec![0; PAGE as usize];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[12..16].copy_from_slice(&(self.sections.len() as u32).to_le_bytes());
        head[16..24].copy_from_slice(&self.at.to_le_bytes());
        for (s, e) in self.sections.iter().zip(head[ENTRY..].chunks_exact_mut(ENTRY)) {
            e[..s.name.len()].copy_from_slice(s.name.as_bytes());
            e[16..24].copy_from_slice(&s.offset.to_le_bytes());
            e[24..32].copy_from_slice(&s.length.to_le_bytes());
            e[32..].copy_from_slice(&s.hash);
        }
        let hash = blake3::hash(&head);
        head[HEADER_HASH].copy_from_slice(hash.as_bytes());
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&head)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Writes an artifact to `path`: `fill` writes the sections. The file appears under its name only when it is whole.
pub fn write_file<T, E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut Writer<BufWriter<File>>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = Partial(Some(path.with_file_name(name)));
    let target = partial.0.as_deref().unwrap_or(path);
    let file = File::create(target).map_err(io)?;
    let mut w = Writer::new(BufWriter::with_capacity(1 << 18, file)).map_err(io)?;
    let result = fill(&mut w)?;
    w.finish().map_err(io)?;
    std::fs::rename(target, path).map_err(io)?;
    partial.done();
    Ok(result)
}

/// A file to remove unless it is done.
struct Partial(Option<PathBuf>);

impl Partial {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(p) = &self.0 {
            // Nothing more can be done about a file that cannot be removed; the first error is the one to report.
            let _ = std::fs::remove_file(p);
        }
    }
}

fn valid_name(name: &str) -> bool {
    (1..=16).contains(&name.len()) && name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn alignment(name: &str) -> u64 {
    if name == WEIGHTS { PAGE } else { SECTION_ALIGN }
}

/// Bytes of an artifact in memory.
enum Storage {
    Mapped(memmap2::Mmap),
    Owned(AlignedBytes),
}

impl std::ops::Deref for Storage {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Storage::Mapped(m) => m,
            Storage::Owned(b) => b,
        }
    }
}

/// An artifact whose every byte has been checked against its hashes.
pub struct Artifact {
    bytes: Storage,
    sections: Vec<Section>,
}

impl Artifact {
    /// Maps the file and checks it. The file must not be changed while the artifact is in use: replace it by renaming another
    /// over it.
    pub fn open(path: &Path) -> Result<Artifact> {
        let io = |source| Error::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(Error::NotAnArtifact(format!("{} is not a regular file", path.display())));
        }
        if meta.len() == 0 {
            return Err(Error::NotAnArtifact("the file is empty".into()));
        }
        // SAFETY: the map is read only. That nobody writes to the file meanwhile is required of the caller above; no check
        // here can replace that, and the maps of libraries that every process makes require the same.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Artifact::check(Storage::Mapped(map))
    }

    /// Copies the bytes to aligned memory and checks them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Artifact> {
        if bytes.is_empty() {
            return Err(Error::NotAnArtifact("no bytes".into()));
        }
        let mut copy = AlignedBytes::zeroed(bytes.len(), "the artifact")?;
        copy.copy_from_slice(bytes);
        Artifact::check(Storage::Owned(copy))
    }

    fn check(bytes: Storage) -> Result<Artifact> {
        let sections = read_header(&bytes)?;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(16));
        for s in &sections {
            if *hash::blake3(slice(&bytes, s), threads).as_bytes() != s.hash {
                return Err(Error::Altered(format!("the bytes of section `{}` do not have the hash that was written", s.name)));
            }
        }
        Ok(Artifact { bytes, sections })
    }

    /// All of it, as it lies in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sections in file order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Bytes of a section, or `None` if there is none of this name.
    pub fn section(&self, name: &str) -> Option<&[u8]> {
        self.sections.iter().find(|s| s.name == name).map(|s| slice(&self.bytes, s))
    }

    /// Bytes of a section that every artifact has.
    pub fn required(&self, name: &str) -> Result<&[u8]> {
        self.section(name).ok_or_else(|| Error::Inconsistent(format!("there is no section `{name}`")))
    }

    /// The manifest.
    pub fn manifest(&self) -> Result<super::Manifest> {
        super::Manifest::from_bytes(self.required(MANIFEST)?).map_err(|e| Error::Inconsistent(format!("manifest: {e}")))
    }
}

/// A section's bytes; `read_header` has checked that they are there.
fn slice<'a>(bytes: &'a [u8], s: &Section) -> &'a [u8] {
    &bytes[s.offset as usize..(s.offset + s.length) as usize]
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    let mut w = [0; 8];
    w.copy_from_slice(&b[at..at + 8]);
    u64::from_le_bytes(w)
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    (u64_at(b, at) & 0xffff_ffff) as u32
}

/// Checks everything but the sections' hashes.
fn read_header(bytes: &[u8]) -> Result<Vec<Section>> {
    let found = bytes.len() as u64;
    let n = bytes.len().min(MAGIC.len());
    if bytes[..n] != MAGIC[..n] {
        return Err(Error::NotAnArtifact("the first bytes are not `BEIMING`".into()));
    }
    let truncated = |expected| Err(Error::Truncated { found, expected });
    if bytes.len() < 16 {
        return truncated(PAGE);
    }
    // The version comes before all else: another version's header may look different.
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(Error::Version { found: version, supported: VERSION });
    }
    if found < PAGE {
        return truncated(PAGE);
    }
    let mut head = bytes[..PAGE as usize].to_vec();
    head[HEADER_HASH].fill(0);
    if blake3::hash(&head).as_bytes()[..] != bytes[HEADER_HASH] {
        return Err(Error::Altered("the header does not have the hash that was written".into()));
    }
    let length = u64_at(bytes, 16);
    if found < length {
        return truncated(length);
    }
    if found > length {
        return Err(Error::Altered(format!("{} bytes after the end", found - length)));
    }
    // From here on the header is what a writer wrote; a fault is the writer's.
    let bad = |what: String| Err(Error::Inconsistent(what));
    let count = u32_at(bytes, 12) as usize;
    if count > MAX_SECTIONS {
        return bad(format!("{count} sections; the table has room for {MAX_SECTIONS}"));
    }
    let mut at = PAGE;
    let mut sections: Vec<Section> = Vec::with_capacity(count);
    for e in head[ENTRY..].chunks_exact(ENTRY).take(count) {
        let name_len = e[..16].iter().position(|&b| b == 0).unwrap_or(16);
        let name = String::from_utf8_lossy(&e[..name_len]).into_owned();
        if !valid_name(&name) || e[name_len..16].iter().any(|&b| b != 0) || sections.iter().any(|s| s.name == name) {
            return bad(format!("the section name `{name}` is invalid or repeated"));
        }
        let (offset, len) = (u64_at(e, 16), u64_at(e, 24));
        let end = offset.checked_add(len).filter(|&end| end <= length);
        let Some(end) = end.filter(|_| offset == at.next_multiple_of(alignment(&name))) else {
            return bad(format!("section `{name}` lies outside the file or out of order"));
        };
        // No byte of the file is unchecked: the gaps hold zeros.
        if bytes[at as usize..offset as usize].iter().any(|&b| b != 0) {
            return Err(Error::Altered(format!("bytes between sections, before `{name}`")));
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(&e[32..]);
        sections.push(Section { name, offset, length: len, hash });
        at = end;
    }
    if at != length {
        return bad("bytes after the last section".into());
    }
    Ok(sections)
}
