//! The runtime has an evaluator of dimensions of its own, since it does not know the IR. Both must say the same of everything
//! that an artifact can hold, and both must refuse the same texts.

use beiming::artifact;
use beiming_cpu::Code;
use beiming_ir::plan::{Place, Plan, Program, Slot, Subnormals};
use beiming_ir::target::Target;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};
use beiming_runtime::dims::{Dims, Values};
use beiming_runtime::format::container::Artifact;
use proptest::prelude::*;

/// Names of every kind that has a spelling of its own.
const NAMES: [&str; 6] = ["N", "batch size", "x.y_1", "min", "a`b\\c", ".5"];

/// An expression with a bound of the size that any part of it, however it is multiplied out, can take: what lies below the
/// limits of `i64` has one value in every order of evaluation.
#[derive(Clone, Debug)]
struct Bounded {
    dim: Dim,
    most: f64,
}

/// Largest value of a symbol, either sign.
const LARGEST: i64 = 4096;

fn expression() -> impl Strategy<Value = Bounded> {
    let leaf = prop_oneof![
        (-40i64..40).prop_map(|v| Bounded { dim: v.into(), most: v.abs() as f64 }),
        (0..NAMES.len()).prop_map(|i| Bounded { dim: Dim::sym(NAMES[i]), most: LARGEST as f64 }),
    ];
    leaf.prop_recursive(5, 40, 2, |inner| {
        (0..7u8, inner.clone(), inner).prop_map(|(op, a, b)| {
            let (x, y) = (a.dim, b.dim);
            let dim = match op {
                0 => x + y,
                1 => x - y,
                2 => x * y,
                3 => x.floor_div(&y),
                4 => x.modulo(&y),
                5 => x.min_of(&y),
                _ => x.max_of(&y),
            };
            Bounded { dim, most: if op == 2 { a.most * b.most } else { a.most + b.most } }
        })
    })
}

/// The texts of dimensions in the manifest of an artifact that was written with them and opened again.
fn through_an_artifact(dims: &[Dim]) -> Vec<String> {
    let slot = |d: &Dim| Slot { ty: TensorType::new(DType::F32, vec![d.clone()]), place: Place::Arena(0) };
    let plan = Plan {
        inputs: vec![],
        outputs: vec![],
        slots: dims.iter().map(slot).collect(),
        arena: 0,
        arena_without_reuse: 0,
        subnormals: Subnormals::Keep,
        steps: vec![],
        symbols: Symbols::default(),
    };
    let program = Program { target: Target::kunpeng920(), kernels: vec![], weights: vec![], plan };
    let code = Code { library: vec![], symbols: vec![], llvm_ir: None, assembly: None, listings: vec![] };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("dims.bmg");
    artifact::write(&path, "dims", &program, &code, None, b"").expect("written");
    let manifest = Artifact::open(&path).and_then(|a| a.manifest()).expect("read");
    manifest.slots.into_iter().map(|s| s.shape.concat()).collect()
}

/// A symbol's value; small ones and zero are frequent, since they are where divisions are special.
fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        4 => (-4i64..5).prop_map(Some),
        4 => (-LARGEST..=LARGEST).prop_map(Some),
        1 => Just(None),
    ]
}

/// A text out of the pieces that dimensions are made of, and of some that they are not.
fn text() -> impl Strategy<Value = String> {
    let good =
        prop::sample::select(vec!["N", "3", "+", "-", "*", "(", ")", "floordiv(", "mod(", "min(", "max(", ",", " ", "`a b`"]);
    let bad = prop::sample::select(vec!["min", "mod", ".5", ".", "1x", "`", "\\", "%", "9223372036854775808", "é", "\t"]);
    prop::collection::vec(prop_oneof![9 => good, 1 => bad], 0..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_runtime_gives_a_dimension_the_value_that_the_ir_gives_it(
        exprs in prop::collection::vec(expression(), 16),
        values in prop::collection::vec(value(), NAMES.len()),
    ) {
        let dims: Vec<Dim> = exprs.into_iter().filter(|e| e.most < 9e18).map(|e| e.dim).collect();
        let texts = through_an_artifact(&dims);
        let lookup = |name: &str| NAMES.iter().position(|n| *n == name).and_then(|i| values[i]);
        let mut table = Dims::default();
        let ids: Vec<u32> = texts.iter().map(|t| table.intern(t).expect("what the compiler writes, the runtime reads")).collect();
        let bound: Vec<Option<i64>> = table.symbols().iter().map(|s| lookup(s)).collect();
        let mut got = Values::new(&table);
        got.rebind(&table, bound);
        for (dim, id) in dims.iter().zip(ids) {
            prop_assert_eq!(got.get(id), dim.eval(&lookup), "{}", dim);
            let mut names: Vec<&str> = table.needs(id).iter().map(|s| table.symbols()[*s as usize].as_str()).collect();
            names.sort_unstable();
            let symbols = dim.symbols();
            prop_assert_eq!(names, symbols.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), "{}", dim);
        }
    }

    #[test]
    fn both_refuse_the_same_texts(text in text()) {
        let (ir, runtime) = (text.parse::<Dim>(), Dims::default().intern(&text));
        prop_assert_eq!(ir.is_ok(), runtime.is_ok(), "`{}`: {:?}, {:?}", text, ir, runtime);
    }
}
