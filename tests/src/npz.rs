//! numpy's `.npz` files: read and written without the command line's own code, so that each checks the other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;

use crate::Named;

/// numpy's names for the element types that tests exchange.
const TYPES: [(&str, DType); 10] = [
    ("<f8", DType::F64),
    ("<f4", DType::F32),
    ("<f2", DType::F16),
    ("<i8", DType::I64),
    ("<i4", DType::I32),
    ("<u4", DType::U32),
    ("|i1", DType::I8),
    ("|u1", DType::U8),
    ("<u2", DType::U16),
    ("|b1", DType::Bool),
];

/// Writes named tensors.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> io::Result<()> {
    let mut zip = zip::ZipWriter::new(File::create(path)?);
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, t) in tensors {
        let numpy = TYPES.iter().find(|x| x.1 == t.dtype).ok_or_else(|| bad(name, format!("numpy has no {}", t.dtype)))?.0;
        let extents: String = t.shape.iter().map(|d| format!("{d},")).collect();
        let mut header = format!("{{'descr': '{numpy}', 'fortran_order': False, 'shape': ({extents}), }}");
        header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
        header.push('\n');
        zip.start_file(format!("{name}.npy"), stored)?;
        zip.write_all(b"\x93NUMPY\x01\x00")?;
        zip.write_all(&(header.len() as u16).to_le_bytes())?;
        zip.write_all(header.as_bytes())?;
        zip.write_all(t.bytes())?;
    }
    zip.finish().map(drop).map_err(io::Error::from)
}

/// Reads all arrays, in the order of the file.
pub fn read(path: &Path) -> io::Result<Named> {
    let mut zip = zip::ZipArchive::new(File::open(path)?)?;
    let mut out = vec![];
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i)?;
        let name = entry.name().trim_end_matches(".npy").to_string();
        let mut bytes = vec![];
        entry.read_to_end(&mut bytes)?;
        let t = array(&bytes).ok_or_else(|| bad(&name, "is no array that tests exchange".into()))?;
        out.push((name, t));
    }
    Ok(out)
}

fn array(bytes: &[u8]) -> Option<Tensor> {
    let length = u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]) as usize;
    let header = std::str::from_utf8(bytes.get(10..10 + length)?).ok()?;
    let dtype = TYPES.iter().find(|t| header.contains(&format!("'{}'", t.0)))?.1;
    let shape = header.split_once("'shape': (")?.1.split_once(')')?.0;
    let shape: Vec<usize> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse).collect::<Result<_, _>>().ok()?;
    Tensor::new(dtype, shape, bytes[10 + length..].to_vec().into())
}

fn bad(name: &str, what: String) -> io::Error {
    io::Error::other(format!("array `{name}` {what}"))
}
