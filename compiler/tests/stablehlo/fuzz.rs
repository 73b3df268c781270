//! The reader of binary files must not panic, hang or take memory out of proportion, whatever the bytes are.
//!
//! Under `cargo test` this is a short random run over pieces of good files. A long one, guided by coverage, with the suites as
//! its first corpus:
//!
//!   find $BEIMING_CONFORMANCE/stablehlo -name '*.mlirbc' -size -8k -exec cp --backup=numbered -t corpus {} +
//!   cargo bolero test -p beiming --test stablehlo fuzz::damaged_binaries_do_no_harm --corpus-dir corpus

use std::fs;

use crate::ours::{binaries, read_damaged};

/// A change to a good file: where, and what stands there instead of so many bytes.
type Change = (u16, u8, Vec<u8>);

#[test]
fn damaged_binaries_do_no_harm() {
    let good: Vec<Vec<u8>> = binaries().iter().map(|p| fs::read(p).expect("the file can be read")).collect();
    bolero::check!().with_type::<(u8, Vec<Change>)>().with_iterations(2000).for_each(|(file, changes)| {
        let mut bytes = good[usize::from(*file) % good.len()].clone();
        for (at, old, new) in changes {
            let at = usize::from(*at) % (bytes.len() + 1);
            let end = bytes.len().min(at + usize::from(*old % 8));
            bytes.splice(at..end, new.iter().copied());
        }
        read_damaged(&bytes);
    });
}

#[test]
fn any_bytes_do_no_harm() {
    bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
        read_damaged(bytes);
        read_damaged(&[b"ML\xefR\x0dStableHLO_v1.0.0\0", bytes].concat());
    });
}
