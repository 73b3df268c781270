//! The compiler and the runtime as the Python module `_beiming`. A caller like the command line: it turns Python's values into
//! the compiler's and the runtime's, and their errors into exceptions. What users see is written in Python, in `python/beiming`.
//!
//! - [`module`] runs an artifact: `array` looks at what is given (numpy, DLPack), `tensor` hands out what was computed.
//! - [`artifact`] holds a compiled model, `compile` makes one (only with the feature of that name); `debug` looks at
//!   a model beside a reference. Both work in threads of their own (`work`), so that Ctrl-C is heard.
//! - [`error`] raises the exceptions of `beiming.exceptions`.

mod array;
mod artifact;
#[cfg(feature = "compile")]
mod compile;
#[cfg(feature = "compile")]
mod debug;
mod dlpack;
mod dtype;
mod error;
#[cfg(feature = "compile")]
mod failure;
mod module;
#[cfg(feature = "compile")]
mod options;
mod tensor;
#[cfg(feature = "compile")]
mod work;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
fn _beiming(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("COMPILER", cfg!(feature = "compile"))?;
    m.add_class::<artifact::Artifact>()?;
    m.add_class::<module::Module>()?;
    m.add_class::<tensor::Tensor>()?;
    m.add_function(wrap_pyfunction!(error::bind_exceptions, m)?)?;
    #[cfg(feature = "compile")]
    {
        m.add_class::<debug::Subject>()?;
        m.add_function(wrap_pyfunction!(compile::compile, m)?)?;
        m.add_function(wrap_pyfunction!(work::finish, m)?)?;
        m.add_function(wrap_pyfunction!(compile::targets, m)?)?;
        #[cfg(debug_assertions)]
        m.add_function(wrap_pyfunction!(work::provoke_panic, m)?)?;
    }
    Ok(())
}
