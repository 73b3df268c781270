//! Convolutions as the named ops of `linalg`, channels last, with their padding before them; those of one tap are products.

use beiming_ir::ops::Conv;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;
use melior::ir::Attribute;
use melior::ir::attribute::DenseElementsAttribute;

use crate::build::{Builder, Val, Why, tensor};
use crate::cast::cast;
use crate::matmul::matmul;
use crate::shape::{pad_known, reshape};

/// `(data [N, S.., C], weight [K.., C/groups, O])` to the shape `to`.
pub fn conv<'c, 'b>(b: &Builder<'c, 'b>, p: &Conv, x: &Val<'c, 'b>, w: &Val<'c, 'b>, to: &[usize]) -> Result<Val<'c, 'b>, Why> {
    let one_tap = w.shape[..p.strides.len()].iter().all(|&k| k == 1) && p.strides.iter().all(|&s| s == 1);
    if one_tap && p.groups == 1 && p.pads.iter().all(|e| *e == (0, 0)) && x.dtype.is_float() {
        // A product over the channels, as our lowering has it.
        let w = reshape(b, w, &w.shape[p.strides.len()..])?;
        return matmul(b, x, &w, x.dtype, to);
    }
    let (axes, channels) = (p.strides.len(), x.shape[x.shape.len() - 1]);
    let out = if to[to.len() - 1] == channels && p.groups == channels && channels > 1 { Kind::Depthwise } else { Kind::Full };
    let name = match (out, axes) {
        (Kind::Full, _) if p.groups != 1 => {
            return Err(format!("a convolution of {} groups has no named op in linalg", p.groups));
        }
        (Kind::Full, 1) => "linalg.conv_1d_nwc_wcf",
        (Kind::Full, 2) => "linalg.conv_2d_nhwc_hwcf",
        (Kind::Full, 3) => "linalg.conv_3d_ndhwc_dhwcf",
        (Kind::Depthwise, 1) => "linalg.depthwise_conv_1d_nwc_wc",
        (Kind::Depthwise, 2) => "linalg.depthwise_conv_2d_nhwc_hwc",
        (_, n) => return Err(format!("a convolution over {n} axes has no named op in linalg")),
    };
    if !x.dtype.is_float() {
        return Err(format!("a convolution of {}", x.dtype));
    }
    let edge = |part: fn(&(i64, i64)) -> i64| -> Vec<i64> { [0].into_iter().chain(p.pads.iter().map(part)).chain([0]).collect() };
    let x = pad_known(b, x, &edge(|p| p.0), &edge(|p| p.1), Num::Float(0.0))?;
    // The weight of one channel each has no axis of input channels.
    let w = match out {
        Kind::Full => w.clone(),
        Kind::Depthwise => reshape(b, w, &[&w.shape[..axes], &[channels]].concat())?,
    };
    let sum = if x.dtype.bits() < 32 { DType::F32 } else { x.dtype };
    let numbers = |v: &[usize]| -> Result<Attribute<'c>, Why> {
        let v: Vec<i64> = v.iter().map(|&n| n as i64).collect();
        Ok(DenseElementsAttribute::i64_values(tensor(b.context, DType::I64, &[v.len()])?, &v).into())
    };
    let attributes = [("strides", numbers(&p.strides)?), ("dilations", numbers(&p.dilations)?)];
    let init = b.fill(sum, to, Num::Float(0.0))?;
    cast(b, &b.contract(name, [&x, &w], &init, &attributes)?, x.dtype)
}

/// Which channels an output channel sees.
#[derive(Clone, Copy)]
enum Kind {
    /// All.
    Full,
    /// Its own.
    Depthwise,
}
