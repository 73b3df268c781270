//! Arrays in numpy's files: `.npz` archives and single `.npy`. The format is numpy's (the documentation of its `lib.format`): a
//! magic, a header that is a Python dictionary literal, and the elements.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use beiming_runtime::{DType, TensorView};

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};

/// An array.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// Name inside the archive; empty for a single file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<i64>,
    /// Elements, row-major, little-endian.
    pub bytes: Vec<u8>,
}

/// numpy's names of element types. bfloat16 has none: it travels as two raw bytes, as do the 8-bit floats as one.
const TYPES: [(&str, DType); 15] = [
    ("<f8", DType::F64),
    ("<f4", DType::F32),
    ("<f2", DType::F16),
    ("|V2", DType::BF16),
    ("<i8", DType::I64),
    ("<i4", DType::I32),
    ("<i2", DType::I16),
    ("|i1", DType::I8),
    ("<u8", DType::U64),
    ("<u4", DType::U32),
    ("<u2", DType::U16),
    ("|u1", DType::U8),
    ("|b1", DType::Bool),
    ("<c8", DType::C64),
    ("<c16", DType::C128),
];

/// Largest header taken seriously.
const MAX_HEADER: usize = 1 << 16;

impl Array {
    /// The array as the runtime takes it.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: &self.shape, data: &self.bytes }
    }

    /// Takes the bytes for elements of `dtype` where numpy has no name of its own for that type: bytes for the types of 8 bits
    /// and fewer, 16-bit integers for bfloat16.
    pub fn read_as(&mut self, dtype: DType) {
        let raw = matches!(self.dtype, DType::U8 | DType::I8 | DType::U16 | DType::BF16) && self.dtype.size() == dtype.size();
        if raw && numpy_name(dtype).is_none_or(|n| n.starts_with("|V")) {
            self.dtype = dtype;
        }
    }
}

fn numpy_name(dtype: DType) -> Option<&'static str> {
    TYPES.iter().find(|t| t.1 == dtype).map(|t| t.0)
}

/// Reads all arrays of a `.npz`, or the one of a `.npy`.
pub fn read(path: &Path) -> Result<Vec<Array>> {
    let bad = |what: String| {
        let d = Diagnostic::error("E0805", what).in_file(path);
        Failure::new(Exit::Usage, d.help("numpy.savez(file, name=array, ..) makes such a file"))
    };
    let file = BufReader::new(File::open(path).map_err(|e| Failure::io("open", path, &e))?);
    if path.extension().is_some_and(|e| e == "npy") {
        return Ok(vec![array(String::new(), file).map_err(bad)?]);
    }
    let mut zip = zip::ZipArchive::new(file).map_err(|e| bad(format!("not an .npz archive: {e}")))?;
    let mut out = vec![];
    for i in 0..zip.len() {
        let entry = zip.by_index(i).map_err(|e| bad(format!("entry {i}: {e}")))?;
        let name = entry.name().strip_suffix(".npy").unwrap_or(entry.name()).to_string();
        out.push(array(name.clone(), entry).map_err(|e| bad(format!("array `{name}`: {e}")))?);
    }
    Ok(out)
}

fn array(name: String, mut from: impl Read) -> std::result::Result<Array, String> {
    let short = |e: io::Error| format!("cut off: {e}");
    let mut head = [0; 8];
    from.read_exact(&mut head).map_err(short)?;
    if head[..6] != *b"\x93NUMPY" {
        return Err("not an array of numpy".into());
    }
    // Version 1 has a length of two bytes, later ones of four.
    let mut length = [0; 4];
    from.read_exact(&mut length[..if head[6] >= 2 { 4 } else { 2 }]).map_err(short)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes"));
    }
    let mut header = vec![0; length];
    from.read_exact(&mut header).map_err(short)?;
    let header = String::from_utf8(header).map_err(|_| "a header that is no text")?;
    let field = |key: &str| {
        let rest = header.split_once(&format!("'{key}'")).and_then(|x| x.1.split_once(':'));
        rest.map(|x| x.1.trim_start()).ok_or(format!("no `{key}` in the header"))
    };
    let dtype = element_type(field("descr")?)?;
    if field("fortran_order")?.starts_with("True") {
        return Err("stored in Fortran order; save it with numpy.ascontiguousarray".into());
    }
    let shape = field("shape")?.trim_start_matches('(').split(')').next().unwrap_or_default();
    let extents = shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse);
    let shape: Vec<i64> = extents.collect::<std::result::Result<_, _>>().map_err(|_| format!("a bad shape ({shape})"))?;
    let count = shape.iter().try_fold(dtype.size() as u64, |a, d| a.checked_mul(u64::try_from(*d).ok()?));
    let count = count.ok_or("a shape that is too large")?;
    let mut bytes = vec![];
    from.take(count).read_to_end(&mut bytes).map_err(short)?;
    if bytes.len() as u64 != count {
        return Err(format!("{} bytes of elements where the shape needs {count}", bytes.len()));
    }
    Ok(Array { name, dtype, shape, bytes })
}

