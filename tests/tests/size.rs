//! The runtime as it ships stays small.

use beiming_tests::repository;

/// Most bytes of the stripped library.
const MOST: u64 = 1_000_000;

/// Type of the section that stripping removes.
const SYMTAB: usize = 2;

/// `make runtime` builds it; `make test` does so before the tests.
#[test]
fn the_stripped_runtime_library_is_at_most_a_megabyte() {
    let path = repository("target/runtime/libbeiming_runtime.so");
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; `make runtime` builds it", path.display()));
    let size = bytes.len() as u64;
    assert!(size <= MOST, "the runtime library has {size} bytes, more than {MOST}");
    assert_eq!(&bytes[..4], b"\x7fELF");
    let number = |at: usize, n: usize| bytes[at..at + n].iter().rev().fold(0, |v, b| v << 8 | usize::from(*b));
    // The header of ELF: where the table of sections starts, the size of an entry, their number. An entry's type is at byte 4.
    let (table, entry, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let stripped = (0..count).all(|i| number(table + i * entry + 4, 4) != SYMTAB);
    assert!(stripped, "the library has symbols beside the dynamic ones: it is not the one that ships");
}
