//! What is given as an input or as a place for an output: numpy arrays, anything with DLPack, and what numpy makes an array of.
//!
//! Nothing is copied that is dense, row-major, of this machine's byte order and in main memory. Everything else is copied once,
//! by numpy or by the framework it comes from.

use beiming_runtime::{DType, TensorView};
use numpy::npyffi::{NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, PyArray_Check, PyArrayObject};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBool, PyCapsule, PyFloat, PyInt, PyList, PyTuple};

use crate::dlpack::{self, Managed};
use crate::{dtype, error};

/// Where an array comes from, and what results are handed out as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framework {
    Numpy,
    Torch,
    Jax,
}

/// Elements in memory, dense and row-major, with whoever owns them.
pub struct Array<'py> {
    pub dtype: DType,
    data: *const u8,
    bytes: usize,
    shape: *const i64,
    rank: usize,
    writeable: bool,
    /// The elements, where those given had to be written anew.
    own: Option<Vec<u8>>,
    _owner: Bound<'py, PyAny>,
}

/// A byte that holds an element below 8 bits, as kernels read it: extended by sign or zero. The types of `ml_dtypes` leave the
/// upper bits open.
fn extended(dtype: DType, byte: u8) -> u8 {
    match dtype {
        DType::I4 => ((byte << 4) as i8 >> 4) as u8,
        DType::I2 => ((byte << 6) as i8 >> 6) as u8,
        DType::U4 | DType::F4E2M1 => byte & 0xf,
        DType::U2 => byte & 0x3,
        _ => byte,
    }
}

impl<'py> Array<'py> {
    /// The extents.
    pub fn shape(&self) -> &[i64] {
        // A null address may come with rank 0.
        if self.rank == 0 {
            return &[];
        }
        // SAFETY: `rank` extents, which the owner keeps; nobody changes an array's shape in place while it is in use.
        unsafe { std::slice::from_raw_parts(self.shape, self.rank) }
    }

    fn data(&self) -> &[u8] {
        if self.bytes == 0 {
            return &[];
        }
        if let Some(own) = &self.own {
            return own;
        }
        // SAFETY: the owner keeps as many bytes as extents and type say. Another thread that writes to them meanwhile spoils
        // the numbers, as in every library that works on arrays without a lock.
        unsafe { std::slice::from_raw_parts(self.data, self.bytes) }
    }

    /// As the runtime takes it.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: self.shape(), data: self.data() }
    }

    /// First byte and the byte after the last.
    pub fn span(&self) -> (usize, usize) {
        (self.data as usize, self.data as usize + self.bytes)
    }

    /// The memory, to be written to.
    ///
    /// # Safety
    /// Nothing else may refer to it while the result is in use.
    // The memory is another library's: a borrow of `self` says nothing about it.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn memory(&self) -> Option<&mut [u8]> {
        if !self.writeable {
            return None;
        }
        if self.bytes == 0 {
            return Some(&mut []);
        }
        // SAFETY: as in `data`; that nothing else refers to it is required of the caller.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data.cast_mut(), self.bytes) })
    }

    /// What is given for `name`, of type `expected`. Scalars and lists take the expected type; arrays must have it.
    pub fn input(given: &Bound<'py, PyAny>, name: &str, expected: DType) -> PyResult<(Array<'py>, Framework)> {
        let py = given.py();
        let (array, framework) = Array::new(given, expected)?;
        let mut array = match array {
            Some(a) => a,
            None => {
                let made = copied(given)?;
                let kind = || made.getattr("dtype")?.str()?.extract::<String>();
                match from_numpy(&made)? {
                    Some(a) => a,
                    None => return Err(error::input(py, name, &format!("numpy's type `{}` is no tensor's", kind()?))),
                }
            }
        };
        if matches!(array.dtype, DType::I4 | DType::I2 | DType::U4 | DType::U2 | DType::F4E2M1) {
            array.own = Some(array.data().iter().map(|b| extended(array.dtype, *b)).collect());
        }
        if array.dtype != expected {
            let what = format!("wrong element type: expected {}, got {}", dtype::name(expected), dtype::name(array.dtype));
            return Err(error::input(py, name, &what));
        }
        Ok((array, framework))
    }

    /// Whatever is given as an array of its own type; `None` where that is no tensor's.
    #[cfg(feature = "compile")]
    pub fn dense(given: &Bound<'py, PyAny>) -> PyResult<Option<Array<'py>>> {
        match Array::new(given, DType::F32)?.0 {
            None => from_numpy(&copied(given)?),
            a => Ok(a),
        }
    }

    /// Memory that is given for an output. It is never copied: `None` where it is not dense.
    pub fn output(given: &Bound<'py, PyAny>) -> PyResult<Option<Array<'py>>> {
        Ok(if is_numpy(given) || given.hasattr("__dlpack__")? { Array::new(given, DType::F32)?.0 } else { None })
    }

    /// The array without a copy, or `None` where it takes one.
    fn new(given: &Bound<'py, PyAny>, expected: DType) -> PyResult<(Option<Array<'py>>, Framework)> {
        if is_numpy(given) {
            return Ok((from_numpy(given)?, Framework::Numpy));
        }
        let py = given.py();
        let number = given.is_instance_of::<PyFloat>() || given.is_instance_of::<PyInt>() || given.is_instance_of::<PyBool>();
        if number || given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
            let made = py.import("numpy")?.call_method1("asarray", (given, dtype::object(py, expected)?))?;
            return Ok((from_numpy(&made)?, Framework::Numpy));
        }
        match framework(given)? {
            // Its arrays are dense, and numpy's view of them covers every element type.
            Framework::Jax => Ok((from_numpy(&py.import("numpy")?.call_method1("asarray", (given,))?)?, Framework::Jax)),
            Framework::Torch => {
                // Without the gradient's record, which DLPack cannot carry.
                let dense = given.call_method0("detach")?.call_method0("contiguous")?;
                Ok((Some(from_dlpack(&dense)?), Framework::Torch))
            }
            Framework::Numpy if given.hasattr("__dlpack__")? => Ok((Some(from_dlpack(given)?), Framework::Numpy)),
            Framework::Numpy => {
                let made = py.import("numpy")?.call_method1("asarray", (given,))?;
                Ok((from_numpy(&made)?, Framework::Numpy))
            }
        }
    }
}

