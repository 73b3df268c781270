//! Elements read at run-time positions, as a `linalg.generic` whose body reads the data.

use beiming_ir::types::DType;
use melior::ir::attribute::{ArrayAttribute, IntegerAttribute};
use melior::ir::{Attribute, Type, Value};

use crate::build::{Builder, Val, Why, element, tensor};

/// Appends an op whose result is a position, or the truth about one.
fn one<'c, 'b>(
    b: &Builder<'c, 'b>,
    name: &str,
    v: &[Value<'c, 'b>],
    ty: Type<'c>,
    more: &[(&str, Attribute<'c>)],
) -> Result<Value<'c, 'b>, Why> {
    b.op(name, v, Some(ty), more, vec![])?.ok_or_else(|| format!("{name} has no result"))
}

/// The position that an index means: a negative one counts from the end, and what is still out of range is brought into it.
fn position<'c, 'b>(b: &Builder<'c, 'b>, i: Value<'c, 'b>, unsigned: bool, extent: i64) -> Result<Value<'c, 'b>, Why> {
    let (index, bool) = (Type::index(b.context), element(b.context, DType::Bool)?);
    let constant = |v: i64| one(b, "arith.constant", &[], index, &[("value", IntegerAttribute::new(index, v).into())]);
    let (zero, end, last) = (constant(0)?, constant(extent)?, constant(extent - 1)?);
    let i = one(b, if unsigned { "arith.index_castui" } else { "arith.index_cast" }, &[i], index, &[])?;
    let below = one(b, "arith.cmpi", &[i, zero], bool, &[("predicate", b.i64(2))])?;
    let turned = one(b, "arith.addi", &[i, end], index, &[])?;
    let i = one(b, "arith.select", &[below, turned, i], index, &[])?;
    let i = one(b, "arith.maxsi", &[i, zero], index, &[])?;
    one(b, "arith.minsi", &[i, last], index, &[])
}

/// Numpy's `take` along an axis.
pub fn gather<'c, 'b>(b: &Builder<'c, 'b>, data: &Val<'c, 'b>, indices: &Val<'c, 'b>, axis: usize) -> Result<Val<'c, 'b>, Why> {
    let inner = axis..axis + indices.shape.len();
    let to: Vec<usize> = [&data.shape[..axis], &indices.shape, &data.shape[axis + 1..]].concat();
    let out = b.empty(data.dtype, &to)?;
    let (ty, it, index) = (element(b.context, data.dtype)?, element(b.context, indices.dtype)?, Type::index(b.context));
    let (extent, x, unsigned) = (data.shape[axis] as i64, data.value, indices.dtype.is_unsigned_int());
    let region = b.region(&[it, ty], |b, a| {
        let taken = position(&b, a[0], unsigned, extent)?;
        let loops = (0..to.len()).filter(|d| !inner.contains(d));
        let mut at =
            loops.map(|d| one(&b, "linalg.index", &[], index, &[("dim", b.i64(d as i64))])).collect::<Result<Vec<_>, _>>()?;
        at.insert(axis, taken);
        at.insert(0, x);
        b.yield_(one(&b, "tensor.extract", &at, ty, &[])?)
    })?;
    let parallel = Attribute::parse(b.context, "#linalg.iterator_type<parallel>").ok_or("no iterator types")?;
    let attributes = [
        ("indexing_maps", b.maps(to.len(), &[&inner.clone().collect::<Vec<_>>(), &(0..to.len()).collect::<Vec<_>>()])?),
        ("iterator_types", ArrayAttribute::new(b.context, &vec![parallel; to.len()]).into()),
        b.segments(&[1, 1]),
    ];
    let result = tensor(b.context, data.dtype, &to)?;
    let value = b.op("linalg.generic", &[indices.value, out.value], Some(result), &attributes, vec![region])?;
    Ok(Val { value: value.ok_or("linalg.generic has no result")?, dtype: data.dtype, shape: to })
}
