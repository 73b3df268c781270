//! The reader of binary files must not panic, hang or take memory out of proportion: pieces of good files, put together wrongly. Bytes
//! that a fuzzer makes up are in `tests/fuzz`.

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
