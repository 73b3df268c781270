//! Artifacts made to do harm: they are errors, found soon and without much memory.

use beiming::import::stablehlo::bytecode;

use crate::writer::{Writer, constants, function, varint, varints};

#[track_caller]
fn refused(artifact: Vec<u8>, why: &str) {
    let problems = bytecode::read(artifact.into()).unwrap_err();
    assert!(problems.iter().any(|p| p.message.contains(why)), "{problems:?}");
}

#[test]
fn what_the_writer_writes_is_read() {
    let module = bytecode::read(constants(3, 1000).into()).unwrap();
    let f = &module.functions[0];
    assert_eq!((&*f.name, f.body.ops.len(), f.values.len()), ("main", 4, 3));
}

/// A function with one constant, whose value is the attribute of this number.
fn one_constant(mut w: Writer, value: u64) -> Vec<u8> {
    let token = w.ty(varint(22));
    let properties = w.properties(&[value]);
    let body = [varint(2), vec![64 | 2], varints(&[0, properties, 1, token])].concat();
    let f = function(&mut w, 1, 1, 1, &body);
    w.module(1, &f)
}

fn writer() -> Writer {
    Writer::new(&["func_v1", "constant_v1", "while_v1"])
}

#[test]
fn attributes_that_unfold() {
    // Each is a list of eight of the one before: 8^40 in all.
    let mut w = writer();
    let mut last = w.text("x");
    for _ in 0..40 {
        last = w.attr(1, [varints(&[1, 8]), varints(&[last; 8])].concat());
    }
    refused(one_constant(w, last), "out of proportion");
}

#[test]
fn types_that_unfold() {
    let mut w = writer();
    let mut last = w.ty(varint(22));
    for _ in 0..40 {
        last = w.ty([varints(&[23, 8]), varints(&[last; 8])].concat());
    }
    let value = w.attr(1, varints(&[17, last]));
    refused(one_constant(w, value), "out of proportion");
}

#[test]
fn splats_that_unfold() {
    // A list of dimensions with 2^40 elements, in eight bytes.
    let mut w = Writer::new(&["func_v1", "transpose_v1"]);
    let i64_ = w.ty(varint(14));
    let tensor = w.ty([varints(&[20, 1]), varint(1 << 41), varint(i64_)].concat());
    let value = w.attr(1, [varints(&[15, tensor, 8]), vec![0; 8]].concat());
    refused(one_constant(w, value), "no list of integers");
}

#[test]
fn shapes_that_overflow() {
    let mut w = writer();
    let i64_ = w.ty(varint(14));
    let tensor = w.ty([varints(&[20, 3]), varints(&[1 << 41; 3]), varint(i64_)].concat());
    let value = w.attr(1, [varints(&[15, tensor, 8]), vec![0; 8]].concat());
    refused(one_constant(w, value), "too large");
}

#[test]
fn attributes_that_contain_themselves() {
    let mut w = writer();
    let next = w.text("x") + 1;
    let value = w.attr(1, varints(&[1, 1, next]));
    assert_eq!(value, next);
    refused(one_constant(w, value), "contains itself");
}

#[test]
fn attributes_that_nest() {
    let mut w = writer();
    let mut last = w.text("x");
    for _ in 0..100_000 {
        last = w.attr(1, varints(&[1, 1, last]));
    }
    refused(one_constant(w, last), "nest deeper");
}

#[test]
fn regions_that_nest() {
    let mut w = writer();
    let body = [varint(3), vec![16], varints(&[0, 2, 1, 0, 2])].concat().repeat(100_000);
    let f = function(&mut w, 1, 0, 1, &body);
    refused(w.module(1, &f), "nest deeper");
}

#[test]
fn what_is_only_announced() {
    let many = 1 << 60;
    let mut w = writer();
    let f = function(&mut w, 1, many, many, &[]);
    refused(w.module(1, &f), "a block of");
    let list = w.attr(1, varints(&[1, many]));
    refused(one_constant(w.clone(), list), "a list of");
    let f32_ = w.ty(varint(4));
    let scalar = w.ty(varints(&[20, 0, f32_]));
    let blob = w.attr(1, varints(&[15, scalar, many]));
    refused(one_constant(w.clone(), blob), "announced");
    refused(w.artifact(&varint(6)), "one module is expected");
    refused(w.artifact(&varint(2)), "ends too early");
}

#[test]
fn values_from_nowhere() {
    let mut w = Writer::new(&["func_v1", "return_v1"]);
    let body = [varint(2), vec![4], varints(&[0, 1, 7])].concat();
    let f = function(&mut w, 1, 9, 1, &body);
    refused(w.module(1, &f), "used before it is defined");
}

#[test]
fn all_unknown_operations_are_reported() {
    let mut w = Writer::new(&["func_v1", "frobnicate_v1", "gather_v9"]);
    let body: Vec<u8> = [2, 3].iter().flat_map(|op| [varint(*op), vec![0], varint(0)].concat()).collect();
    let f = function(&mut w, 1, 0, 2, &body);
    let problems = bytecode::read(w.module(1, &f).into()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].message.contains("no such operation in StableHLO up to 1.20.0"), "{problems:?}");
    let known = "known are `gather_v1` of StableHLO 0.9.0 to 1.0.0 and `gather_v2` of StableHLO 1.1.0 and newer";
    assert!(problems[1].message.contains(known), "{problems:?}");
}
