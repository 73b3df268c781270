//! Elementwise ops against hand-computed values, and against their definitions on generated numbers.

use proptest::prelude::*;

use super::*;
use crate::eval::{Dims, op};
use crate::ops::Op;
use crate::tensor::Num;
use crate::types::{Dim, Symbols};

fn run(o: Op, args: &[Tensor]) -> Tensor {
    op(&o, args, &Graph::default(), &Dims::new()).unwrap().remove(0)
}

fn f32s(v: &[f32]) -> Tensor {
    Tensor::f32(&[v.len()], v)
}

/// Integers of a type.
fn ints(dtype: DType, v: &[i128]) -> Tensor {
    Tensor::build(dtype, &[v.len()], |i| Num::Int(v[i]))
}

fn as_ints(t: &Tensor) -> Vec<i128> {
    (0..t.len()).map(|i| t.get(i).to_i128()).collect()
}

/// Equal as numbers, NaN equal to NaN, zeros told apart.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x.is_nan() && y.is_nan()) || x.to_bits() == y.to_bits())
}

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

#[test]
fn unary_floats_by_hand() {
    use UnaryOp::*;
    let cases: &[(UnaryOp, &[f32], &[f32])] = &[
        (Neg, &[1.0, -0.0, INF], &[-1.0, 0.0, -INF]),
        (Abs, &[-2.0, -0.0, -INF, NAN], &[2.0, 0.0, INF, NAN]),
        (Sign, &[-3.0, -0.0, 0.0, 1e-40, NAN, -INF], &[-1.0, 0.0, 0.0, 1.0, NAN, -1.0]),
        (Exp, &[0.0, 1.0, -INF, 1000.0], &[1.0, std::f32::consts::E, 0.0, INF]),
        (Expm1, &[1e-10, 0.0], &[1e-10, 0.0]),
        (Log, &[1.0, 0.0, -1.0, INF], &[0.0, -INF, NAN, INF]),
        (Log1p, &[1e-10, -1.0], &[1e-10, -INF]),
        (Sqrt, &[4.0, -1.0, -0.0], &[2.0, NAN, -0.0]),
        (Rsqrt, &[4.0, 0.0, INF], &[0.5, INF, 0.0]),
        (Recip, &[4.0, 0.0, -0.0], &[0.25, INF, -INF]),
        (Acosh, &[1.0, 0.5, -3.0], &[0.0, NAN, NAN]),
        (Atanh, &[0.0, 1.0, 2.0], &[0.0, INF, NAN]),
        (Sigmoid, &[0.0, 100.0, -1000.0, INF, -INF], &[0.5, 1.0, 0.0, 1.0, 0.0]),
        (Floor, &[-1.5, 1.5], &[-2.0, 1.0]),
        (Ceil, &[-1.5, 1.5, -0.5], &[-1.0, 2.0, -0.0]),
        (Round, &[0.5, 1.5, 2.5, -0.5, 2.6], &[0.0, 2.0, 2.0, -0.0, 3.0]),
        (Trunc, &[-1.5, 1.5], &[-1.0, 1.0]),
    ];
    for (o, x, want) in cases {
        let got = run(Op::Unary(*o), &[f32s(x)]).to_f64();
        assert!(same(&got, &f32s(want).to_f64()), "{o:?} {x:?}: {got:?}, not {want:?}");
    }
}

#[test]
fn erf_of_tabulated_points() {
    // Abramowitz and Stegun, table 7.1.
    for (x, want) in [(0.0, 0.0), (0.1, 0.1124629160), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)] {
        for (x, want) in [(x, want), (-x, -want)] {
            let got = unary(UnaryOp::Erf, DType::F64, Num::Float(x)).to_f64();
            assert!((got - want).abs() < 5e-11, "erf({x}) = {got}");
        }
    }
}

#[test]
fn predicates_and_bits() {
    let x = f32s(&[NAN, INF, -INF, 1.0]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::IsNan), std::slice::from_ref(&x))), [1, 0, 0, 0]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::IsInf), &[x])), [0, 1, 1, 0]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::Not), &[ints(DType::Bool, &[0, 1])])), [1, 0]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::BitNot), &[ints(DType::U8, &[0, 5])])), [255, 250]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::BitNot), &[ints(DType::I4, &[0, 5])])), [-1, -6]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::Neg), &[ints(DType::I8, &[-128, 127])])), [-128, -127]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::Abs), &[ints(DType::I64, &[i64::MIN.into(), -1])])), [i64::MIN.into(), 1]);
    assert_eq!(as_ints(&run(Op::Unary(UnaryOp::Sign), &[ints(DType::U64, &[0, u64::MAX.into()])])), [0, 1]);
}

