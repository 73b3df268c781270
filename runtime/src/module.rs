//! An opened artifact: checked, its code loaded, ready for sessions.

use std::path::Path;
use std::sync::Arc;

use crate::code::Code;
use crate::cpu;
use crate::error::{Error, Result};
use crate::format::container::{Artifact, CODE, WEIGHTS};
use crate::format::{DType, Manifest};
use crate::program::{Port, Program};

/// A model, opened. It does not change and may be used by many threads; each thread that runs it has a
/// [`Session`](crate::Session) of its own.
pub struct Module {
    artifact: Arc<Artifact>,
    manifest: Manifest,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    pub(crate) program: Program,
    pub(crate) code: Code,
}

/// An input or output as the caller sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortInfo {
    /// Name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents as expressions over the model's symbols.
    pub dims: Vec<String>,
    /// Extents, `None` where they depend on a symbol.
    pub shape: Vec<Option<i64>>,
}

impl Module {
    /// Opens an artifact file. Every section is checked against its hash before anything of it is used; the code is loaded
    /// only where this machine has what it needs.
    ///
    /// An artifact holds machine code: open only what you would run as a program. The file must not be changed while the module
    /// is open (replace it by renaming another over it).
    pub fn open(path: &Path) -> Result<Module> {
        Module::new(Artifact::open(path)?)
    }

    /// Opens an artifact from memory; the bytes are copied. See [`Module::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Module> {
        Module::new(Artifact::from_bytes(bytes)?)
    }

    /// Loads a checked artifact, which others may keep to look into.
    pub fn new(artifact: impl Into<Arc<Artifact>>) -> Result<Module> {
        let artifact = artifact.into();
        let manifest = artifact.manifest()?;
        let weights = artifact.section(WEIGHTS).unwrap_or_default();
        let program = Program::new(&manifest, weights.len() as u64)?;
        let count = program.on_device.iter().filter(|d| !**d).count();
        let code = if count == 0 && manifest.device.is_some() {
            Code::none()
        } else {
            let elf = artifact.required(CODE)?;
            cpu::check(&manifest.target, elf)?;
            // SAFETY: that the artifact is trusted as a program is required of whoever opens it; the machine has been checked.
            unsafe { Code::load(elf, count) }?
        };
        let info = |p: &Port| {
            let s = &program.slots[p.slot as usize];
            PortInfo {
                name: p.name.clone(),
                dtype: s.dtype,
                dims: s.shape.iter().map(|&d| program.dims.text(d).to_string()).collect(),
                shape: s.shape.iter().map(|&d| program.dims.known(d)).collect(),
            }
        };
        let (inputs, outputs) = (program.inputs.iter().map(info).collect(), program.outputs.iter().map(info).collect());
        Ok(Module { inputs, outputs, program, code, manifest, artifact })
    }

    /// Inputs, in order.
    pub fn inputs(&self) -> &[PortInfo] {
        &self.inputs
    }

    /// Outputs, in order.
    pub fn outputs(&self) -> &[PortInfo] {
        &self.outputs
    }

    /// What the artifact says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The artifact: its sections, with sizes and hashes.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// First byte of a weight; [`Program::new`] has checked that the weight lies in the section.
    pub(crate) fn weight(&self, i: u32) -> *const u8 {
        let section = self.artifact.section(WEIGHTS).unwrap_or_default();
        section.as_ptr().wrapping_add(self.program.weights[i as usize].0 as usize)
    }

    /// The place of an output by name, for callers that want only some.
    pub fn output(&self, name: &str) -> Result<usize> {
        self.outputs
            .iter()
            .position(|p| p.name == name)
            .ok_or_else(|| Error::output(name, "the model has no output of this name"))
    }
}
