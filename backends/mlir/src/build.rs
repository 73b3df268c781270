//! The block that ops are appended to, and the values in it. MLIR's integers have no sign; a value here knows its own.

use beiming_ir::tensor::Num;
use beiming_ir::types::DType;
use melior::Context;
use melior::ir::attribute::{
    ArrayAttribute, DenseElementsAttribute, DenseI32ArrayAttribute, DenseI64ArrayAttribute, FloatAttribute, IntegerAttribute,
};
use melior::ir::block::BlockLike;
use melior::ir::operation::{OperationBuilder, OperationLike};
use melior::ir::r#type::{IntegerType, RankedTensorType};
use melior::ir::{Attribute, Block, Identifier, Location, Region, RegionLike, Type, Value};

/// Why an op has no form here.
pub type Why = String;

/// A tensor in a function.
#[derive(Clone, Debug)]
pub struct Val<'c, 'b> {
    /// The value.
    pub value: Value<'c, 'b>,
    /// Its element type, sign included.
    pub dtype: DType,
    /// Its extents.
    pub shape: Vec<usize>,
}

impl Val<'_, '_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The element type in MLIR; `Err` for those that kernels have no arithmetic in.
pub fn element<'c>(c: &'c Context, d: DType) -> Result<Type<'c>, Why> {
    Ok(match d {
        DType::F64 => Type::float64(c),
        DType::F32 => Type::float32(c),
        DType::F16 => Type::float16(c),
        DType::BF16 => Type::bfloat16(c),
        DType::Bool => IntegerType::new(c, 1).into(),
        d if d.is_int() && d.bits() >= 8 => IntegerType::new(c, d.bits()).into(),
        d => return Err(format!("{d} has no arithmetic type in MLIR here")),
    })
}

/// A tensor's type.
pub fn tensor<'c>(c: &'c Context, d: DType, shape: &[usize]) -> Result<Type<'c>, Why> {
    let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    Ok(RankedTensorType::new(&dims, element(c, d)?, None).into())
}

/// Appends ops to a block.
#[derive(Clone, Copy)]
pub struct Builder<'c, 'b> {
    /// The context of everything.
    pub context: &'c Context,
    block: &'b Block<'c>,
}

impl<'c, 'b> Builder<'c, 'b> {
    /// At the end of a block.
    pub fn new(context: &'c Context, block: &'b Block<'c>) -> Self {
        Builder { context, block }
    }

    /// The n-th argument of the block.
    pub fn argument(&self, n: usize, dtype: DType, shape: &[usize]) -> Result<Val<'c, 'b>, Why> {
        Ok(Val { value: self.raw_argument(n)?, dtype, shape: shape.to_vec() })
    }

    /// The n-th argument of the block, whatever it is.
    pub fn raw_argument(&self, n: usize) -> Result<Value<'c, 'b>, Why> {
        self.block.argument(n).map(Into::into).map_err(|e| e.to_string())
    }