#[test]
fn binary_floats_by_hand() {
    use BinaryOp::*;
    let cases: &[(BinaryOp, f32, f32, f32)] = &[
        (Max, NAN, 1.0, NAN),
        (Max, 1.0, NAN, NAN),
        (Min, -INF, NAN, NAN),
        (Max, -0.0, 0.0, 0.0),
        (Min, 0.0, -0.0, -0.0),
        (Max, -INF, INF, INF),
        (Div, 1.0, 0.0, INF),
        (Div, 0.0, 0.0, NAN),
        (Pow, 2.0, -1.0, 0.5),
        (Pow, -8.0, 1.0 / 3.0, NAN),
        (Pow, 0.0, 0.0, 1.0),
        (Pow, NAN, 0.0, 1.0),
        (Mod, 7.0, 3.0, 1.0),
        (Mod, -7.0, 3.0, 2.0),
        (Mod, 7.0, -3.0, -2.0),
        (Mod, -6.0, 3.0, 0.0),
        (Mod, -1.0, INF, INF),
        (Mod, 1.0, 0.0, NAN),
        (Rem, -7.0, 3.0, -1.0),
        (Rem, 7.0, -3.0, 1.0),
        (Rem, -6.0, 3.0, -0.0),
        (Rem, 5.5, INF, 5.5),
        (Atan2, 1.0, -1.0, 2.3561945),
        (Atan2, -0.0, -1.0, -std::f32::consts::PI),
    ];
    for &(o, a, b, want) in cases {
        let got = run(Op::Binary(o), &[f32s(&[a]), f32s(&[b])]).to_f64();
        assert!(same(&got, &[want.into()]), "{o:?} {a} {b}: {got:?}, not {want}");
    }
}

#[test]
fn binary_integers_by_hand() {
    use BinaryOp::*;
    use DType::*;
    let cases: &[(BinaryOp, DType, i128, i128, i128)] = &[
        (Add, U8, 250, 10, 4),
        (Sub, U8, 1, 2, 255),
        (Mul, I8, 100, 3, 44),
        (Mul, U64, u64::MAX as i128, u64::MAX as i128, 1),
        (Div, I32, 7, -2, -3),
        (Div, I32, 5, 0, 0),
        (Div, I64, i64::MIN as i128, -1, i64::MIN as i128),
        (Mod, I32, -7, 3, 2),
        (Mod, I32, 7, -3, -2),
        (Mod, I32, -6, 3, 0),
        (Mod, I32, 7, 0, 0),
        (Mod, I64, i64::MIN as i128, -1, 0),
        (Rem, I32, -7, 3, -1),
        (Rem, I32, 7, -3, 1),
        (Rem, I32, 7, 0, 0),
        (Rem, I64, i64::MIN as i128, -1, 0),
        (Pow, I32, 3, 4, 81),
        (Pow, I32, 2, -1, 0),
        (Pow, I32, -1, -3, -1),
        (Pow, I32, 0, -1, 0),
        (Pow, I32, 0, 0, 1),
        (Pow, U8, 3, 200, 161),
        (Max, Bool, 0, 1, 1),
        (Min, Bool, 0, 1, 0),
        (Lt, Bool, 0, 1, 1),
        (Lt, U64, 1, u64::MAX as i128, 1),
        (And, U8, 12, 10, 8),
        (Or, I8, -128, 1, -127),
        (Xor, Bool, 1, 1, 0),
        (Shl, U8, 1, 7, 128),
        (Shl, U8, 1, 8, 0),
        (Shl, I8, 1, 7, -128),
        (Shl, I64, 1, 64, 0),
        (Shl, I32, 1, -1, 0),
        (Shr, I8, -128, 3, -16),
        (Shr, I8, -1, 100, -1),
        (Shr, I8, 64, 100, 0),
        (Shr, U64, u64::MAX as i128, 63, 1),
        (Shr, U8, 255, 8, 0),
    ];
    for &(o, t, a, b, want) in cases {
        assert_eq!(as_ints(&run(Op::Binary(o), &[ints(t, &[a]), ints(t, &[b])])), [want], "{o:?} {t} {a} {b}");
    }
}

