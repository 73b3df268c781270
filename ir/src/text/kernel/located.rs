//! The text of a kernel with the places of its statements and expressions in it, for those who link it with other texts: debug
//! information, pages. The printer puts marks around what it prints; here they are taken out and become numbers.

use super::{print, readable};
use crate::kernel::{ExprId, Kernel};

/// Before a statement. No name holds a control character: they are escaped.
pub(super) const STATEMENT: char = '\u{1}';
/// Before an expression's number.
pub(super) const OPEN: char = '\u{2}';
/// Between an expression's number and its text.
pub(super) const NUMBERED: char = '\u{3}';
/// After an expression.
pub(super) const CLOSE: char = '\u{4}';

/// A kernel's text and what stands where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Located {
    /// As `print_kernel` gives it.
    pub text: String,
    /// The line (from 1) of every statement, outer before inner, in order; of a loop, that of its head.
    pub statements: Vec<u32>,
    /// The expressions in order of where they begin, outer before inner.
    pub spans: Vec<Span>,
}

/// The text of an expression, without line breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// First character of the line, from 0, in UTF-16 units (those of a browser's strings).
    pub from: u32,
    /// The character behind the last.
    pub to: u32,
    /// The expression.
    pub expr: ExprId,
}

/// Prints a kernel and says where its statements and expressions stand.
pub fn print_kernel_located(k: &Kernel) -> Located {
    let marked = print::marked(k, readable(k).is_none());
    let mut out = Located::default();
    let (mut line, mut column) = (1u32, 0u32);
    let mut open: Vec<usize> = vec![];
    let mut chars = marked.chars();
    while let Some(c) = chars.next() {
        match c {
            STATEMENT => out.statements.push(line),
            OPEN => {
                let digits: String = chars.by_ref().take_while(|c| *c != NUMBERED).collect();
                open.push(out.spans.len());
                out.spans.push(Span { line, from: column, to: column, expr: ExprId(digits.parse().unwrap_or(0)) });
            }
            CLOSE => {
                if let Some(i) = open.pop() {
                    out.spans[i].to = column;
                }
            }
            c => {
                out.text.push(c);
                (line, column) = if c == '\n' { (line + 1, 0) } else { (line, column + c.len_utf16() as u32) };
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{parse_kernel, print_kernel};

    const KERNEL: &str = "kernel k() {
  param %in0 : f32[8] read
  param %out0 : f32[8] write
  grid (i0 < 2)
  for i1 < 4 {
    %out0[i0 * 4 + i1] = tanh(%in0[i0 * 4 + i1]) + 1.0:f32
  }
}
";

    #[test]
    fn marks_leave_the_text_alone_and_tell_where_things_are() {
        let k = parse_kernel(KERNEL).expect("a kernel");
        let l = print_kernel_located(&k);
        assert_eq!(l.text, print_kernel(&k));
        assert_eq!(l.statements, [5, 6]);
        let lines: Vec<&str> = l.text.lines().collect();
        let texts: Vec<&str> = l.spans.iter().map(|s| &lines[s.line as usize - 1][s.from as usize..s.to as usize]).collect();
        assert_eq!(texts[0], "4");
        assert!(texts.contains(&"tanh(%in0[i0 * 4 + i1]) + 1.0:f32") && texts.contains(&"tanh(%in0[i0 * 4 + i1])"), "{texts:?}");
        // The same expression is the same number wherever it stands.
        let of = |t: &str| -> Vec<ExprId> { l.spans.iter().zip(&texts).filter(|(_, x)| **x == t).map(|(s, _)| s.expr).collect() };
        let same = of("i0 * 4 + i1");
        assert!(same.len() == 2 && same[0] == same[1]);
    }
}
