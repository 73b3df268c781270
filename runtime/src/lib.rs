//! Opens an artifact and runs it; knows nothing of the IR and holds no LLVM.
//!
//! - [`format`] is the artifact: the schema and the file, shared with the compiler that writes them.
//! - [`Module`] is an opened artifact. `program` is its manifest with all numbers checked, `code` its loaded machine code,
//!   `cpu` knows whether this machine can run it.
//! - [`Session`] is the memory and the threads of one run at a time: [`dims`] gives the shapes, `arena` the memory, `exec`
//!   goes through the steps, `launch` splits a kernel over the `pool`, [`host`] has the algorithms that are no kernels.
//! - `acl` (feature `ascend`) is the NPU's side of a session: its memory, copies and launches, through AscendCL.
//! - [`capi`] is the C interface; `include/beiming.h` is generated from it.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use beiming_runtime::{Module, Options, Session, TensorView};
//!
//! let module = Arc::new(Module::open(Path::new("model.bm"))?);
//! let mut session = Session::new(&module, Options::default())?;
//! let image = vec![0f32; 3 * 224 * 224];
//! let outputs = session.run(&[("input", TensorView::new(&[1, 3, 224, 224], &image))])?;
//! println!("{:?} {:?}", outputs[0].shape(), outputs[0].as_slice::<f32>());
//! # Ok::<(), beiming_runtime::Error>(())
//! ```

#[cfg(feature = "ascend")]
pub mod acl;
pub mod arena;
pub mod capi;
mod code;
pub mod cpu;
pub mod dims;
pub mod error;
mod exec;
pub mod format;
pub mod host;
mod launch;
mod module;
mod pool;
pub mod program;
mod session;
mod tensor;

pub use code::ABI_VERSION;
pub use error::{Error, Result};
pub use format::DType;
pub use module::{Module, PortInfo};
pub use session::{Options, Session, StepTime};
pub use tensor::{Element, Output, Tensor, TensorView};
