//! Texts as they stand in the page: JSON, deflated, in base 64.

use std::io::{Cursor, Read, Write};

use serde_json::Value;

use crate::debug::DebugError;

/// Packs a document.
///
/// # Errors
/// Those of writing in memory.
pub fn pack(doc: &Value) -> Result<String, DebugError> {
    Ok(base64(&deflate(doc.to_string().as_bytes())?))
}

/// The raw deflate stream, taken out of an archive of one file.
fn deflate(bytes: &[u8]) -> Result<Vec<u8>, DebugError> {
    let fail = |e: zip::result::ZipError| DebugError::Io(format!("cannot pack: {e}"));
    let io = |e: std::io::Error| DebugError::Io(format!("cannot pack: {e}"));
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    zip.start_file("x", options).map_err(fail)?;
    zip.write_all(bytes).map_err(io)?;
    let mut archive = zip::ZipArchive::new(zip.finish().map_err(fail)?).map_err(fail)?;
    let mut out = vec![];
    archive.by_index_raw(0).map_err(fail)?.read_to_end(&mut out).map_err(io)?;
    Ok(out)
}

/// Base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for c in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, k| w << 8 | u32::from(c.get(k).copied().unwrap_or(0)));
        for k in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * k) & 63) as usize] as char;
            out.push(if k <= c.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_s() {
        for (plain, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), want);
        }
    }
}
