//! Convolutions. ONNX is channels first, the IR channels last: data and weights pass through transposes, which later passes
//! cancel against each other or fold into constants.

use beiming_ir::ops::{BinaryOp, Conv, ConvTranspose, Op, PadMode};
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::matmul::centred;
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[
    row("Conv", &[1, 11, 22], 3, conv),
    row("ConvInteger", &[10], 4, conv_integer),
    row("ConvTranspose", &[1, 11, 22], 3, conv_transpose),
];

/// `[N, C, S..]` to `[N, S.., C]`.
pub fn channels_last(cx: &mut Cx<'_, '_>, x: V) -> R {
    let rank = cx.rank(x);
    let perm = std::iter::once(0).chain(2..rank).chain([1]).collect();
    cx.transpose(x, perm)
}

/// `[N, S.., C]` to `[N, C, S..]`.
pub fn channels_first(cx: &mut Cx<'_, '_>, x: V) -> R {
    let rank = cx.rank(x);
    let perm = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    cx.transpose(x, perm)
}

/// Attributes that convolutions and pools share.
pub struct Window {
    /// Extents of the window.
    pub kernel: Vec<usize>,
    /// Steps.
    pub strides: Vec<usize>,
    /// Distances of taps.
    pub dilations: Vec<usize>,
}

/// A list of `n` positive numbers, or ones.
fn positive(cx: &Cx<'_, '_>, name: &str, n: usize) -> R<Vec<usize>> {
    let Some(list) = cx.int_list(name)?.filter(|l| !l.is_empty()) else { return Ok(vec![1; n]) };
    let values: Vec<usize> = list.iter().filter(|v| (1..=1 << 31).contains(*v)).map(|v| *v as usize).collect();
    if list.len() != n || values.len() != n {
        return bad_attribute(format!("attribute `{name}` is {list:?}; it must hold {n} positive numbers"));
    }
    Ok(values)
}

impl Window {
    /// Reads the attributes; `kernel` is the extent of the weights, where there are any.
    pub fn read(cx: &Cx<'_, '_>, spatial: usize, kernel: Option<Vec<usize>>) -> R<Window> {
        if !(1..=3).contains(&spatial) {
            return unsupported(format!("windows over {spatial} spatial axes; supported are 1, 2 and 3"));
        }
        let given = cx.int_list("kernel_shape")?.is_some_and(|l| !l.is_empty());
        let kernel = match (kernel, given) {
            (Some(k), false) => k,
            (None, false) => return bad_attribute("attribute `kernel_shape` is missing"),
            (known, true) => {
                let k = positive(cx, "kernel_shape", spatial)?;
                if known.as_ref().is_some_and(|w| *w != k) {
                    return bad_attribute(format!(
                        "attribute `kernel_shape` is {k:?}, but the weights have {:?}",
                        known.unwrap_or_default()
                    ));
                }
                k
            }
        };
        Ok(Window { kernel, strides: positive(cx, "strides", spatial)?, dilations: positive(cx, "dilations", spatial)? })
    }

    /// Extent of input that a window covers, a spatial axis.
    pub fn span(&self, i: usize) -> i64 {
        (self.dilations[i] * (self.kernel[i] - 1) + 1) as i64
    }

    /// Padding before and after, one pair a spatial axis. `extents` are the data's spatial extents.
    pub fn pads(&self, cx: &Cx<'_, '_>, extents: &[Dim]) -> R<Vec<(Dim, Dim)>> {
        let n = self.kernel.len();
        let mode = cx.string("auto_pad", "NOTSET")?;
        let upper = match mode.as_str() {
            "NOTSET" | "" => {
                let list = cx.int_list("pads")?.unwrap_or_default();
                if list.is_empty() {
                    return Ok(vec![(0.into(), 0.into()); n]);
                }
                if list.len() != 2 * n || list.iter().any(|p| p.abs() > 1 << 31) {
                    return bad_attribute(format!("attribute `pads` is {list:?}; it must hold {} numbers", 2 * n));
                }
                return Ok((0..n).map(|i| (list[i].into(), list[n + i].into())).collect());
            }
            "VALID" => return Ok(vec![(0.into(), 0.into()); n]),
            "SAME_UPPER" => true,
            "SAME_LOWER" => false,
            m => {
                return bad_attribute(format!(
                    "attribute `auto_pad` is `{m}`; allowed are NOTSET, SAME_UPPER, SAME_LOWER, VALID"
                ));
            }
        };
        let same = |i: usize| {
            let (stride, span) = (Dim::from(self.strides[i]), Dim::from(self.span(i)));
            // (ceil(S / stride) - 1) * stride + span - S
            let out = extents[i].ceil_div(&stride);
            let total = (out - 1.into()) * stride + span - extents[i].clone();
            let total = cx.max_dim(&total, &0.into());
            let half = total.floor_div(&2.into());
            let rest = total - half.clone();
            if upper { (half, rest) } else { (rest, half) }
        };
        Ok((0..n).map(same).collect())
    }
}

/// Brings pads into the payload's form. Pads that depend on a symbol become a `Pad` in front, with `outside` as its value.
pub fn fixed_pads(cx: &mut Cx<'_, '_>, x: V, pads: Vec<(Dim, Dim)>, outside: f64) -> R<(V, Vec<(i64, i64)>)> {
    let known: Option<Vec<(i64, i64)>> = pads.iter().map(|(a, b)| Some((a.known()?, b.known()?))).collect();
    if let Some(known) = known {
        return Ok((x, known));
    }
    let n = pads.len();
    let (mut lo, mut hi) = (vec![Dim::Known(0); n + 2], vec![Dim::Known(0); n + 2]);
    for (i, (a, b)) in pads.into_iter().enumerate() {
        (lo[i + 1], hi[i + 1]) = (a, b);
    }
    let value = cx.scalar_like(x, outside);
    let x = cx.emit(Op::Pad { lo, hi, mode: PadMode::Constant }, &[x, value])?;
    Ok((x, vec![(0, 0); n]))
}