/// A dense row-major copy of this machine's byte order.
fn copied<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    let numpy = py.import("numpy")?;
    let array = numpy.call_method1("asarray", (given,))?;
    let native = array.getattr("dtype")?.call_method1("newbyteorder", ("=",))?;
    // Not `ascontiguousarray`, which makes a scalar a vector.
    let how = [("dtype", native), ("order", "C".into_pyobject(py)?.into_any())].into_py_dict(py)?;
    numpy.call_method("array", (array,), Some(&how))
}

fn is_numpy(given: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a valid object and the interpreter's lock.
    unsafe { PyArray_Check(given.py(), given.as_ptr()) != 0 }
}

/// By the module of its class.
fn framework(given: &Bound<'_, PyAny>) -> PyResult<Framework> {
    let module: String = given.get_type().getattr("__module__")?.extract().unwrap_or_default();
    Ok(match module.split('.').next() {
        Some("torch") => Framework::Torch,
        _ if module.starts_with("jax") => Framework::Jax,
        _ => Framework::Numpy,
    })
}

/// A dense array of this machine's byte order and of a type that tensors have.
fn from_numpy<'py>(given: &Bound<'py, PyAny>) -> PyResult<Option<Array<'py>>> {
    // SAFETY: callers have made sure that it is an array; the layout is numpy's ABI.
    let fields = unsafe { &(*given.as_ptr().cast::<PyArrayObject>()).fields };
    // SAFETY: an array always has a description.
    let descr = unsafe { &(*fields.descr).fields };
    if fields.flags & NPY_ARRAY_C_CONTIGUOUS == 0 || descr.byteorder as u8 == b'>' {
        return Ok(None);
    }
    let dtype = match dtype::of_number(descr.type_num) {
        Some(d) => Some(d),
        None => dtype::of_object(&given.getattr("dtype")?)?,
    };
    let Some(dtype) = dtype else { return Ok(None) };
    let rank = fields.nd as usize;
    let mut array = Array {
        dtype,
        data: fields.data.cast(),
        bytes: 0,
        shape: fields.dimensions.cast_const().cast(),
        rank,
        writeable: fields.flags & NPY_ARRAY_WRITEABLE != 0,
        own: None,
        _owner: given.clone(),
    };
    // numpy has made sure that this does not overflow.
    array.bytes = array.shape().iter().product::<i64>() as usize * dtype.size();
    Ok(Some(array))
}

/// A tensor by its DLPack capsule. The capsule is kept, not taken apart, so that its owner frees the tensor.
fn from_dlpack<'py>(given: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    let py = given.py();
    let capsule = given.call_method0("__dlpack__")?;
    let managed: *const Managed = capsule.cast::<PyCapsule>()?.pointer_checked(Some(dlpack::NAME))?.as_ptr().cast();
    // SAFETY: a capsule of this name holds this structure.
    let t = unsafe { &(*managed).tensor };
    if t.device.kind != dlpack::CPU {
        let what = "the tensor lies in a device's memory; move it to the CPU first";
        return Err(error::plain(py, "InputError", what));
    }
    let Some(dtype) = t.dtype.dtype() else {
        let what = format!("DLPack's element type {:?} is no tensor's", t.dtype);
        return Err(error::plain(py, "InputError", &what));
    };
    let rank = t.rank as usize;
    // SAFETY: an offset within the tensor's memory.
    let data = unsafe { t.data.cast::<u8>().byte_add(t.byte_offset as usize) };
    let mut array = Array { dtype, data, bytes: 0, shape: t.shape, rank, writeable: true, own: None, _owner: capsule.clone() };
    array.bytes = array.shape().iter().product::<i64>() as usize * dtype.size();
    if !t.strides.is_null() && rank > 0 {
        // SAFETY: as many strides as extents.
        let strides = unsafe { std::slice::from_raw_parts(t.strides, rank) };
        let mut dense = 1;
        for (&s, &d) in strides.iter().zip(array.shape()).rev() {
            if d > 1 && s != dense {
                return Err(error::plain(py, "InputError", "the tensor is not dense and row-major; make it so first"));
            }
            dense *= d;
        }
    }
    Ok(array)
}

/// A function of a framework that makes a tensor of a DLPack object without a copy.
pub fn importer<'py>(py: Python<'py>, f: Framework) -> PyResult<&'py Bound<'py, PyAny>> {
    static TORCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static JAX: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (cell, module) = if f == Framework::Torch { (&TORCH, "torch") } else { (&JAX, "jax.dlpack") };
    let made = cell.get_or_try_init(py, || Ok::<_, PyErr>(py.import(module)?.getattr("from_dlpack")?.unbind()))?;
    Ok(made.bind(py))
}