#[test]
fn nan_compares_unordered() {
    use BinaryOp::*;
    for (o, want) in [(Eq, 0), (Ne, 1), (Lt, 0), (Le, 0), (Gt, 0), (Ge, 0)] {
        assert_eq!(as_ints(&run(Op::Binary(o), &[f32s(&[NAN]), f32s(&[NAN])])), [want], "{o:?}");
    }
}

#[test]
fn complex_arithmetic() {
    let c = |r, i| Tensor::scalar(DType::C64, Num::Complex(r, i));
    let at = |o, a: &Tensor, b: &Tensor| run(Op::Binary(o), &[a.clone(), b.clone()]).get(0);
    let (a, b) = (c(1.0, 2.0), c(3.0, -1.0));
    assert_eq!(at(BinaryOp::Mul, &a, &b), Num::Complex(5.0, 5.0));
    assert_eq!(at(BinaryOp::Div, &c(5.0, 5.0), &b), Num::Complex(1.0, 2.0));
    assert_eq!(at(BinaryOp::Ne, &a, &b), Num::Int(1));
    assert_eq!(run(Op::Unary(UnaryOp::Neg), &[a]).get(0), Num::Complex(-1.0, -2.0));
}

#[test]
fn casts_by_hand() {
    use DType::*;
    let f = Num::Float;
    let cases: &[(DType, Num, DType, Num)] = &[
        (F32, f(-1.9), I32, Num::Int(-1)),
        (F32, f(3e10), I32, Num::Int(i32::MAX.into())),
        (F32, f(-3.0), U8, Num::Int(0)),
        (F32, f(300.0), U8, Num::Int(255)),
        (F32, f(f64::NAN), I64, Num::Int(0)),
        (F32, f(f64::NEG_INFINITY), I4, Num::Int(-8)),
        (F32, f(f64::NAN), Bool, Num::Int(1)),
        (F32, f(-0.0), Bool, Num::Int(0)),
        (F32, f(0.25), Bool, Num::Int(1)),
        (I64, Num::Int(300), U8, Num::Int(44)),
        (I64, Num::Int(-1), U64, Num::Int(u64::MAX.into())),
        (I32, Num::Int(256), Bool, Num::Int(1)),
        (Bool, Num::Int(1), F16, f(1.0)),
        (F64, f(65520.0), F16, f(f64::INFINITY)),
        (F64, f(449.0), F8E4M3FN, f(448.0)),
        (C64, Num::Complex(2.5, 7.0), F32, f(2.5)),
        (I32, Num::Int(3), C64, Num::Complex(3.0, 0.0)),
        // Past the middle of two f32 by one: rounding by way of f64 would see a tie and go down.
        (I64, Num::Int((1 << 60) + (1 << 36) + 1), F32, f((1u64 << 60) as f64 + (1u64 << 37) as f64)),
        (I64, Num::Int(-((1 << 60) + (1 << 36) + 1)), F32, f(-((1u64 << 60) as f64) - (1u64 << 37) as f64)),
        (I64, Num::Int((1 << 60) + (1 << 36)), F32, f((1u64 << 60) as f64)),
    ];
    for &(from, x, to, want) in cases {
        assert_eq!(run(Op::Cast { to }, &[Tensor::scalar(from, x)]).get(0), want, "{from} {x:?} -> {to}");
    }
}

#[test]
fn bitcasts() {
    let bits = |from, x, to| run(Op::Bitcast { to }, &[Tensor::scalar(from, x)]).get(0);
    assert_eq!(bits(DType::F32, Num::Float(1.0), DType::U32), Num::Int(0x3f80_0000));
    assert_eq!(bits(DType::I4, Num::Int(-1), DType::U4), Num::Int(15));
    assert_eq!(bits(DType::U4, Num::Int(15), DType::I4), Num::Int(-1));
    assert_eq!(bits(DType::U4, Num::Int(15), DType::F4E2M1), Num::Float(-6.0));
    assert_eq!(bitcast(DType::F32, DType::I32, Num::Float(-0.0)), Num::Int(i32::MIN.into()));
    assert_eq!(bitcast(DType::I4, DType::U4, Num::Int(-2)), Num::Int(14));
}

