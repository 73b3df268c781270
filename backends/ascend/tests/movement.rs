//! Data movement: transpositions, slices, joins, padding, rows by index; alone and inside groups, on every generation.

mod support;

use beiming_ir::ops::{BinaryOp, Op, PadMode, Slice};
use beiming_ir::types::{DType, Dim};

use DType::{BF16, F16, F32, I8, I16, I32, I64, U8};
use support::{CHIPS, Call, Node, fused_deep, simulate};

fn calls(name: &str, inputs: &[(DType, &[usize])], nodes: Vec<Node>, chip: &str) -> Vec<Call> {
    fused_deep(name, inputs, &[], nodes, chip, 0)
}

fn dims(d: &[i64]) -> Vec<Dim> {
    d.iter().map(|d| Dim::Known(*d)).collect()
}

fn slice(start: &[i64], len: &[i64], step: &[i64]) -> Op {
    Op::Slice(Slice { start: dims(start), len: dims(len), step: step.into() })
}

#[test]
fn transpositions() {
    let mut all = vec![];
    for chip in CHIPS {
        for (shape, perm) in [
            (&[5usize, 7][..], &[1usize, 0][..]),
            (&[33, 130], &[1, 0]),
            (&[2, 3, 31], &[0, 2, 1]),
            (&[3, 16, 5], &[2, 1, 0]),
            (&[1, 3, 6, 10], &[0, 2, 3, 1]),
            (&[4, 2, 3, 9], &[1, 0, 3, 2]),
            (&[3, 4, 8], &[1, 0, 2]),
        ] {
            let t = Op::Transpose { perm: perm.to_vec() };
            all.extend(calls("transpose", &[(F32, shape)], vec![(t, vec![100])], chip));
        }
        let t = Op::Transpose { perm: vec![1, 0] };
        all.extend(calls("transpose", &[(F16, &[19, 65])], vec![(t.clone(), vec![100])], chip));
        all.extend(calls("transpose", &[(I32, &[9, 11])], vec![(t.clone(), vec![100])], chip));
        let sum = (Op::Binary(BinaryOp::Add), vec![0, 101]);
        all.extend(calls("turned sum", &[(F32, &[21, 10]), (F32, &[10, 21])], vec![(t, vec![100]), sum], chip));
        all.extend(calls("every third", &[(F32, &[4, 50])], vec![(slice(&[1, 1], &[2, 16], &[1, 3]), vec![100])], chip));
    }
    let t = Op::Transpose { perm: vec![1, 0] };
    all.extend(calls("transpose", &[(BF16, &[19, 40])], vec![(t, vec![100])], "ascend910b1"));
    simulate(&all);
}

#[test]
fn parts() {
    let mut all = vec![];
    for chip in CHIPS {
        for (a, b, axis) in [([2usize, 3, 5], [2usize, 3, 7], 2), ([1, 4, 33], [1, 2, 33], 1), ([1, 1, 128], [1, 1, 128], 0)] {
            all.extend(calls("concat", &[(F32, &a), (F32, &b)], vec![(Op::Concat { axis }, vec![100, 101])], chip));
        }
        let add = (Op::Binary(BinaryOp::Mul), vec![0, 102]);
        let joined = vec![(Op::Concat { axis: 1 }, vec![100, 101]), add];
        all.extend(calls("of a join", &[(F16, &[3, 16]), (F16, &[3, 5]), (F16, &[21])], joined, chip));
        for mode in [PadMode::Constant, PadMode::Edge, PadMode::Reflect] {
            for (shape, lo, hi) in [(&[1usize, 40][..], &[0i64, 0][..], &[0i64, 9][..]), (&[5, 6, 4], &[1, 2, 0], &[1, 3, 0])] {
                let pad = Op::Pad { lo: dims(lo), hi: dims(hi), mode };
                let name = format!("pad {mode:?}");
                all.extend(calls(&name, &[(F32, shape), (F32, &[])], vec![(pad, vec![100, 101])], chip));
            }
        }
        all.extend(calls("slice", &[(F32, &[6, 40])], vec![(slice(&[1, 3], &[2, 30], &[2, 1]), vec![100])], chip));
    }
    simulate(&all);
}

#[test]
fn rows_by_index() {
    let mut all = vec![];
    for chip in CHIPS {
        for (data, ids, axis, dtype) in
            [(&[7usize, 33][..], &[2usize, 3][..], 0, I64), (&[3, 9, 16], &[5], 1, I32), (&[4, 3000], &[1], 0, I64)]
        {
            for of in [F32, F16, I32, I16, U8, I8] {
                all.extend(calls("gather", &[(of, data), (dtype, ids)], vec![(Op::Gather { axis }, vec![100, 101])], chip));
            }
        }
        let add = (Op::Binary(BinaryOp::Add), vec![0, 102]);
        let nodes = vec![(Op::Gather { axis: 0 }, vec![100, 101]), add];
        all.extend(calls("embedding", &[(F16, &[9, 40]), (I64, &[1, 6]), (F16, &[6, 40])], nodes, chip));
    }
    simulate(&all);
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in CHIPS {
        let npu = beiming_ir::target::npu::Npu::by_name(chip).expect("a known chip");
        let turned = calls("transpose", &[(F32, &[33, 130])], vec![(Op::Transpose { perm: vec![1, 0] }, vec![100])], chip);
        let rows = calls("gather", &[(F16, &[7, 40]), (I64, &[2, 3])], vec![(Op::Gather { axis: 0 }, vec![100, 101])], chip);
        for (name, made) in [("transpose_f32", turned), ("gather_f16", rows)] {
            let [call] = &made[..] else { panic!("{name}: {} kernels", made.len()) };
            let text = beiming_ascend::emit::kernel(&call.kernel, &npu).expect("a spelling");
            insta::assert_snapshot!(format!("{name}__{chip}"), text);
        }
    }
}
