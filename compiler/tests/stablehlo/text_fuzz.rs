//! No text makes the reader panic, hang or reserve much more memory than the text has: files with random changes. Text that a fuzzer
//! makes up is in `tests/fuzz`. `cargo test` tries a few; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` say how many.

use beiming::import::stablehlo::text;

/// Small files that have everything in them; also what found a bug once.
const SEEDS: &[&[u8]] = &[
    include_bytes!("forms/elementwise.mlir"),
    include_bytes!("forms/control.mlir"),
    include_bytes!("forms/attributes.mlir"),
    include_bytes!("forms/generic.mlir"),
];

/// Pieces that stand between others where the syntax turns.
const TOKENS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "->",
    ":",
    ",",
    "=",
    "%0",
    "%0#1",
    "%0:2",
    "^bb0",
    "\"",
    "@f",
    "#a",
    "!t",
    "loc(",
    "dense<",
    "0x",
    "-1",
    "1.0e9",
    "?",
    "x",
    "tensor<",
    "tuple<",
    "\n",
    "//",
    "{-#",
    "#-}",
    "<{",
    "}>",
    "stablehlo.",
    "func.func",
    "module",
    "9999999999999999999",
    "#a = [#a, #a]\n",
    "!t = tuple<!t, !t>\n",
    "complex<",
    "!quant.uniform<",
    "array<i64",
    "dense_resource<k>",
    "true",
    "cond",
    "do",
];

/// A seed with changes that `script` says: each four bytes are a place, an action and its argument.
fn changed(seed: &[u8], script: &[u8]) -> Vec<u8> {
    let mut out = seed.to_vec();
    for s in script.chunks_exact(4) {
        let at = (usize::from(s[0]) << 8 | usize::from(s[1])) % (out.len() + 1);
        let end = (at + usize::from(s[3])).min(out.len());
        match s[2] % 6 {
            0 => drop(out.drain(at..end)),
            1 => drop(out.splice(at..at, TOKENS[usize::from(s[3]) % TOKENS.len()].bytes())),
            2 => out.truncate(at),
            3 => {
                let copy = out[at..end].to_vec();
                drop(out.splice(at..at, copy));
            }
            4 => out.insert(at, s[3]),
            _ => {
                if let Some(b) = out.get_mut(at) {
                    *b = s[3];
                }
            }
        }
    }
    out
}

/// Reads a text, and shows what is wrong with it.
fn try_text(source: &[u8]) {
    for piece in text::pieces(source) {
        if let Err(problems) = text::parse(piece) {
            assert!(!problems.is_empty());
            for p in &problems {
                assert!(!text::render(p, piece, "fuzz.mlir").is_empty());
            }
        }
    }
}

#[test]
fn changed_files() {
    bolero::check!().with_iterations(300).for_each(|bytes: &[u8]| {
        if let Some((which, script)) = bytes.split_first() {
            try_text(&changed(SEEDS[usize::from(*which) % SEEDS.len()], script));
        }
    });
}
