//! Walking several tensors of one (broadcast) shape together, by strides, without dividing for every element.

/// Row-major strides of a dense tensor, in elements.
pub(crate) fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(shape[i]);
    }
    strides
}

/// The shape two shapes broadcast to by numpy's rules; `None` where they do not.
pub(crate) fn broadcast_known(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Strides that read a dense tensor of shape `from` as if it were broadcast to `to`: zero along broadcast axes.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let lead = to.len().saturating_sub(from.len());
    let dense = dense_strides(from);
    (0..to.len()).map(|i| if i < lead || from[i - lead] != to[i] { 0 } else { dense[i - lead] }).collect()
}

/// Calls `row(offsets, steps, n)` for every run along the last axis of `shape`, in row-major order: the run's `n` elements are
/// at `offsets[t] + i * steps[t]` of tensor `t`. Neighbouring axes that are one run in every tensor are joined first.
pub(crate) fn rows<const N: usize>(shape: &[usize], strides: [&[usize]; N], mut row: impl FnMut([usize; N], [usize; N], usize)) {
    if shape.contains(&0) {
        return;
    }
    // Axes, innermost last, as (extent, stride in each tensor).
    let mut axes: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len());
    for (i, &extent) in shape.iter().enumerate() {
        if extent == 1 {
            continue;
        }
        let s: [usize; N] = std::array::from_fn(|t| strides[t][i]);
        match axes.last_mut() {
            Some((n, outer)) if (0..N).all(|t| outer[t] == s[t] * extent) => {
                *n *= extent;
                *outer = s;
            }
            _ => axes.push((extent, s)),
        }
    }
    let (n, steps) = axes.pop().unwrap_or((1, [0; N]));
    let mut index = vec![0; axes.len()];
    let mut at = [0; N];
    loop {
        row(at, steps, n);
        let mut i = axes.len();
        loop {
            if i == 0 {
                return;
            }
            i -= 1;
            index[i] += 1;
            let (extent, s) = axes[i];
            if index[i] < extent {
                (0..N).for_each(|t| at[t] += s[t]);
                break;
            }
            index[i] = 0;
            (0..N).for_each(|t| at[t] -= s[t] * (extent - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broadcasting_by_hand() {
        assert_eq!(broadcast_known(&[3, 1], &[4]), Some(vec![3, 4]));
        assert_eq!(broadcast_known(&[0], &[1]), Some(vec![0]));
        assert_eq!(broadcast_known(&[0], &[2]), None);
        assert_eq!(broadcast_strides(&[3, 1], &[2, 3, 4]), [0, 1, 0]);
        assert_eq!(broadcast_strides(&[], &[2]), [0]);
    }

    proptest! {
        /// Every element is visited once, in order, at the offsets that division gives.
        #[test]
        fn rows_visit_what_division_finds(shape in prop::collection::vec(0usize..4, 0..5), keep in any::<u8>()) {
            let from: Vec<usize> = shape.iter().enumerate().map(|(i, &d)| if keep >> i & 1 == 1 { d } else { 1 }).collect();
            let (a, b) = (dense_strides(&shape), broadcast_strides(&from, &shape));
            let mut seen = vec![];
            rows(&shape, [&a, &b], |at, steps, n| (0..n).for_each(|i| seen.push((at[0] + i * steps[0], at[1] + i * steps[1]))));
            let total: usize = shape.iter().product();
            let want: Vec<_> = (0..total)
                .map(|flat| {
                    let at = |strides: &[usize]| -> usize {
                        (0..shape.len()).map(|i| flat / a[i] % shape[i] * strides[i]).sum()
                    };
                    (flat, at(&b))
                })
                .collect();
            prop_assert_eq!(seen, want);
        }
    }
}
