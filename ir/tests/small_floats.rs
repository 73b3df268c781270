//! The float formats of 8, 6 and 4 bits against what `ml_dtypes` makes of them (`data/small_floats.py` writes the table): the
//! value of every code, and the rounding of numbers between, beside and beyond the codes.

use beiming_ir::num::{decode, round_to};
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

#[test]
fn small_floats_follow_ml_dtypes() {
    let table = include_str!("data/small_floats.tsv");
    let mut seen = 0;
    for line in table.lines() {
        let mut cells = line.split('\t');
        let dtype: DType = cells.next().and_then(|d| d.parse().ok()).expect("an element type");
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let number = |s: &str| s.parse::<f64>().expect("a number");
        match cells.next() {
            Some("codes") => {
                for (code, want) in cells.enumerate() {
                    let got = decode(dtype, &[code as u8]).to_f64();
                    assert!(same(got, number(want)), "{dtype} {code:#x}: {got}, should be {want}");
                    seen += 1;
                }
            }
            _ => {
                for cell in cells {
                    let (x, want) = cell.split_once(':').expect("argument and result");
                    let got = round_to(dtype, Num::Float(number(x))).to_f64();
                    assert!(same(got, number(want)), "{dtype} of {x}: {got}, should be {want}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 2500, "{seen} comparisons");
}
