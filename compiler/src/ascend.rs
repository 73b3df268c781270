//! What a program for an NPU has besides its machine code: the kernels' text, for the artifact and for the project.

use std::path::Path;

use beiming_ascend::emit::{self, EmitError};
use beiming_ascend::project::{self, Project};
use beiming_cpu::Code;
use beiming_ir::kernel::Unit;
use beiming_ir::plan::{Program, Side, Step};
use beiming_ir::target::Family;
use beiming_ir::target::npu::Npu;
use beiming_runtime::format::manifest;

use crate::driver::CompileError;
use crate::explanation::Explanation;

/// See the module's text.
pub struct Ascend {
    npu: Npu,
    /// By kernel; `None` for those of the CPU.
    pub sources: Vec<Option<String>>,
}

impl Ascend {
    /// Spells a program's kernels; `None` where the target is no NPU.
    ///
    /// # Errors
    /// Kernels that have no spelling: our fault.
    pub fn new(program: &Program) -> Result<Option<Ascend>, EmitError> {
        let (Family::Ascend, Some(npu)) = (program.target.family, Npu::by_name(&program.target.name)) else { return Ok(None) };
        let spell = |k: &beiming_ir::kernel::Kernel| match k.side() {
            Side::Device => emit::kernel(k, &npu).map(Some),
            Side::Host => Ok(None),
        };
        let sources = program.kernels.iter().map(spell).collect::<Result<_, _>>()?;
        Ok(Some(Ascend { npu, sources }))
    }

    /// The device in the manifest's words.
    pub fn describe(&self) -> manifest::Device {
        manifest::Device { target: self.npu.name.into(), soc: self.npu.soc.into(), arch: project::arch(&self.npu).into() }
    }

    /// Where each kernel's source lies in the section of sources.
    pub fn kernels(&self, program: &Program) -> Vec<Option<manifest::DeviceKernel>> {
        let mut offset = 0;
        let place = |(k, source): (&beiming_ir::kernel::Kernel, &Option<String>)| {
            let source = source.as_ref()?;
            let unit = match k.npu.as_ref().map(|n| n.unit) {
                Some(Unit::Cube) => manifest::Unit::Cube,
                Some(Unit::Mix) => manifest::Unit::Mix,
                _ => manifest::Unit::Vector,
            };
            let bytes = source.len() as u64;
            offset += bytes;
            Some(manifest::DeviceKernel { unit, cores: project::cores(k, &self.npu), offset: offset - bytes, bytes })
        };
        program.kernels.iter().zip(&self.sources).map(place).collect()
    }

    /// Writes the project into a folder. Kernels of an earlier compilation are removed: CMake would not, but readers would take them
    /// for this one's.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn project(
        &self,
        folder: &Path,
        model: &str,
        program: &Program,
        code: &Code,
        explanation: &Explanation,
    ) -> Result<(), CompileError> {
        let mut on_host: Vec<String> = explanation
            .on_host
            .iter()
            .map(|o| format!("{} ({}): {}", o.nodes, o.ops.join(", "), o.why.replace('\n', "\n  ")))
            .collect();
        algorithms(&program.plan.steps, &mut on_host);
        let cpu_kernels = (!code.symbols.is_empty()).then_some(&code.library[..]);
        let files = project::files(&Project { model, program, npu: &self.npu, cpu_kernels, on_host: &on_host })?;
        let fail = |path: &Path, source| CompileError::Output { path: path.into(), source };
        let kernels = folder.join("kernels");
        for e in std::fs::read_dir(&kernels).into_iter().flatten().flatten() {
            let path = e.path();
            if path.extension().is_some_and(|x| x == "cpp") {
                std::fs::remove_file(&path).map_err(|e| fail(&path, e))?;
            }
        }
        for f in files {
            let path = folder.join(&f.path);
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, &f.bytes)).map_err(|e| fail(&path, e))?;
        }
        Ok(())
    }
}

/// Steps that are algorithms of the runtime, nested ones too.
fn algorithms(steps: &[Step], out: &mut Vec<String>) {
    for s in steps {
        match s {
            Step::Host { op, name, .. } => out.push(format!("{name} ({}): an algorithm of the runtime", op.name())),
            Step::If { then, otherwise, .. } => {
                algorithms(then, out);
                algorithms(otherwise, out);
            }
            Step::Loop { body, .. } => algorithms(body, out),
            _ => {}
        }
    }
}
