//! Results: memory of the runtime, handed to numpy, torch and jax without a copy.

use std::ffi::c_void;
use std::os::raw::c_int;

use beiming_runtime::{DType, Tensor as Owned};
use numpy::npyffi::{NPY_ARRAY_CARRAY, NpyTypes, PY_ARRAY_API, PyArray_Descr, PyArrayObject, get_type_object};
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

use crate::array::{Framework, importer};
use crate::dlpack::{CPU, DataType, Device, DlTensor, Managed, NAME};
use crate::dtype;

/// A result that owns its elements: dense, row-major, aligned to 64 bytes. Frameworks take it over by DLPack, without a copy.
#[pyclass(frozen, module = "beiming")]
pub struct Tensor {
    tensor: Owned,
    data: *mut u8,
}

// SAFETY: the elements are owned, and the address is only handed out.
unsafe impl Send for Tensor {}
// SAFETY: as above; whoever writes through an array over the elements does so under that array's rules.
unsafe impl Sync for Tensor {}

impl Tensor {
    fn new(mut tensor: Owned) -> Tensor {
        let data = tensor.bytes_mut().as_mut_ptr();
        Tensor { tensor, data }
    }
}

#[pymethods]
impl Tensor {
    /// Extents.
    #[getter]
    fn shape(&self) -> Vec<i64> {
        self.tensor.shape().to_vec()
    }

    /// Name of the element type, as numpy has it.
    #[getter]
    fn dtype(&self) -> &'static str {
        dtype::name(self.tensor.dtype())
    }

    fn __repr__(&self) -> String {
        format!("Tensor({}, shape={:?})", self.dtype(), self.tensor.shape())
    }

    /// The kind of device (1: CPU) and its number.
    fn __dlpack_device__(&self) -> (i32, i32) {
        (CPU, 0)
    }

    /// The tensor for another library. It shares the memory.
    #[pyo3(signature = (**_kwargs))]
    fn __dlpack__<'py>(slf: Bound<'py, Self>, _kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let t = &this.tensor;
        let Some(dtype) = DataType::of(t.dtype()) else {
            return Err(PyBufferError::new_err(format!("DLPack has no type for the bytes of {}", this.dtype())));
        };
        let mut shape = t.shape().to_vec().into_boxed_slice();
        let managed = Box::new(Exported {
            managed: Managed {
                tensor: DlTensor {
                    data: this.data.cast(),
                    device: Device { kind: CPU, id: 0 },
                    rank: shape.len() as i32,
                    dtype,
                    shape: shape.as_mut_ptr(),
                    strides: std::ptr::null_mut(),
                    byte_offset: 0,
                },
                context: std::ptr::null_mut(),
                deleter: Some(delete),
            },
            _shape: shape,
            _owner: slf.clone().unbind(),
        });
        // SAFETY: the structure stays until its deleter runs, which is called once: by whoever takes it out of the capsule, or
        // by the capsule's own end.
        unsafe {
            let raw = pyo3::ffi::PyCapsule_New(Box::into_raw(managed).cast(), NAME.as_ptr(), Some(end));
            Bound::from_owned_ptr_or_err(py, raw)
        }
    }

    /// A numpy array over the same memory.
    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        slf: Bound<'py, Self>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = numpy(&slf)?;
        match dtype {
            Some(d) => array.call_method("astype", (d,), Some(&[("copy", copy.unwrap_or(false))].into_py_dict(slf.py())?)),
            None if copy == Some(true) => array.call_method0("copy"),
            None => Ok(array),
        }
    }
}

/// What a capsule points to, with what must live as long.
#[repr(C)]
struct Exported {
    managed: Managed,
    _shape: Box<[i64]>,
    _owner: Py<Tensor>,
}

/// Frees an exported tensor.
unsafe extern "C" fn delete(managed: *mut Managed) {
    // Libraries may call this from threads that have no interpreter's lock.
    Python::attach(|_| {
        // SAFETY: made by `Box::into_raw` of this structure, whose first field this is.
        drop(unsafe { Box::from_raw(managed.cast::<Exported>()) });
    });
}

/// Frees what nobody has taken out of the capsule.
unsafe extern "C" fn end(capsule: *mut pyo3::ffi::PyObject) {
    // SAFETY: a capsule; whoever took the tensor out has renamed it.
    unsafe {
        if pyo3::ffi::PyCapsule_IsValid(capsule, NAME.as_ptr()) != 0 {
            let managed: *mut Managed = pyo3::ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()).cast();
            if let Some(deleter) = (*managed).deleter {
                deleter(managed);
            }
        }
    }
}

/// A numpy array over the tensor's memory.
fn numpy<'py>(slf: &Bound<'py, Tensor>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (slf.py(), slf.get());
    let t = &this.tensor;
    let descr = dtype::object(py, t.dtype())?.clone();
    let mut shape = t.shape().to_vec();
    let data: *mut c_void = if t.bytes().is_empty() { std::ptr::null_mut() } else { this.data.cast() };
    // SAFETY: numpy's call takes the description's reference; the extents are read; the memory has the bytes of the shape and is
    // kept by the base object, whose reference numpy takes too.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            descr.into_ptr().cast::<PyArray_Descr>(),
            shape.len() as c_int,
            shape.as_mut_ptr().cast(),
            std::ptr::null_mut(),
            data,
            NPY_ARRAY_CARRAY,
            std::ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if !data.is_null() {
            let base = slf.clone().into_any().into_ptr();
            if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast::<PyArrayObject>(), base) != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        Ok(array)
    }
}

/// Hands a result to a framework.
pub fn export<'py>(py: Python<'py>, tensor: Owned, to: Framework) -> PyResult<Bound<'py, PyAny>> {
    let dtype = tensor.dtype();
    let made = Bound::new(py, Tensor::new(tensor))?;
    match to {
        Framework::Numpy => numpy(&made),
        Framework::Torch if DataType::of(dtype).is_some() => importer(py, to)?.call1((made,)),
        // jax takes 64-bit types by DLPack even where they are off; by numpy it follows its own setting.
        Framework::Jax
            if !matches!(dtype, DType::I64 | DType::U64 | DType::F64 | DType::C128) && DataType::of(dtype).is_some() =>
        {
            importer(py, to)?.call1((made,))
        }
        Framework::Jax => py.import("jax.numpy")?.call_method1("asarray", (numpy(&made)?,)),
        Framework::Torch => numpy(&made),
    }
}

/// An array as a tensor of the IR. Its bytes are copied.
#[cfg(feature = "compile")]
pub fn own(a: &crate::array::Array<'_>) -> Option<beiming::tensor::Tensor> {
    let view = a.view();
    let shape = view.shape.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>()?;
    beiming::tensor::Tensor::new(view.dtype.name().parse().ok()?, shape, view.data.to_vec().into())
}
