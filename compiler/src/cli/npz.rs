//! Arrays in numpy's files: `.npz` archives and single `.npy`. The format is numpy's (its `lib/format` documentation): a magic,
//! a header that is a Python dictionary literal, and the elements.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use beiming_runtime::{DType, Tensor, TensorView};

/// An array read from a file.
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

/// numpy's names of element types. bfloat16 and the small types have none: they travel as raw 2- and 1-byte voids.
const TYPES: [(&str, DType); 14] = [
    ("<f8", DType::F64),
    ("<f4", DType::F32),
    ("<f2", DType::F16),
    ("<V2", DType::BF16),
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
];

/// Largest header taken seriously.
const MAX_HEADER: usize = 1 << 16;

impl Array {
    /// The array as the runtime takes it.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: &self.shape, data: &self.bytes }
    }
}

/// Reads all arrays of a `.npz`, or the one of a `.npy`.
pub fn read(path: &Path) -> Result<Vec<Array>> {
    let file = BufReader::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?);
    if path.extension().is_some_and(|e| e == "npy") {
        return Ok(vec![array(String::new(), file).with_context(|| path.display().to_string())?]);
    }
    let mut zip = zip::ZipArchive::new(file).with_context(|| format!("{} is no .npz archive", path.display()))?;
    let mut out = vec![];
    for i in 0..zip.len() {
        let entry = zip.by_index(i)?;
        let name = entry.name().strip_suffix(".npy").unwrap_or(entry.name()).to_string();
        out.push(array(name.clone(), entry).with_context(|| format!("array `{name}` of {}", path.display()))?);
    }
    Ok(out)
}

fn array(name: String, mut from: impl Read) -> Result<Array> {
    let mut head = [0; 8];
    from.read_exact(&mut head)?;
    if head[..6] != *b"\x93NUMPY" {
        bail!("not an array of numpy");
    }
    let mut length = [0; 4];
    let wide = head[6] >= 2;
    from.read_exact(&mut length[..if wide { 4 } else { 2 }])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        bail!("a header of {length} bytes");
    }
    let mut header = vec![0; length];
    from.read_exact(&mut header)?;
    let header = String::from_utf8(header).context("a header that is no text")?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}'")).with_context(|| format!("no `{key}` in the header"))?;
        header[at..].split_once(':').map(|x| x.1.trim_start()).context("a header cut short")
    };
    let descr = field("descr")?.trim_start_matches('\'').split('\'').next().unwrap_or_default();
    let dtype =
        TYPES.iter().find(|t| t.0 == descr || t.0[1..] == *descr.trim_start_matches(['=', '|', '<']) && !descr.starts_with('>'));
    let dtype = dtype.with_context(|| format!("elements of type `{descr}` are not taken"))?.1;
    if field("fortran_order")?.starts_with("True") {
        bail!("stored in Fortran order; save it with numpy.ascontiguousarray");
    }
    let shape = field("shape")?.trim_start_matches('(').split(')').next().unwrap_or_default();
    let shape: Vec<i64> = shape
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("a bad shape")?;
    let count = shape.iter().try_fold(dtype.size() as i64, |a, d| if *d < 0 { None } else { a.checked_mul(*d) });
    let count = count.context("a shape that is too large")?;
    let mut bytes = vec![];
    from.take(count as u64).read_to_end(&mut bytes)?;
    if bytes.len() as i64 != count {
        bail!("{} bytes of elements where the shape needs {count}", bytes.len());
    }
    Ok(Array { name, dtype, shape, bytes })
}

/// Writes arrays to a `.npz` that numpy reads.
pub fn write(path: &Path, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut zip = zip::ZipWriter::new(BufWriter::new(file));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(true);
    for (name, t) in arrays {
        let descr =
            TYPES.iter().find(|x| x.1 == t.dtype()).map_or_else(|| format!("|V{}", t.dtype().size()), |x| x.0.to_string());
        let mut shape: String = t.shape().iter().map(|d| format!("{d}, ")).collect();
        if t.shape().len() != 1 {
            shape = shape.trim_end_matches(", ").to_string();
        }
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
        header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
        header.push('\n');
        zip.start_file(format!("{name}.npy"), options)?;
        zip.write_all(b"\x93NUMPY\x01\x00")?;
        zip.write_all(&(header.len() as u16).to_le_bytes())?;
        zip.write_all(header.as_bytes())?;
        zip.write_all(t.bytes())?;
    }
    zip.finish()?.flush()?;
    Ok(())
}