/// What `infer` gives, as text.
fn inferred(o: Op, inputs: &[TensorType]) -> Result<String, String> {
    let mut symbols = Symbols::default();
    symbols.declare("N", 1, 64);
    symbols.declare("one", 1, 1);
    symbols.declare("two", 2, 2);
    let g = Graph::new("", symbols);
    let inputs: Vec<&TensorType> = inputs.iter().collect();
    crate::ops::infer(&o, &inputs, &g).map(|t| t[0].to_string()).map_err(|e| e.to_string())
}

fn ty(dtype: DType, shape: &str) -> TensorType {
    let dims: Vec<Dim> = shape.split_whitespace().map(|d| d.parse().unwrap()).collect();
    TensorType::new(dtype, dims)
}

#[test]
fn shapes_broadcast() {
    let add = |a, b| inferred(Op::Binary(BinaryOp::Add), &[ty(DType::F32, a), ty(DType::F32, b)]);
    for (a, b, want) in [
        ("", "", "f32[]"),
        ("3 1", "4", "f32[3, 4]"),
        ("0", "1", "f32[0]"),
        ("N 4", "N 1", "f32[N, 4]"),
        ("N", "1", "f32[N]"),
        ("N", "7", "f32[7]"),
        ("one", "M", "f32[M]"),
        ("two", "2", "f32[2]"),
        ("M", "0", "f32[0]"),
    ] {
        assert_eq!(add(a, b).as_deref(), Ok(want), "{a} + {b}");
        assert_eq!(add(b, a).as_deref(), Ok(want), "{b} + {a}");
    }
    for (a, b, want) in [
        ("2", "3", "shapes [2] and [3] do not broadcast at axis 0: extents 2 and 3 differ"),
        ("N", "M", "not known to be equal"),
        ("N", "N+1", "not known to be equal"),
        ("N", "100", ""),
        ("two", "3", "`two` is 2..=2"),
    ] {
        match add(a, b) {
            // N may be 1, so 100 is a good extent.
            Ok(t) => assert_eq!((b, t.as_str()), ("100", "f32[100]")),
            Err(e) => assert!(!want.is_empty() && e.contains(want), "{a} + {b}: {e}"),
        }
    }
}

#[test]
fn element_types_are_checked() {
    let (i, f, b) = (ty(DType::I32, "2"), ty(DType::F32, "2"), ty(DType::Bool, "2"));
    for (o, inputs, want) in [
        (Op::Unary(UnaryOp::Exp), vec![i.clone()], "exp: does not take i32; it takes f64"),
        (Op::Unary(UnaryOp::Not), vec![i.clone()], "not: does not take i32; it takes bool"),
        (Op::Unary(UnaryOp::Neg), vec![ty(DType::U8, "2")], "neg: does not take u8"),
        (Op::Binary(BinaryOp::Add), vec![i.clone(), f.clone()], "add: arguments must have one element type"),
        (Op::Binary(BinaryOp::Add), vec![b.clone(), b.clone()], "add: does not take bool"),
        (Op::Binary(BinaryOp::Add), vec![f.clone()], "add: takes 2 arguments, got 1"),
        (Op::Select, vec![f.clone(), f.clone(), f.clone()], "select: the condition must be bool"),
        (Op::Bitcast { to: DType::I8 }, vec![f], "bitcast: f32 has 32 bits, i8 has 8"),
        (Op::Bitcast { to: DType::I8 }, vec![b], "bitcast: bool has 1 bits"),
    ] {
        let e = inferred(o, &inputs).unwrap_err();
        assert!(e.starts_with(want), "{e}");
    }
    let big = ty(DType::F32, "16777216 16777216");
    assert!(inferred(Op::Unary(UnaryOp::Exp), &[big]).is_ok());
    let big = ty(DType::F32, "16777216 16777217");
    assert!(inferred(Op::Unary(UnaryOp::Exp), &[big]).unwrap_err().contains("2^48"));
}

