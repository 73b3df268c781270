//! Problems as a reader wants them: the line of the text, with a caret under the place.

use std::fmt::Write as _;

use crate::import::stablehlo::syntax::Problem;

/// So much of a line is shown.
const WIDTH: usize = 120;

/// A problem with its line, in the manner of rustc.
///
/// ```text
/// error: this value has the type tensor<4xf32>, not tensor<4xi32>
///   --> model.mlir:3:22
///    |
///  3 |     %1 = stablehlo.add %0, %0 : tensor<4xi32>
///    |                        ^
/// ```
pub fn render(problem: &Problem, source: &[u8], file: &str) -> String {
    let (line, column) = (problem.loc.line, problem.loc.column);
    let mut out = format!("error: {}\n  --> {file}:{line}:{column}\n", problem.message);
    out.push_str(&excerpt(problem, source));
    out
}

/// The line that a problem is about, with the caret under it; empty where the problem has no line.
pub fn excerpt(problem: &Problem, source: &[u8]) -> String {
    let Some(before) = problem.loc.line.checked_sub(1) else { return String::new() };
    let start = match before {
        0 => 0,
        n => match memchr::memchr_iter(b'\n', source).nth(n as usize - 1) {
            Some(at) => at + 1,
            None => return String::new(),
        },
    };
    let end = memchr::memchr(b'\n', &source[start..]).map_or(source.len(), |n| start + n);
    let caret = (start + problem.loc.column.saturating_sub(1) as usize).min(end);
    // A line of constants can be very long: the part around the caret is shown.
    let from = if caret - start > WIDTH / 2 { caret - WIDTH / 2 } else { start };
    let to = end.min(from + WIDTH);
    let (left, right) = (shown(&source[from..caret.clamp(from, to)]), shown(&source[caret.clamp(from, to)..to]));
    let lead = if from > start { "..." } else { "" };
    let tail = if to < end { "..." } else { "" };
    let number = problem.loc.line.to_string();
    let gutter = " ".repeat(number.len());
    let mut out = String::new();
    let _ = writeln!(out, " {gutter} |");
    let _ = writeln!(out, " {number} | {lead}{left}{right}{tail}");
    let _ = writeln!(out, " {gutter} | {}^", " ".repeat(lead.len() + left.chars().count()));
    out
}

/// Text without what would disturb a terminal, one column a character.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
