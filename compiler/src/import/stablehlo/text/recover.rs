//! Going on after an error.

use super::Parser;
use super::cursor::{Bad, Cursor};

impl<'a> Parser<'a> {
    /// Reports what is wrong with an operation that began at `start`, and goes to where the next one begins: past the line on
    /// which all that the operation opened is closed again.
    pub fn recover(&mut self, start: usize, bad: Bad) {
        let at = bad.at.max(start);
        // Errors inside aliases and resources stand elsewhere: where reading stopped is what counts then.
        let stopped = self.c.pos.max(start);
        self.report(bad);
        if !self.unbalanced {
            match end_of_operation(self.c.src, start, if at > stopped { stopped } else { at.max(start) }) {
                Some(end) => {
                    self.c.pos = end.max(start + 1);
                    return;
                }
                // Something is not closed at all: from now on lines are all there is to go by.
                None => self.unbalanced = true,
            }
        }
        self.c.pos = stopped;
        self.next_line();
    }

    /// To the start of the next line.
    pub fn next_line(&mut self) {
        let from = self.c.pos.min(self.c.src.len());
        self.c.pos = memchr::memchr(b'\n', &self.c.src[from..]).map_or(self.c.src.len(), |n| from + n + 1);
    }
}

/// The end of the first line at or after `least` where nothing is open that was opened after `start`; where a brace closes
/// that was not opened, its place.
fn end_of_operation(src: &[u8], start: usize, least: usize) -> Option<usize> {
    let mut c = Cursor::new(src, start);
    let mut open = 0usize;
    loop {
        match c.byte() {
            0 if c.done() => return (open == 0).then_some(c.pos),
            b'\n' if open == 0 && c.pos >= least && begins_anew(src, c.pos + 1) => return Some(c.pos + 1),
            b'/' => {
                let at = c.pos;
                c.space();
                if c.pos > at {
                    continue;
                }
            }
            b'"' => {
                if c.raw_string().is_err() {
                    // What it swallowed may have closed what is open: the line is all that is certain.
                    return memchr::memchr(b'\n', &src[c.pos..]).map(|n| c.pos + n + 1);
                }
                continue;
            }
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' => open = open.saturating_sub(1),
            b'}' => {
                if open == 0 {
                    return Some(c.pos);
                }
                open -= 1;
            }
            _ => {}
        }
        c.pos += 1;
    }
}

/// True where a line cannot be the rest of an operation: it begins with a result, a name in quotes, a word with a dialect,
/// a return, or a brace.
fn begins_anew(src: &[u8], line: usize) -> bool {
    let mut c = Cursor::new(src, line);
    match c.peek() {
        b'%' | b'"' | b'}' | b'^' | 0 | b'#' | b'!' => true,
        b'{' => src[c.pos..].starts_with(b"{-#"),
        _ => {
            let w = c.peek_word();
            w.contains('.') || matches!(w, "return" | "call" | "module")
        }
    }
}
