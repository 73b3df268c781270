//! Element types between numpy and the runtime. bfloat16, the 8-bit floats and the integers below 8 bits are numpy's by the
//! package `ml_dtypes`, and known by their names.

use beiming_runtime::DType;
use numpy::npyffi::NPY_TYPES;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The element type of a number of numpy's own types.
pub fn of_number(n: i32) -> Option<DType> {
    use NPY_TYPES as N;
    // `long` and `long long` are two types of numpy with the same elements.
    const OWN: [(NPY_TYPES, DType); 16] = [
        (N::NPY_FLOAT, DType::F32),
        (N::NPY_LONG, DType::I64),
        (N::NPY_LONGLONG, DType::I64),
        (N::NPY_INT, DType::I32),
        (N::NPY_DOUBLE, DType::F64),
        (N::NPY_HALF, DType::F16),
        (N::NPY_BOOL, DType::Bool),
        (N::NPY_UBYTE, DType::U8),
        (N::NPY_BYTE, DType::I8),
        (N::NPY_SHORT, DType::I16),
        (N::NPY_USHORT, DType::U16),
        (N::NPY_UINT, DType::U32),
        (N::NPY_ULONG, DType::U64),
        (N::NPY_ULONGLONG, DType::U64),
        (N::NPY_CFLOAT, DType::C64),
        (N::NPY_CDOUBLE, DType::C128),
    ];
    OWN.iter().find(|(k, _)| *k as i32 == n).map(|x| x.1)
}

/// Names that differ between numpy (or `ml_dtypes`) and the runtime.
const NAMES: [(DType, &str); 25] = [
    (DType::F64, "float64"),
    (DType::F32, "float32"),
    (DType::F16, "float16"),
    (DType::BF16, "bfloat16"),
    (DType::F8E4M3FN, "float8_e4m3fn"),
    (DType::F8E4M3FNUZ, "float8_e4m3fnuz"),
    (DType::F8E5M2, "float8_e5m2"),
    (DType::F8E5M2FNUZ, "float8_e5m2fnuz"),
    (DType::F8E8M0, "float8_e8m0fnu"),
    (DType::F4E2M1, "float4_e2m1fn"),
    (DType::I64, "int64"),
    (DType::I32, "int32"),
    (DType::I16, "int16"),
    (DType::I8, "int8"),
    (DType::I4, "int4"),
    (DType::I2, "int2"),
    (DType::U64, "uint64"),
    (DType::U32, "uint32"),
    (DType::U16, "uint16"),
    (DType::U8, "uint8"),
    (DType::U4, "uint4"),
    (DType::U2, "uint2"),
    (DType::Bool, "bool"),
    (DType::C64, "complex64"),
    (DType::C128, "complex128"),
];

/// numpy's name of an element type.
pub fn name(d: DType) -> &'static str {
    NAMES.iter().find(|n| n.0 == d).map_or(d.name(), |n| n.1)
}

/// The element type of a `numpy.dtype`.
pub fn of_object(dtype: &Bound<'_, PyAny>) -> PyResult<Option<DType>> {
    let text: String = dtype.getattr("name")?.extract()?;
    Ok(NAMES.iter().find(|n| n.1 == text).map(|n| n.0))
}

/// The `numpy.dtype` of an element type.
///
/// # Errors
/// `ModuleNotFoundError` where it takes `ml_dtypes` and that is not installed.
pub fn object(py: Python<'_>, d: DType) -> PyResult<&Bound<'_, PyAny>> {
    static CACHE: [PyOnceLock<Py<PyAny>>; 25] = [const { PyOnceLock::new() }; 25];
    let cell = &CACHE[d as usize - 1];
    let made = cell.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        let numpy = py.import("numpy")?;
        let own = !matches!(
            d,
            DType::BF16
                | DType::F8E4M3FN
                | DType::F8E4M3FNUZ
                | DType::F8E5M2
                | DType::F8E5M2FNUZ
                | DType::F8E8M0
                | DType::F4E2M1
                | DType::I4
                | DType::I2
                | DType::U4
                | DType::U2
        );
        let dtype = if own {
            numpy.getattr("dtype")?.call1((name(d),))?
        } else {
            numpy.getattr("dtype")?.call1((py.import("ml_dtypes")?.getattr(name(d))?,))?
        };
        Ok(dtype.unbind())
    })?;
    Ok(made.bind(py))
}
