//! The matrix products of a group, each alone: one matrix of each operand, and nothing fused to it. What a tool makes of the group
//! may be about what is fused; this form says what it makes of the product.

use beiming_ir::tensor::Num;
use beiming_ir::types::DType;
use melior::Context;
use melior::ir::block::BlockLike;
use melior::ir::operation::OperationLike;
use melior::ir::r#type::{DimSize, RankedTensorType};
use melior::ir::{Block, BlockRef, Location, Module, RegionLike, ShapedTypeLike, Type, TypeLike, ValueLike};

use crate::build::{Builder, Why, tensor};
use crate::emit::{Refusal, finish};

/// `[rows, depth] x [depth, columns]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// Element types of the operands and of the sums.
    pub dtypes: [DType; 3],
    /// Rows, depth and columns.
    pub extents: [usize; 3],
}

impl Product {
    /// Those of a module of one function, in order, none of them twice.
    pub(crate) fn all(context: &Context, module: &Module<'_>) -> Vec<Product> {
        let mut out = vec![];
        let body = module.body().first_operation().and_then(|f| f.region(0).ok()?.first_block().map(|b| products(context, b)));
        for p in body.unwrap_or_default() {
            if !out.contains(&p) {
                out.push(p);
            }
        }
        out
    }

    /// A module of its function.
    pub(crate) fn module<'c>(&self, context: &'c Context, name: &str) -> Result<Module<'c>, Refusal> {
        let wrong = |why: Why| Refusal::Unsupported { op: "matmul".into(), why };
        let ([x, y, sum], [rows, depth, columns]) = (self.dtypes, self.extents);
        let ty = |d, shape: &[usize]| tensor(context, d, shape).map_err(wrong);
        let inputs = [ty(x, &[rows, depth])?, ty(y, &[depth, columns])?];
        let result = ty(sum, &[rows, columns])?;
        let block = Block::new(&inputs.map(|t| (t, Location::unknown(context))));
        let b = Builder::new(context, &block);
        let fill = || -> Result<(), Why> {
            let (x, y) = (b.argument(0, x, &[rows, depth])?, b.argument(1, y, &[depth, columns])?);
            let zero = if sum.is_float() { Num::Float(0.0) } else { Num::Int(0) };
            let init = b.fill(sum, &[rows, columns], zero)?;
            let maps = b.maps(3, &[&[0, 2], &[2, 1], &[0, 1]])?;
            let product = b.contract("linalg.matmul", [&x, &y], &init, &[("indexing_maps", maps)])?;
            b.op("func.return", &[product.value], None, &[], vec![]).map(|_| ())
        };
        fill().map_err(wrong)?;
        finish(context, name, (&inputs, &[result]), &[], block)
    }
}

fn products(context: &Context, block: BlockRef<'_, '_>) -> Vec<Product> {
    let (mut out, mut next) = (vec![], block.first_operation());
    while let Some(op) = next {
        if matches!(op.name().as_string_ref().as_str(), Ok("linalg.matmul" | "linalg.batch_matmul")) {
            out.extend(product(&[0, 1, 2].map(|k| op.operand(k).ok().and_then(|v| matrix(context, v.r#type())))));
        }
        next = op.next_in_block();
    }
    out
}

fn product(operands: &[Option<(DType, [usize; 2])>; 3]) -> Option<Product> {
    let [(x, [rows, depth]), (y, [_, columns]), (sum, _)] = [operands[0]?, operands[1]?, operands[2]?];
    Some(Product { dtypes: [x, y, sum], extents: [rows, depth, columns] })
}

/// The element type of a tensor, and its last two extents.
fn matrix(context: &Context, ty: Type<'_>) -> Option<(DType, [usize; 2])> {
    use DType::*;
    let t = RankedTensorType::try_from(ty).ok()?;
    let named = [F64, F32, F16, BF16, Bool, I8, I16, I32, I64];
    let dtype = named
        .into_iter()
        .find(|d| crate::build::element(context, *d).is_ok_and(|e| e.to_raw().ptr == t.element().to_raw().ptr))?;
    let extent = |back: usize| match t.dim_size(t.rank().checked_sub(back)?) {
        Ok(DimSize::Static(n)) => usize::try_from(n).ok(),
        _ => None,
    };
    Some((dtype, [extent(2)?, extent(1)?]))
}
