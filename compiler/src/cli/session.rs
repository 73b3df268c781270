//! Opening an artifact and a session over it, with errors that name the file.

use std::path::Path;
use std::sync::Arc;

use beiming_runtime::format::container::Artifact;
use beiming_runtime::{Module, Options, Session, Tensor, TensorView};

use super::emulate;
use super::failure::{Failure, Result};
use super::npz::Array;

/// An artifact, ready for sessions.
pub fn open(path: &Path) -> Result<Arc<Module>> {
    Module::open(path).map(Arc::new).map_err(|e| {
        let foreign = Artifact::open(path).and_then(|a| a.manifest()).is_ok_and(|m| emulate::is_foreign(&m.target.triple));
        let e = Failure::runtime(path, &e);
        if foreign { e.help("`beiming compare` and `beiming bench --count` run it under qemu-aarch64") } else { e }
    })
}

/// A session.
pub fn start(path: &Path, module: &Arc<Module>, options: Options) -> Result<Session> {
    Session::new(module, options).map_err(|e| Failure::runtime(path, &e))
}

/// The arrays as the runtime takes them.
pub fn views(arrays: &[Array]) -> Vec<(&str, TensorView<'_>)> {
    arrays.iter().map(|a| (a.name.as_str(), a.view())).collect()
}

/// Places for the outputs.
pub fn outputs(module: &Module) -> Vec<Tensor> {
    module.outputs().iter().map(|_| Tensor::new()).collect()
}