fn element_type(descr: &str) -> std::result::Result<DType, String> {
    let name = descr.trim_start_matches('\'').split('\'').next().unwrap_or_default();
    // The byte order says nothing about a byte.
    let plain = name.trim_start_matches(['<', '=', '|']);
    if plain == "V1" {
        return Ok(DType::U8);
    }
    let found = TYPES.iter().find(|t| t.0[1..] == *plain && !name.starts_with('>'));
    found.map(|t| t.1).ok_or(format!("elements of type `{name}` are not taken"))
}

/// Writes arrays to a `.npz` that numpy reads. The same arrays give the same bytes.
pub fn write(path: &Path, arrays: &[(&str, TensorView<'_>)]) -> Result<()> {
    let fail = |e: io::Error| Failure::io("write", path, &e);
    let mut zip = zip::ZipWriter::new(BufWriter::new(File::create(path).map_err(fail)?));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(true);
    for (name, t) in arrays {
        zip.start_file(format!("{name}.npy"), options).map_err(|e| fail(e.into()))?;
        zip.write_all(&header(t)).and_then(|()| zip.write_all(t.data)).map_err(fail)?;
    }
    zip.finish().map_err(io::Error::from).and_then(|mut w| w.flush()).map_err(fail)
}

/// Magic, version 1.0 and the dictionary, padded to 64 bytes.
fn header(t: &TensorView<'_>) -> Vec<u8> {
    let descr = numpy_name(t.dtype).map_or_else(|| format!("|V{}", t.dtype.size()), str::to_string);
    let extents: Vec<String> = t.shape.iter().map(i64::to_string).collect();
    let comma = if extents.len() == 1 { "," } else { "" };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", extents.join(", "));
    // Ten bytes before it and a line break after.
    text.push_str(&" ".repeat(63 - (text.len() + 10) % 64));
    text.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.npz");
        let arrays: Vec<Array> =
            [(DType::F32, vec![2, 3]), (DType::Bool, vec![]), (DType::I64, vec![4]), (DType::F16, vec![0, 2])]
                .into_iter()
                .enumerate()
                .map(|(i, (dtype, shape))| {
                    let n = shape.iter().product::<i64>() as usize * dtype.size();
                    Array { name: format!("x{i}"), dtype, shape, bytes: (0..n as u8).collect() }
                })
                .collect();
        let views: Vec<(&str, TensorView<'_>)> = arrays.iter().map(|a| (a.name.as_str(), a.view())).collect();
        write(&path, &views).expect("written");
        assert_eq!(read(&path).expect("read"), arrays);
        let once = std::fs::read(&path).expect("bytes");
        write(&path, &views).expect("written");
        assert_eq!(std::fs::read(&path).expect("bytes"), once);
    }

    #[test]
    fn types_without_a_name_of_numpy_are_read_from_raw_bytes() {
        let mut a = Array { name: String::new(), dtype: DType::U8, shape: vec![2], bytes: vec![1, 2] };
        a.read_as(DType::F32);
        assert_eq!(a.dtype, DType::U8);
        a.read_as(DType::F8E4M3FN);
        assert_eq!(a.dtype, DType::F8E4M3FN);
        let mut b = Array { name: String::new(), dtype: DType::U16, shape: vec![1], bytes: vec![1, 2] };
        b.read_as(DType::BF16);
        assert_eq!(b.dtype, DType::BF16);
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = {
            let mut b = header(&TensorView { dtype: DType::F32, shape: &[2], data: &[] });
            b.extend([0; 8]);
            b
        };
        assert!(array(String::new(), &good[..]).is_ok());
        for (at, what, says) in [
            (0, &b"x"[..], "not an array"),
            (good.len() - 1, &b""[..], "7 bytes of elements"),
            (8, &b"\xff\xff"[..], "cut off"),
            (21, &b">f4"[..], "not taken"),
            (21, &b"|O8"[..], "not taken"),
        ] {
            let mut b = good.clone();
            if what.is_empty() {
                b.truncate(at)
            } else {
                b[at..at + what.len()].copy_from_slice(what)
            }
            let e = array(String::new(), &b[..]).expect_err(says);
            assert!(e.contains(says), "{e}");
        }
    }
}
