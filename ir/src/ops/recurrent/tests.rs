//! Values are held against ONNX in `tests/onnx_reference.rs`.

use super::*;
use crate::ops::Op;
use crate::ops::testing::{count, ints, run, types};
use crate::tensor::{Num, Tensor};

fn lstm(direction: Direction, clip: Option<f64>) -> Op {
    Op::Lstm(Lstm { direction, hidden: 3, clip: clip.map(Real::from), input_forget: false })
}

#[test]
fn shapes_are_inferred() {
    let args =
        ["f32[N, M, 2]", "f32[2, 12, 2]", "f32[2, 12, 3]", "f32[2, 24]", "i32[M]", "f32[2, M, 3]", "f32[2, M, 3]", "f32[2, 9]"];
    let got = types(&lstm(Direction::Bidirectional, None), &args).expect("fits");
    assert_eq!(got, ["f32[N, 2, M, 3]", "f32[2, M, 3]", "f32[2, M, 3]"]);
    let wrong: [(usize, &str, &str); 6] = [
        (0, "f32[N, M]", "x must be [T, B, I], got f32[N, M]"),
        (0, "i32[N, M, 2]", "x must be of a float type, got i32[N, M, 2]"),
        (1, "f32[1, 12, 2]", "w must be f32[2, 12, 2], got f32[1, 12, 2]"),
        (3, "f32[2, 12]", "bias must be f32[2, 24], got f32[2, 12]"),
        (4, "i64[M]", "lens must be i32[M], got i64[M]"),
        (7, "f32[2, 3]", "peephole must be f32[2, 9], got f32[2, 3]"),
    ];
    for (i, ty, want) in wrong {
        let mut args = args;
        args[i] = ty;
        assert_eq!(types(&lstm(Direction::Bidirectional, None), &args), Err(want.to_string()));
    }
    let clip = types(&lstm(Direction::Bidirectional, Some(f64::NAN)), &args);
    assert_eq!(clip, Err("clip must be positive, got Some(NaN)".to_string()));
    let gru = Op::Gru(Gru { direction: Direction::Reverse, hidden: 3, clip: None, linear_before_reset: true });
    let args = ["f16[N, M, 2]", "f16[1, 9, 2]", "f16[1, 9, 3]", "f16[1, 18]", "i32[M]", "f16[1, M, 3]"];
    assert_eq!(types(&gru, &args).expect("fits"), ["f16[N, 1, M, 3]", "f16[1, M, 3]"]);
}

/// Lengths that are negative, zero or past the end.
#[test]
fn steps_outside_a_sequence_leave_the_state() {
    let (t, b) = (2, 4);
    let ones = |shape: &[usize]| Tensor::build(DType::F32, shape, |_| Num::Float(0.5));
    let lens = ints(DType::I32, &[b], &[-1, 0, 1, 9]);
    let h0 = count(DType::F32, &[1, b, 3]);
    let args = [
        ones(&[t, b, 2]),
        ones(&[1, 12, 2]),
        ones(&[1, 12, 3]),
        ones(&[1, 24]),
        lens,
        h0.clone(),
        ones(&[1, b, 3]),
        ones(&[1, 9]),
    ];
    for direction in [Direction::Forward, Direction::Reverse] {
        let out = run(&lstm(direction, None), &args);
        let (y, h) = (out[0].to_f64(), out[1].to_f64());
        let at = |t: usize, b: usize| &y[(t * 4 + b) * 3..][..3];
        assert_eq!(h[..6], h0.to_f64()[..6]);
        for (t, b) in [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)] {
            assert_eq!(at(t, b), [0.0; 3], "{direction:?}");
        }
        let last = if direction == Direction::Forward { 1 } else { 0 };
        assert_eq!((at(0, 2), at(last, 3)), (&h[6..9], &h[9..12]));
    }
    let none = run(&lstm(Direction::Forward, None), &[&[ones(&[0, b, 2])], &args[1..]].concat());
    assert_eq!((none[0].shape.as_slice(), none[1].to_f64()), (&[0, 1, 4, 3][..], h0.to_f64()));
}
