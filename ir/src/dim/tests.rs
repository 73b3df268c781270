//! Canonical forms, cancellation and ranges of dimension expressions.

use super::*;

#[test]
fn a_quotient_times_its_divisor_is_bounded() {
    let mut s = Symbols::default();
    s.declare("N", 1, 64);
    s.declare("M", 0, 1 << 40);
    let range = |text: &str| {
        let r = text.parse::<Dim>().unwrap().range(&s);
        (r.lo, r.hi)
    };
    assert_eq!(range("M*floordiv(24, M)"), (0, 24));
    assert_eq!(range("4*M*N*floordiv(24*N, M*N)"), (0, 4 * 24 * 64));
    assert_eq!(range("M*N*floordiv(24, M)"), (0, 24 * 64));
    // Not where the dividend may be negative.
    assert!(range("M*floordiv(N - 2, M)").1 > 64);
}

#[test]
fn canonical_form_round_trips() {
    let n = Dim::sym("N");
    let e = (n.clone() * 4.into() + 7.into()).floor_div(&2.into()) - n.clone();
    assert_eq!(e.to_string(), "floordiv(7, 2)".parse::<Dim>().unwrap().to_string().replace('3', "N + 3"));
    for s in ["N", "4*N*N - 3", "floordiv(H - 1, 2) + 1", "max(A, `b c`)", "mod(T, 3)*N", "-5"] {
        let d: Dim = s.parse().unwrap();
        assert_eq!(d.to_string().parse::<Dim>().unwrap(), d, "{s}");
    }
}

#[test]
fn products_cancel() {
    let (n, h) = (Dim::sym("N"), Dim::sym("H"));
    assert_eq!((n.clone() * h.clone() * 64.into()).floor_div(&(h.clone() * 8.into())), n.clone() * 8.into());
    assert_eq!((n.clone() * h.clone() + h.clone() * 3.into()).floor_div(&h), n + 3.into());
}

#[test]
fn ranges_bound_values() {
    let mut s = Symbols::default();
    s.declare("N", 1, 64);
    let d: Dim = "floordiv(N + 1, 2) + 3*N - 1".parse().unwrap();
    let r = d.range(&s);
    for n in 1..=64 {
        let v = d.eval(&|_| Some(n)).unwrap();
        assert!(r.lo <= v && v <= r.hi);
    }
}

#[test]
fn ranges_of_quotients_bound_values() {
    let mut s = Symbols::default();
    s.declare("A", -3, 9);
    s.declare("B", -2, 4);
    for text in
        ["floordiv(A, B)", "mod(A, B)", "floordiv(10, B)", "mod(A, 4)", "floordiv(A, B) * mod(B, 3)", "A - 2*floordiv(A, 2)"]
    {
        let d: Dim = text.parse().unwrap();
        let r = d.range(&s);
        for (a, b) in (-3..=9).flat_map(|a| (-2..=4).map(move |b| (a, b))) {
            let v = d.eval(&|n| Some(if n == "A" { a } else { b })).unwrap();
            assert!(r.lo <= v && v <= r.hi, "{text} at {a}, {b}: {v} is not in {r:?}");
        }
    }
}

#[test]
fn what_a_quotient_leaves_is_small() {
    let s = Symbols::default();
    let n = Dim::sym("N");
    let two = Dim::from(2);
    let left = n.clone() - n.floor_div(&two) * two.clone();
    assert_eq!((left.range(&s).lo, left.range(&s).hi), (0, 1));
    let more = Dim::from(0) - left + 2.into();
    assert_eq!((more.range(&s).lo, more.range(&s).hi), (1, 2));
}

#[test]
fn the_smallest_number_divides() {
    for text in [
        "floordiv(-9223372036854775807 - 1, -1)",
        "mod(-9223372036854775807 - 1, -1)",
        "floordiv((-9223372036854775807 - 1)*N, -1*N)",
    ] {
        text.parse::<Dim>().unwrap();
    }
}

#[test]
fn linear_expressions_are_solved() {
    for (text, value, want) in [
        ("N", 7, Some(7)),
        ("32*h", 64, Some(2)),
        ("32*h", 65, None),
        ("2*T - 1", 5, Some(3)),
        ("N*N", 4, None),
        ("A + B", 4, None),
        ("floordiv(N, 2)", 4, None),
        ("8", 8, None),
    ] {
        let d: Dim = text.parse().unwrap();
        assert_eq!(d.solve(value).map(|s| s.1), want, "{text} = {value}");
    }
}
