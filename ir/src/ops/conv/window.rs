//! Windows over known extents: which element of the data each tap reads.

use crate::eval::EvalError;
use crate::ops::InferError;
use crate::types::TensorType;

/// One spatial axis with known extents. All evaluation below is over three spatial axes; missing ones have extent one.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Extent of the data.
    pub(super) input: usize,
    /// Extent of the result.
    pub(super) output: usize,
    /// Taps.
    pub(super) window: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) lo: i64,
    pub(super) hi: i64,
}

impl Axis {
    pub(super) const ONE: Axis = Axis { input: 1, output: 1, window: 1, stride: 1, dilation: 1, lo: 0, hi: 0 };

    /// Coordinate that tap `t` of the window at `o` reads, without regard to the range.
    pub(super) fn coordinate(&self, o: usize, t: usize) -> i64 {
        (o * self.stride + t * self.dilation) as i64 - self.lo
    }

    /// The coordinate, where it is in the data (what a negative pad crops is not).
    pub(super) fn source(&self, o: usize, t: usize) -> Option<usize> {
        let end = (self.input as i64).min(self.input as i64 + self.hi);
        let p = self.coordinate(o, t);
        (0..end).contains(&p).then_some(p as usize)
    }
}

/// The spatial axes of data and result, aligned at the last.
pub(super) fn axes(
    data: &[usize],
    result: &[usize],
    window: &[usize],
    step: (&[usize], &[usize]),
    pads: &[(i64, i64)],
) -> [Axis; 3] {
    let mut axes = [Axis::ONE; 3];
    let spatial = data.len() - 2;
    for i in 0..spatial {
        axes[3 - spatial + i] = Axis {
            input: data[i + 1],
            output: result[i + 1],
            window: window[i],
            stride: step.0[i],
            dilation: step.1[i],
            lo: pads[i].0,
            hi: pads[i].1,
        };
    }
    axes
}

/// Every coordinate of a box, row-major.
pub(super) fn coordinates(extents: [usize; 3]) -> impl Iterator<Item = [usize; 3]> + Clone {
    let [a, b, c] = extents;
    (0..a).flat_map(move |x| (0..b).flat_map(move |y| (0..c).map(move |z| [x, y, z])))
}

/// Row-major position in a box.
pub(super) fn flat(at: [usize; 3], extents: [usize; 3]) -> usize {
    (at[0] * extents[1] + at[1]) * extents[2] + at[2]
}

/// Position in the data that tap `t` of the window at `o` reads; `None` where that is out of range.
pub(super) fn source(axes: &[Axis; 3], o: [usize; 3], t: [usize; 3]) -> Option<usize> {
    let at = [axes[0].source(o[0], t[0])?, axes[1].source(o[1], t[1])?, axes[2].source(o[2], t[2])?];
    Some(flat(at, axes.map(|a| a.input)))
}

/// The known shape `infer` gives; what `eval` fills.
pub(super) fn known_shape(infer: Result<Vec<TensorType>, InferError>) -> Result<Vec<usize>, EvalError> {
    let types = infer.map_err(|e| EvalError(e.message))?;
    let shape = types.first().and_then(TensorType::static_shape);
    shape.ok_or_else(|| EvalError("the result has a negative extent".into()))
}
