//! The algebra of permutations and reshapes: what the layout rules and the identities compute with.
//!
//! A permutation has the meaning of `Op::Transpose`: result axis `i` is argument axis `perm[i]`.

use beiming_ir::types::Dim;

/// `inner` first, then `outer`, as one permutation.
pub fn compose(outer: &[usize], inner: &[usize]) -> Vec<usize> {
    outer.iter().map(|&i| inner[i]).collect()
}

/// The permutation that undoes `perm`.
pub fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut out = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        out[p] = i;
    }
    out
}

/// True where no axis moves.
pub fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(i, &p)| i == p)
}

/// True where `perm` moves only axes of extent one of `shape`: the elements stay in row-major order.
pub fn is_relabeling(perm: &[usize], shape: &[Dim]) -> bool {
    let mut kept = perm.iter().filter(|&&p| !shape[p].is(1));
    let mut last = None;
    kept.all(|&p| last.replace(p).is_none_or(|l| l < p))
}

/// `shape` with its axes in the order of `perm`.
pub fn permute<T: Clone>(perm: &[usize], shape: &[T]) -> Vec<T> {
    perm.iter().map(|&p| shape[p].clone()).collect()
}

/// The permutation that is left of `perm` when the argument axes `gone` vanish from both sides.
pub fn without_axes(perm: &[usize], gone: &[usize]) -> Vec<usize> {
    let kept = perm.iter().filter(|p| !gone.contains(p));
    kept.map(|&p| p - gone.iter().filter(|&&g| g < p).count()).collect()
}

/// Runs of axes of a reshape that correspond: `(from, to)` ranges of equal element count, as short as they can be found.
/// Axes of extent one are taken in by the run before them. `None` where the extents cannot be matched up.
pub fn reshape_groups(from: &[Dim], to: &[Dim]) -> Option<Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>> {
    let mut groups = vec![];
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (start_i, start_j) = (i, j);
        let (mut a, mut b) = (Dim::from(1), Dim::from(1));
        // Take one axis of each side first, so that equal axes pair up one to one.
        if i < from.len() {
            a = from[i].clone();
            i += 1;
        }
        if j < to.len() {
            b = to[j].clone();
            j += 1;
        }
        while a != b {
            // Which side is behind is decided by divisibility; with symbols the one that does not hold the other grows.
            let grow_left = match (a.known(), b.known()) {
                (Some(x), Some(y)) => x < y,
                _ => !holds(&a, &b),
            };
            if grow_left && i < from.len() {
                a = a * from[i].clone();
                i += 1;
            } else if !grow_left && j < to.len() {
                b = b * to[j].clone();
                j += 1;
            } else {
                return None;
            }
        }
        while i < from.len() && from[i].is(1) && (j >= to.len() || !to[j].is(1)) {
            i += 1;
        }
        while j < to.len() && to[j].is(1) && (i >= from.len() || !from[i].is(1)) {
            j += 1;
        }
        groups.push((start_i..i, start_j..j));
    }
    Some(groups)
}

/// True where `a` is a multiple of `b` by the form of the expressions.
fn holds(a: &Dim, b: &Dim) -> bool {
    let q = a.floor_div(b);
    q * b.clone() == *a
}

/// Where two shapes are the same but for axes of extent one: for each axis of `to`, the axis of `from` that it is; `None` for those of
/// extent one.
pub fn besides_ones(from: &[Dim], to: &[Dim]) -> Option<Vec<Option<usize>>> {
    let mut rest = (0..from.len()).filter(|&a| !from[a].is(1));
    let mut axes = vec![];
    for d in to {
        let axis = if d.is(1) { None } else { Some(rest.next().filter(|&a| from[a] == *d)?) };
        axes.push(axis);
    }
    rest.next().is_none().then_some(axes)
}