    /// Nowhere: sources are in the text around a function.
    pub fn at(&self) -> Location<'c> {
        Location::unknown(self.context)
    }

    /// A list of 64-bit integers.
    pub fn i64s(&self, v: impl IntoIterator<Item = i64>) -> Attribute<'c> {
        DenseI64ArrayAttribute::new(self.context, &v.into_iter().collect::<Vec<_>>()).into()
    }

    /// A 64-bit integer.
    pub fn i64(&self, v: i64) -> Attribute<'c> {
        IntegerAttribute::new(IntegerType::new(self.context, 64).into(), v).into()
    }

    /// How many operands belong to each group of an op that has several.
    pub fn segments(&self, v: &[i32]) -> (&'static str, Attribute<'c>) {
        ("operandSegmentSizes", DenseI32ArrayAttribute::new(self.context, v).into())
    }

    /// Lists of axes that are joined or split.
    pub fn reassociation(&self, groups: &[Vec<usize>]) -> (&'static str, Attribute<'c>) {
        let group = |g: &Vec<usize>| -> Attribute<'c> {
            ArrayAttribute::new(self.context, &g.iter().map(|&a| self.i64(a as i64)).collect::<Vec<_>>()).into()
        };
        ("reassociation", ArrayAttribute::new(self.context, &groups.iter().map(group).collect::<Vec<_>>()).into())
    }

    /// Appends an op that has one result or none.
    pub fn op(
        &self,
        name: &str,
        operands: &[Value<'c, 'b>],
        result: Option<Type<'c>>,
        attributes: &[(&str, Attribute<'c>)],
        regions: Vec<Region<'c>>,
    ) -> Result<Option<Value<'c, 'b>>, Why> {
        let attributes: Vec<_> = attributes.iter().map(|(n, a)| (Identifier::new(self.context, n), *a)).collect();
        let op = OperationBuilder::new(name, self.at())
            .add_operands(operands)
            .add_results(result.as_slice())
            .add_attributes(&attributes)
            .add_regions_vec(regions)
            .build()
            .map_err(|e| format!("{name}: {e}"))?;
        let op = self.block.append_operation(op);
        Ok(match result {
            Some(_) => Some(op.result(0).map_err(|e| format!("{name}: {e}"))?.into()),
            None => None,
        })
    }

    /// Appends an op whose result is a tensor.
    pub fn make(
        &self,
        name: &str,
        operands: &[&Val<'c, 'b>],
        dtype: DType,
        shape: &[usize],
        attributes: &[(&str, Attribute<'c>)],
        regions: Vec<Region<'c>>,
    ) -> Result<Val<'c, 'b>, Why> {
        let values: Vec<_> = operands.iter().map(|v| v.value).collect();
        let value = self.op(name, &values, Some(tensor(self.context, dtype, shape)?), attributes, regions)?;
        Ok(Val { value: value.ok_or_else(|| format!("{name} has no result"))?, dtype, shape: shape.to_vec() })
    }

    /// An op on elements of tensors of one shape; the result's elements are of type `dtype`.
    pub fn map(&self, name: &str, operands: &[&Val<'c, 'b>], dtype: DType) -> Result<Val<'c, 'b>, Why> {
        let shape = operands.first().map_or(vec![], |v| v.shape.clone());
        self.make(name, operands, dtype, &shape, &[], vec![])
    }

    /// The attribute of a number.
    pub fn number(&self, dtype: DType, v: Num) -> Result<Attribute<'c>, Why> {
        let ty = element(self.context, dtype)?;
        Ok(match v {
            _ if dtype.is_float() => FloatAttribute::new(self.context, ty, v.to_f64()).into(),
            // The low bits: attributes, too, have no sign.
            _ => IntegerAttribute::new(ty, v.to_i128() as i64).into(),
        })
    }

    /// A tensor of one number everywhere.
    pub fn splat(&self, dtype: DType, shape: &[usize], v: Num) -> Result<Val<'c, 'b>, Why> {
        let value = DenseElementsAttribute::splat(tensor(self.context, dtype, shape)?, self.number(dtype, v)?);
        self.make("arith.constant", &[], dtype, shape, &[("value", value.into())], vec![])
    }

    /// The same of a real number, for the float types.
    pub fn real(&self, like: &Val<'c, 'b>, v: f64) -> Result<Val<'c, 'b>, Why> {
        self.splat(like.dtype, &like.shape, beiming_ir::num::round_to(like.dtype, Num::Float(v)))
    }

    /// The same of an integer.
    pub fn integer(&self, like: &Val<'c, 'b>, v: i128) -> Result<Val<'c, 'b>, Why> {
        self.splat(like.dtype, &like.shape, Num::Int(v))
    }

    /// A scalar number, not a tensor.
    pub fn scalar(&self, dtype: DType, v: Num) -> Result<Value<'c, 'b>, Why> {
        let ty = element(self.context, dtype)?;
        let value = self.op("arith.constant", &[], Some(ty), &[("value", self.number(dtype, v)?)], vec![])?;
        value.ok_or_else(|| "a constant has no result".into())
    }

    /// A tensor whose elements are not known, for a result to be written into.
    pub fn empty(&self, dtype: DType, shape: &[usize]) -> Result<Val<'c, 'b>, Why> {
        self.make("tensor.empty", &[], dtype, shape, &[], vec![])
    }

    /// A tensor of one number everywhere, as the destination of a reduction or product.
    pub fn fill(&self, dtype: DType, shape: &[usize], v: Num) -> Result<Val<'c, 'b>, Why> {
        let (number, into) = (self.scalar(dtype, v)?, self.empty(dtype, shape)?);
        let ty = element(self.context, dtype)?;
        let region = self.region(&[ty, ty], |b, a| b.yield_(a[0]))?;
        let result = tensor(self.context, dtype, shape)?;
        let value = self.op("linalg.fill", &[number, into.value], Some(result), &[self.segments(&[1, 1])], vec![region])?;
        Ok(Val { value: value.ok_or("linalg.fill has no result")?, ..into })
    }

    /// A region of one block that `body` fills from the block's arguments.
    pub fn region(
        &self,
        arguments: &[Type<'c>],
        body: impl for<'a> FnOnce(Builder<'c, 'a>, &[Value<'c, 'a>]) -> Result<(), Why>,
    ) -> Result<Region<'c>, Why> {
        let block = Block::new(&arguments.iter().map(|t| (*t, self.at())).collect::<Vec<_>>());
        {
            let values = (0..arguments.len()).map(|i| block.argument(i).map(Into::into).map_err(|e| e.to_string()));
            let values = values.collect::<Result<Vec<Value<'c, '_>>, Why>>()?;
            body(Builder::new(self.context, &block), &values)?;
        }
        let region = Region::new();
        region.append_block(block);
        Ok(region)
    }

    /// A named contraction of `linalg` into `init`. Its body is what the name says, and MLIR writes it.
    pub fn contract(
        &self,
        name: &str,
        operands: [&Val<'c, 'b>; 2],
        init: &Val<'c, 'b>,
        attributes: &[(&str, Attribute<'c>)],
    ) -> Result<Val<'c, 'b>, Why> {
        let mut named = vec![self.segments(&[2, 1])];
        named.extend(attributes);
        let named: Vec<_> = named.iter().map(|(n, a)| (Identifier::new(self.context, n), *a)).collect();
        let op = OperationBuilder::new(name, self.at())
            .add_operands(&[operands[0].value, operands[1].value, init.value])
            .add_results(&[tensor(self.context, init.dtype, &init.shape)?])
            .add_attributes(&named)
            .add_regions([Region::new()])
            .build()
            .map_err(|e| format!("{name}: {e}"))?;
        // SAFETY: the op is one of `linalg`'s named ops, and its one region is empty.
        unsafe { mlir_sys::mlirLinalgFillBuiltinNamedOpRegion(op.to_raw()) };
        let value = self.block.append_operation(op).result(0).map_err(|e| format!("{name}: {e}"))?.into();
        Ok(Val { value, ..init.clone() })
    }

    /// Affine maps from `rank` loops to the loops that index each operand.
    pub fn maps(&self, rank: usize, of: &[&[usize]]) -> Result<Attribute<'c>, Why> {
        let names = |v: &mut dyn Iterator<Item = usize>| v.map(|d| format!("d{d}")).collect::<Vec<_>>().join(", ");
        let map = |loops: &&[usize]| {
            let text = format!("affine_map<({}) -> ({})>", names(&mut (0..rank)), names(&mut loops.iter().copied()));
            Attribute::parse(self.context, &text).ok_or_else(|| format!("{text} is no attribute"))
        };
        Ok(ArrayAttribute::new(self.context, &of.iter().map(map).collect::<Result<Vec<_>, _>>()?).into())
    }

    /// Ends the body of a `linalg` op.
    pub fn yield_(&self, v: Value<'c, 'b>) -> Result<(), Why> {
        self.op("linalg.yield", &[v], None, &[], vec![]).map(|_| ())
    }
}