fn groups(cx: &Cx<'_, '_>) -> R<usize> {
    match cx.int("group", 1)? {
        g @ 1..=0x7fff_ffff => Ok(g as usize),
        g => bad_attribute(format!("attribute `group` is {g}; it must be positive")),
    }
}

/// Known spatial extents of the weights, which lie behind two axes of channels.
fn kernel(cx: &Cx<'_, '_>, x: V, w: V) -> R<Vec<usize>> {
    if cx.rank(w) < 3 || cx.rank(w) != cx.rank(x) {
        let (x, w) = (cx.rank(x), cx.rank(w));
        return bad_arguments(format!("data and weights must have one rank, of 3 or more; they have {x} and {w}"));
    }
    let k = (2..cx.rank(w)).map(|i| cx.extent(w, i, "the extent of the kernel")).collect::<R<Vec<_>>>()?;
    if k.contains(&0) {
        return bad_arguments(format!("the kernel has extents {k:?}, which must be positive"));
    }
    Ok(k)
}

/// The convolution of channels-first data and weights, without bias, channels last.
pub fn convolve(cx: &mut Cx<'_, '_>, x: V, w: V) -> R {
    let kernel = kernel(cx, x, w)?;
    let window = Window::read(cx, kernel.len(), Some(kernel))?;
    let groups = groups(cx)?;
    let pads = window.pads(cx, &cx.shape(x)[2..])?;
    let rank = cx.rank(w);
    let x = channels_last(cx, x)?;
    let (x, pads) = fixed_pads(cx, x, pads, 0.0)?;
    let w = cx.transpose(w, (2..rank).chain([1, 0]).collect())?;
    let op = Conv { strides: window.strides, dilations: window.dilations, pads, groups };
    cx.emit(Op::Conv(op), &[x, w])
}

fn conv(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let mut y = convolve(cx, x, w)?;
    if let Some(b) = cx.opt(2) {
        y = cx.binary(BinaryOp::Add, y, b)?;
    }
    Ok(vec![channels_first(cx, y)?])
}

fn conv_integer(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let x = centred(cx, x, cx.opt(2), false)?;
    let w = match cx.opt(3).filter(|z| cx.rank(*z) == 1) {
        // One zero point an output channel.
        Some(z) => {
            let rank = cx.rank(w);
            let z = cx.cast(z, DType::I32)?;
            let z = cx.per_channel(z, 0, rank)?;
            let w = cx.cast(w, DType::I32)?;
            cx.binary(BinaryOp::Sub, w, z)?
        }
        None => centred(cx, w, cx.opt(3), false)?,
    };
    let y = convolve(cx, x, w)?;
    Ok(vec![channels_first(cx, y)?])
}

fn conv_transpose(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let kernel = kernel(cx, x, w)?;
    let n = kernel.len();
    let window = Window::read(cx, n, Some(kernel))?;
    let groups = groups(cx)?;
    let list = |name: &str| -> R<Option<Vec<i64>>> {
        let l = cx.int_list(name)?.filter(|l| !l.is_empty());
        match &l {
            Some(l) if l.len() != n || l.iter().any(|v| !(0..=1 << 31).contains(v)) => {
                bad_attribute(format!("attribute `{name}` is {l:?}; it must hold {n} numbers that are not negative"))
            }
            _ => Ok(l),
        }
    };
    let extra = list("output_padding")?.unwrap_or(vec![0; n]);
    let wanted = list("output_shape")?;
    let mode = cx.string("auto_pad", "NOTSET")?;
    let spatial = cx.shape(x)[2..].to_vec();
    let mut pads = vec![];
    for i in 0..n {
        // The uncropped result has stride*(S-1) + extra + span elements.
        let stride = Dim::from(window.strides[i]);
        let full = stride.clone() * (spatial[i].clone() - 1.into()) + Dim::from(window.span(i) + extra[i]);
        let target = match (&wanted, mode.as_str()) {
            (Some(s), _) => Some(Dim::from(s[i])),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(spatial[i].clone() * stride),
            _ => None,
        };
        pads.push(match target {
            Some(t) => {
                let Some(total) = (full - t).known() else {
                    return unsupported("a given output shape over spatial extents that are not known");
                };
                let (small, large) = (total.div_euclid(2), total - total.div_euclid(2));
                if mode == "SAME_UPPER" { (small, large) } else { (large, small) }
            }
            None => match window.pads(cx, &spatial)?[i].clone() {
                (Dim::Known(a), Dim::Known(b)) => (a, b),
                _ => return unsupported("padding over spatial extents that are not known"),
            },
        });
    }
    let rank = cx.rank(w);
    let x = channels_last(cx, x)?;
    // [C, O/groups, K..] to [K.., C, O/groups].
    let w = cx.transpose(w, (2..rank).chain([0, 1]).collect())?;
    let op = ConvTranspose {
        strides: window.strides,
        dilations: window.dilations,
        pads,
        extra: extra.iter().map(|e| *e as usize).collect(),
        groups,
    };
    let mut y = cx.emit(Op::ConvTranspose(op), &[x, w])?;
    if let Some(b) = cx.opt(2) {
        y = cx.binary(BinaryOp::Add, y, b)?;
    }
    Ok(vec![channels_first(cx, y)?])
}
