//! Layouts of matrix products: a transpose around one may be an operand's instead, where that leaves less to turn around.

use beiming_ir::ops::Op;
use beiming_ir::types::{DType, Dim};
use egg::Id;

use super::Promise::Exact;
use super::Rule;
use super::layout::{reshaped, transposed};
use crate::layout::{besides_ones, compose, inverse, permute};
use crate::saturate::facts::{Eg, add, add_reshape, add_transpose, find_all, ty};

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "turned-product",
        promise: Exact,
        root: |op| matches!(op, Op::Transpose { .. }),
        apply: turned_product,
        example: |g| {
            let (x, y) = (g.input(&[2, 3, 4]), g.input(&[2, 4, 5]));
            let z = g.op(Op::MatMul { out: DType::F32 }, &[x, y]);
            let perm = g.pick(&[[0, 2, 1], [2, 0, 1], [2, 1, 0]]);
            let z = g.transpose(&perm, z);
            g.done(z)
        },
    },
    Rule {
        name: "turned-product-with-ones",
        promise: Exact,
        root: |op| matches!(op, Op::Transpose { .. }),
        apply: transpose_before_ones,
        example: |g| {
            let (x, y) = (g.input(&[2, 3, 4]), g.input(&[2, 4, 5]));
            let z = g.op(Op::MatMul { out: DType::F32 }, &[x, y]);
            let z = g.reshape(&[1, 2, 3, 1, 5], z);
            let perm = g.pick(&[[3, 0, 4, 1, 2], [0, 1, 4, 3, 2]]);
            let z = g.transpose(&perm, z);
            g.done(z)
        },
    },
    Rule {
        name: "product-with-column",
        promise: Exact,
        root: |op| matches!(op, Op::MatMul { .. }),
        apply: product_with_column,
        example: |g| {
            let (x, y) = (g.input(&[2, 4, 3, 5]), g.input(&[3, 4, 1]));
            let x = g.transpose(&[0, 2, 3, 1], x);
            let z = g.op(Op::MatMul { out: DType::F32 }, &[x, y]);
            g.done(z)
        },
    },
];

/// `(x y)^T` as `y^T x^T`, where that leaves less to turn around.
fn turned_product(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Transpose { perm } = op else { return vec![] };
    let rank = perm.len();
    // The axes of the matrices change their order.
    let place = inverse(perm);
    if rank < 2 || place[rank - 1] > place[rank - 2] {
        return vec![];
    }
    let products = find_all(eg, c[0], |op, c| match op {
        Op::MatMul { out } => Some((*out, c[0], c[1])),
        _ => None,
    });
    let mut out = vec![];
    for (dtype, x, y) in products {
        let swap = |eg: &mut Eg, v: Id| {
            let mut q: Vec<usize> = (0..ty(eg, v).rank()).collect();
            let last = q.len() - 1;
            q.swap(last, last - 1);
            let below = transposed(eg, v).into_iter().next();
            match below {
                Some((p, source)) => add_transpose(eg, &compose(&q, &p), source),
                None => add_transpose(eg, &q, v),
            }
        };
        let (Some(a), Some(b)) = (swap(eg, y), swap(eg, x)) else { continue };
        let product = add(eg, Op::MatMul { out: dtype }, &[a, b]);
        let rest: Vec<usize> = perm.iter().map(|&p| if p + 2 < rank { p } else { 2 * rank - 3 - p }).collect();
        out.extend(product.and_then(|v| add_transpose(eg, &rest, v)));
    }
    out
}

/// The transpose of a product that got axes of extent one as the transpose of the product, and then those axes: it is one that
/// `turned_product` sees.
fn transpose_before_ones(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let Op::Transpose { perm } = op else { return vec![] };
    let outer = ty(eg, c[0]).shape.clone();
    let shape = permute(perm, &outer);
    let mut out = vec![];
    for x in reshaped(eg, c[0]) {
        let inner = ty(eg, x).shape.clone();
        let is_product = !find_all(eg, x, |op, _| matches!(op, Op::MatMul { .. }).then_some(())).is_empty();
        let Some(axes) = besides_ones(&inner, &outer).filter(|_| is_product) else { continue };
        // The product's longer axes in the order of the result; those of extent one stay where they are.
        let mut order = perm.iter().filter_map(|&p| axes[p]);
        let moved: Option<Vec<usize>> = (0..inner.len()).map(|a| if inner[a].is(1) { Some(a) } else { order.next() }).collect();
        let turned = moved.and_then(|p| add_transpose(eg, &p, x));
        out.extend(turned.and_then(|y| add_reshape(eg, shape.clone(), y)));
    }
    out
}

/// A transposed matrix times a column as the row times the matrix turned back: the cache of a decoder that keeps `[length, heads,
/// width]` is then read where it lies.
fn product_with_column(eg: &mut Eg, op: &Op, c: &[Id]) -> Vec<Id> {
    let result = |shape: &[Dim], rows: &Dim| [&shape[..shape.len() - 2], &[rows.clone(), 1.into()]].concat();
    let column = ty(eg, c[1]).shape.clone();
    if !column[column.len() - 1].is(1) {
        return vec![];
    }
    let mut row = column.clone();
    row.swap(column.len() - 1, column.len() - 2);
    let mut out = vec![];
    for (p, x) in transposed(eg, c[0]) {
        let rank = p.len();
        // Turned back, neighbours along a row are neighbours in memory.
        if p[rank - 2] != rank - 1 {
            continue;
        }
        let rows = ty(eg, c[0]).shape[rank - 2].clone();
        let mut q = p;
        q.swap(rank - 1, rank - 2);
        let (Some(matrix), Some(row)) = (add_transpose(eg, &q, x), add_reshape(eg, row.clone(), c[1])) else { continue };
        let Some(product) = add(eg, op.clone(), &[row, matrix]) else { continue };
        let shape = result(&ty(eg, product).shape, &rows);
        out.extend(add_reshape(eg, shape, product));
    }
    out
}
