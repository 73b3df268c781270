//! Files in memory without copies, and weights out of them.

use std::collections::BTreeMap;
use std::path::Path;

use beiming_ir::tensor::{self, Data, Tensor};
use beiming_ir::types::DType;
use bytes::Bytes;
use serde_json::Value;

use super::{Code, ImportError, ModelError};

/// Lets a tensor hold a window of mapped memory.
pub struct Shared(pub Bytes);

impl tensor::Bytes for Shared {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Mapped memory as the owner of tensors.
pub fn data(bytes: Bytes) -> Data {
    Data::new(std::sync::Arc::new(Shared(bytes)))
}

/// Maps a regular file.
pub fn file(path: &Path) -> Result<Bytes, ImportError> {
    let io = |source| ImportError::Io { path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return Err(io(std::io::Error::other("not a regular file")));
    }
    super::onnx::map(&file).map_err(io)
}

/// Largest header of a safetensors file taken seriously: what the format's own reader allows.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file, as windows of the mapped file.
///
/// # Errors
/// The file cannot be read, or is malformed.
pub fn safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>, ImportError> {
    tensors(file(path)?).map_err(|e| ModelError::new(Code::TensorSize, format!("{}: {e}", path.display())).into())
}

/// The tensors of a safetensors file: 8 bytes of length, a JSON object of names with `dtype`, `shape` and
/// `data_offsets`, and the bytes.
///
/// # Errors
/// What is wrong with the file.
fn tensors(bytes: Bytes) -> Result<BTreeMap<String, Tensor>, String> {
    let data = data(bytes);
    let all = data.as_bytes();
    let head = all.first_chunk::<8>().ok_or("the file is cut off")?;
    let length = u64::from_le_bytes(*head);
    let text = usize::try_from(length).ok().filter(|_| length <= MAX_HEADER).and_then(|n| all.get(8..8 + n));
    let text = text.ok_or("its header is cut off, or this is no safetensors file")?;
    let base = 8 + text.len();
    let Ok(Value::Object(entries)) = serde_json::from_slice(text) else { return Err("its header is no JSON object".into()) };
    let mut out = BTreeMap::new();
    for (name, entry) in entries {
        if name == "__metadata__" {
            continue;
        }
        let t = window(&data, base, &entry).ok_or_else(|| format!("tensor `{name}` is malformed: {entry}"))?;
        out.insert(name, t);
    }
    Ok(out)
}

fn window(data: &Data, base: usize, entry: &Value) -> Option<Tensor> {
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let shape: Vec<usize> = entry.get("shape")?.as_array()?.iter().map(number).collect::<Option<_>>()?;
    let [from, to] = entry.get("data_offsets")?.as_array()?.as_slice() else { return None };
    let (from, to) = (number(from)?, number(to)?);
    let dtype = match entry.get("dtype")?.as_str()? {
        "BOOL" => DType::Bool,
        "F8_E4M3" => DType::F8E4M3FN,
        "F8_E5M2" => DType::F8E5M2,
        "F8_E8M0" => DType::F8E8M0,
        other => other.to_ascii_lowercase().parse().ok()?,
    };
    Tensor::new(dtype, shape, data.slice(base.checked_add(from)?, to.checked_sub(from)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(header: &str, body: &[u8]) -> Bytes {
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body);
        out.into()
    }

    #[test]
    fn tensors_are_windows_of_the_file() {
        let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}"#;
        let body = [1f32.to_le_bytes().as_slice(), &2f32.to_le_bytes(), &[0x80, 0x3f]].concat();
        let all = tensors(made(header, &body)).unwrap();
        assert_eq!(all["w"].to_f64(), [1.0, 2.0]);
        assert_eq!((all["b"].dtype, all["b"].to_f64()), (DType::BF16, vec![1.0]));
    }

    #[test]
    fn damaged_files_are_refused() {
        let entry = |e: &str| made(&format!(r#"{{"w":{e}}}"#), &[0; 8]);
        for bytes in [
            Bytes::new(),
            Bytes::from_static(&[255; 8]),
            made("[]", &[]),
            entry(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#),
            entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#),
            entry(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,16]}"#),
            entry(r#"{"dtype":"F31","shape":[2],"data_offsets":[0,8]}"#),
            entry(r#"{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}"#),
        ] {
            assert!(tensors(bytes).is_err());
        }
    }
}
