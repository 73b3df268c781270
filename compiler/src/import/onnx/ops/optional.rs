//! What is a tensor, or nothing, of the optional type: tensors pass through, and it is known whether there is one.

use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::DType;

use super::super::node::{Cx, R};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("OptionalHasElement", &[15, 18], 1, has), row("OptionalGetElement", &[15, 18], 1, get)];

fn has(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let there = cx.opt(0).is_some();
    Ok(vec![cx.constant(Tensor::scalar(DType::Bool, Num::Int(there.into())))])
}

fn get(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    Ok(vec![cx.input(0)?])
}
