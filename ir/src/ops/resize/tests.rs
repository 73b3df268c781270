//! Values are held against ONNX in `tests/onnx_reference.rs`; here is what that does not say.

use proptest::prelude::*;

use super::*;
use crate::ops::Op;
use crate::ops::testing::{assert_close, count, dims, run, try_run, types};
use crate::tensor::{Num, Tensor};
use crate::types::DType;

fn resize(mode: ResizeMode, coord: Coord, shape: &[&str]) -> Resize {
    Resize {
        mode,
        coord,
        shape: dims(shape),
        scales: vec![None; shape.len()],
        roi: vec![],
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0.into(),
    }
}

#[test]
fn shapes_are_inferred() {
    let nearest = ResizeMode::Nearest(Nearest::Floor);
    let plain = resize(nearest, Coord::HalfPixel, &["N", "8", "2*M"]);
    assert_eq!(types(&Op::Resize(plain.clone()), &["f32[N, 4, M]"]), Ok(vec!["f32[N, 8, 2*M]".to_string()]));
    assert!(types(&Op::Resize(plain.clone()), &["c64[N, 4, M]"]).is_ok(), "nearest moves anything");
    let changed = |change: fn(&mut Resize)| {
        let mut p = plain.clone();
        change(&mut p);
        Op::Resize(p)
    };
    let cases: Vec<(Op, &str, &str)> = vec![
        (changed(|_| ()), "f32[4, 4]", "f32[4, 4] needs 2 extents and scales, got 3 and 3"),
        (changed(|p| p.coord = Coord::TfCropAndResize), "f32[N, 4, M]", "f32[N, 4, M] needs a region of 3 pairs, got 0"),
        (changed(|p| p.scales[1] = Some(0.0.into())), "f32[N, 4, M]", "scale 0.0 is not a positive number"),
        (changed(|p| p.antialias = true), "f32[N, 4, M]", "antialiasing needs linear or cubic interpolation"),
        (
            changed(|p| p.mode = ResizeMode::Linear),
            "bool[N, 4, M]",
            "bool[N, 4, M] cannot be interpolated: integers and floats can",
        ),
    ];
    for (op, x, want) in cases {
        assert_eq!(types(&op, &[x]), Err(want.to_string()), "{op:?}");
    }
}

/// `x = (j + 0.5) / scale`, without the half pixel back.
#[test]
fn tf_half_pixel_for_nn() {
    let x = count(DType::I64, &[4]);
    let cases = [
        (Nearest::Floor, [0, 0, 1, 1, 2, 2, 3, 3]),
        (Nearest::Ceil, [1, 1, 2, 2, 3, 3, 3, 3]),
        (Nearest::RoundPreferFloor, [0, 1, 1, 2, 2, 3, 3, 3]),
    ];
    for (rounding, want) in cases {
        let p = resize(ResizeMode::Nearest(rounding), Coord::TfHalfPixelForNn, &["8"]);
        assert_eq!(run(&Op::Resize(p), std::slice::from_ref(&x))[0].to_i64(), want, "{rounding:?}");
    }
    let same = resize(ResizeMode::Nearest(Nearest::RoundPreferCeil), Coord::TfHalfPixelForNn, &["4"]);
    assert_eq!(run(&Op::Resize(same), &[x])[0].to_i64(), [0, 1, 2, 3], "an axis of scale one is copied");
}

#[test]
fn empty_extents() {
    let p = resize(ResizeMode::Linear, Coord::HalfPixel, &["0", "3"]);
    assert_eq!(run(&Op::Resize(p), &[count(DType::F32, &[2, 2])])[0].shape, [0, 3]);
    let p = resize(ResizeMode::Linear, Coord::HalfPixel, &["1", "3"]);
    assert!(try_run(&Op::Resize(p), &[count(DType::F32, &[0, 2])]).is_err());
}

#[test]
fn large_integers_stay_exact_in_nearest_mode() {
    let x = Tensor::i64(&[2], &[i64::MAX, i64::MIN + 1]);
    let p = resize(ResizeMode::Nearest(Nearest::Floor), Coord::Asymmetric, &["4"]);
    assert_eq!(run(&Op::Resize(p), &[x])[0].to_i64(), [i64::MAX, i64::MAX, i64::MIN + 1, i64::MIN + 1]);
}

proptest! {
    /// Weights sum to one: a constant stays constant in every mode.
    #[test]
    fn constants_stay(
        from in 1usize..7,
        to in 1usize..9,
        mode in prop::sample::select(vec![ResizeMode::Linear, ResizeMode::Cubic(Real::from(-0.75))]),
        coord in prop::sample::select(vec![
            Coord::HalfPixel, Coord::HalfPixelSymmetric, Coord::PytorchHalfPixel, Coord::AlignCorners, Coord::Asymmetric,
        ]),
        antialias in any::<bool>(),
        exclude_outside in any::<bool>(),
    ) {
        let mut p = resize(mode, coord, &[&to.to_string()]);
        (p.antialias, p.exclude_outside) = (antialias, exclude_outside);
        let y = run(&Op::Resize(p), &[Tensor::build(DType::F64, &[from], |_| Num::Float(3.0))]);
        assert_close("constant", &y[0], &[to], &vec![3.0; to], 1e-12);
    }

    /// Linear interpolation between aligned corners keeps a ramp.
    #[test]
    fn ramps_stay(from in 2usize..9, to in 2usize..20) {
        let p = resize(ResizeMode::Linear, Coord::AlignCorners, &[&to.to_string()]);
        let y = run(&Op::Resize(p), &[count(DType::F64, &[from])]);
        let want: Vec<f64> = (0..to).map(|j| j as f64 * (from - 1) as f64 / (to - 1) as f64).collect();
        assert_close("ramp", &y[0], &[to], &want, 1e-12);
    }
}