/// `Reshape(Transpose(perm, x))` as `Transpose(perm', Reshape(x))`: the shape and the permutation of the second form, where
/// every run of axes that the reshape joins or splits is a run of `x` too. `shape` is the shape of `x`, `to` the result's.
pub fn reshape_before_transpose(shape: &[Dim], perm: &[usize], to: &[Dim]) -> Option<(Vec<Dim>, Vec<usize>)> {
    let middle = permute(perm, shape);
    let groups = reshape_groups(&middle, to)?;
    // Each group as axes of x (ones do not matter), which must be consecutive there.
    let mut order: Vec<(usize, usize)> = vec![];
    for (g, (from, _)) in groups.iter().enumerate() {
        let axes: Vec<usize> = from.clone().map(|m| perm[m]).filter(|&p| !shape[p].is(1)).collect();
        let consecutive = axes.windows(2).all(|w| (w[0] + 1..w[1]).all(|p| shape[p].is(1)) && w[0] < w[1]);
        if !consecutive {
            return None;
        }
        order.push((axes.first().copied().unwrap_or_else(|| perm.get(from.start).copied().unwrap_or(0)), g));
    }
    order.sort_unstable();
    let mut reshaped = vec![];
    let mut place = vec![0; groups.len()];
    for &(_, g) in &order {
        place[g] = reshaped.len();
        reshaped.extend(to[groups[g].1.clone()].iter().cloned());
    }
    let out = groups.iter().enumerate().flat_map(|(g, (_, t))| (0..t.len()).map(|k| (g, k)).collect::<Vec<_>>());
    let perm: Vec<usize> = out.map(|(g, k)| place[g] + k).collect();
    Some((reshaped, perm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(v: &[i64]) -> Vec<Dim> {
        v.iter().map(|&d| Dim::from(d)).collect()
    }

    #[test]
    fn permutations() {
        let (nhwc, nchw) = (vec![0, 2, 3, 1], vec![0, 3, 1, 2]);
        assert_eq!(inverse(&nhwc), nchw);
        assert!(is_identity(&compose(&nhwc, &nchw)));
        assert_eq!(compose(&[1, 0, 2], &[2, 0, 1]), vec![0, 2, 1]);
        assert!(is_relabeling(&nhwc, &dims(&[4, 7, 1, 1])));
        assert!(!is_relabeling(&nhwc, &dims(&[4, 7, 2, 1])));
        assert_eq!(without_axes(&[0, 3, 1, 2], &[1, 2]), vec![0, 1]);
    }

    #[test]
    fn shapes_that_differ_in_ones() {
        let axes = |from: &[i64], to: &[i64]| besides_ones(&dims(from), &dims(to));
        assert_eq!(axes(&[4, 1, 5], &[1, 4, 5, 1]), Some(vec![None, Some(0), Some(2), None]));
        assert_eq!(axes(&[1], &[]), Some(vec![]));
        assert_eq!(axes(&[4, 5], &[5, 4]), None);
        assert_eq!(axes(&[4, 5], &[4]), None);
        assert_eq!(axes(&[4], &[4, 5]), None);
    }

    #[test]
    fn groups_of_a_reshape() {
        let g = reshape_groups(&dims(&[2, 12, 5]), &dims(&[2, 3, 4, 5])).unwrap();
        assert_eq!(g, vec![(0..1, 0..1), (1..2, 1..3), (2..3, 3..4)]);
        assert_eq!(reshape_groups(&dims(&[6, 4]), &dims(&[4, 6])).unwrap(), vec![(0..2, 0..2)]);
        let n = Dim::sym("N");
        let from = [n.clone(), Dim::from(64)];
        let to = [n.clone(), Dim::from(8), Dim::from(8)];
        assert_eq!(reshape_groups(&from, &to).unwrap(), vec![(0..1, 0..1), (1..2, 1..3)]);
    }

    #[test]
    fn reshape_moves_before_transpose() {
        // Channels-last features flattened to tokens and back: [N,H,W,C] -> [N,C,H,W] -> [N,C,H*W].
        let (shape, perm) = reshape_before_transpose(&dims(&[2, 5, 6, 7]), &[0, 3, 1, 2], &dims(&[2, 7, 30])).unwrap();
        assert_eq!((shape, perm), (dims(&[2, 30, 7]), vec![0, 2, 1]));
        assert!(reshape_before_transpose(&dims(&[2, 5, 6]), &[0, 2, 1], &dims(&[2, 30])).is_none());
    }
}
