//! Writing a cut to files: the ops as ONNX where the model was ONNX, as the IR's text otherwise, and the values they take.

use std::path::{Path, PathBuf};

use beiming_ir::plan::Subnormals;
use beiming_ir::text::Constants;
use prost::Message;

use super::{Cut, DebugError, reference};
use crate::stage;

/// Writes `stem.onnx` or `stem.txt`, and `stem.npz`. The name of the model's file, and of its inputs'.
///
/// # Errors
/// [`DebugError::Io`].
pub fn save(cut: &Cut, stem: &Path) -> Result<(PathBuf, PathBuf), DebugError> {
    let with = |ext: &str| {
        let mut name = stem.as_os_str().to_os_string();
        name.push(ext);
        PathBuf::from(name)
    };
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).map_err(|e| DebugError::io("write", path, &e));
    let model = match &cut.onnx {
        Some(m) => {
            let path = with(".onnx");
            write(&path, &m.encode_to_vec())?;
            path
        }
        None => {
            let path = with(".txt");
            let mut side = vec![];
            let name = stem.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let text = stage::graph_text(&name, Subnormals::default(), &cut.graph, Constants::External(&mut side));
            write(&path, text.as_bytes())?;
            let beside = stage::weights_of(&path);
            if side.is_empty() {
                // Of an earlier cut of the same name.
                let _ = std::fs::remove_file(&beside);
            } else {
                write(&beside, &side)?;
            }
            path
        }
    };
    let inputs = with(".npz");
    reference::save_arrays(&inputs, &cut.inputs)?;
    Ok((model, inputs))
}