#[test]
fn select_broadcasts_all_three() {
    let c = ints(DType::Bool, &[1, 0]).reshaped(&[2, 1]).unwrap();
    let t = run(Op::Select, &[c, Tensor::i64(&[3], &[1, 2, 3]), Tensor::i64(&[], &[9])]);
    assert_eq!((t.shape.as_slice(), t.to_i64()), ([2, 3].as_slice(), vec![1, 2, 3, 9, 9, 9]));
}

fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -100f32..100.0, 1 => any::<f32>(), 1 => prop::sample::select(vec![0.0, -0.0, INF, -INF, NAN, 1.0, -1.0])]
}

proptest! {
    /// Whole tensors agree with the scalar function at every broadcast position, for every op and type that has it.
    #[test]
    fn tensors_follow_the_scalar_function(
        rows in 0usize..4, cols in 0usize..5, a_row in any::<bool>(), b_col in any::<bool>(),
        v in prop::collection::vec(any_float(), 32),
    ) {
        let a_shape = [if a_row { 1 } else { rows }, cols];
        let b_shape = [rows, if b_col { 1 } else { cols }];
        for dtype in DType::ALL {
            let number = |x: f32| cast(dtype, Num::Float(x.into()));
            let a = Tensor::build(dtype, &a_shape, |i| number(v[i]));
            let b = Tensor::build(dtype, &b_shape, |i| number(v[31 - i]));
            let scalar_of = |n: Num| format!("{n:?}");
            for o in BinaryOp::ALL.into_iter().filter(|o| o.result(dtype).is_some()) {
                let t = run(Op::Binary(o), &[a.clone(), b.clone()]);
                prop_assert_eq!(&t.shape, &[rows, cols]);
                for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                    let x = a.get(if a_row { c } else { r * cols + c });
                    let y = b.get(if b_col { r } else { r * cols + c });
                    prop_assert_eq!(scalar_of(t.get(r * cols + c)), scalar_of(binary(o, dtype, x, y)), "{:?} {}", o, dtype);
                }
            }
            for o in UnaryOp::ALL.into_iter().filter(|o| o.result(dtype).is_some()) {
                let t = run(Op::Unary(o), std::slice::from_ref(&a));
                for i in 0..a.len() {
                    prop_assert_eq!(scalar_of(t.get(i)), scalar_of(unary(o, dtype, a.get(i))), "{:?} {}", o, dtype);
                }
            }
        }
    }

    /// Results are values of their type: rounding them again changes nothing.
    #[test]
    fn results_are_representable(a in any_float(), b in any_float()) {
        for dtype in DType::ALL {
            let (x, y) = (cast(dtype, Num::Float(a.into())), cast(dtype, Num::Float(b.into())));
            for o in BinaryOp::ALL {
                if let Some(to) = o.result(dtype) {
                    let r = binary(o, dtype, x, y);
                    prop_assert_eq!(format!("{r:?}"), format!("{:?}", crate::num::round_to(to, r)), "{:?} {}", o, dtype);
                }
            }
        }
    }

    /// Quotient and remainder belong together, and remainders have the sign they promise.
    #[test]
    fn integer_division_laws(a in any::<i64>(), b in prop_oneof![any::<i64>(), -3i64..4]) {
        let at = |o| binary(o, DType::I64, Num::Int(a.into()), Num::Int(b.into())).to_i128() as i64;
        let (q, r, m) = (at(BinaryOp::Div), at(BinaryOp::Rem), at(BinaryOp::Mod));
        if b != 0 {
            prop_assert_eq!(q.wrapping_mul(b).wrapping_add(r), a);
            prop_assert!(r == 0 || (r < 0) == (a < 0));
            prop_assert_eq!(m.rem_euclid(b), a.rem_euclid(b));
            prop_assert!(m == 0 || (m < 0) == (b < 0));
        } else {
            prop_assert_eq!((q, r, m), (0, 0, 0));
        }
    }

    /// One rounding: f32 arithmetic by way of f64 is f32 arithmetic.
    #[test]
    fn f32_arithmetic_is_native(a in any_float(), b in any_float()) {
        let at = |o| binary(o, DType::F32, Num::Float(a.into()), Num::Float(b.into())).to_f64();
        let native = [a + b, a - b, a * b, a / b, a % b].map(f64::from);
        let ours = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Rem].map(at);
        prop_assert!(same(&ours, &native), "{a} {b}: {ours:?} {native:?}");
    }
}
