//! Printing: diagnostics and notes to stderr, results to stdout, in colour where a terminal takes it.

use std::io::Write;

use super::diagnostic::Diagnostic;
use super::failure::{Exit, Failure, Result};

/// Writes results to stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, Diagnostic::error("E0001", format!("cannot write to stdout: {e}"))))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON document to stdout.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(e) => Err(Failure::new(Exit::Internal, Diagnostic::error("E9001", format!("the result is no JSON: {e}")))),
    }
}

/// Writes a diagnostic to stderr. Nothing can be done where stderr is closed.
pub fn report(d: &Diagnostic, json: bool) {
    let text = if json { d.json() + "\n" } else { d.render() };
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// A remark to stderr.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A number of bytes for people.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.2} GiB")
}

/// Columns, padded to their widest cell; numbers to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).chain([head[c].chars().count()]).max().unwrap_or(0);
    let numeric = |c: usize| rows.iter().all(|r| r[c].is_empty() || r[c].starts_with(|x: char| x.is_ascii_digit() || x == '-'));
    let widths: Vec<(usize, bool)> = (0..head.len()).map(|c| (width(c), numeric(c) && !rows.is_empty())).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, &(w, right)) in cells.zip(&widths) {
            let pad = " ".repeat(w.saturating_sub(cell.chars().count()));
            out += &if right { format!("{pad}{cell}  ") } else { format!("{cell}{pad}  ") };
        }
        out.trim_end().to_string() + "\n"
    };
    let mut out = line(&mut head.iter().copied());
    rows.iter().for_each(|r| out += &line(&mut r.iter().map(String::as_str)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align() {
        let rows = [vec!["a".into(), "10".into()], vec!["long".into(), "7".into()]];
        assert_eq!(table(&["name", "n"], &rows), "name   n\na     10\nlong   7\n");
    }

    #[test]
    fn sizes_read_well() {
        for (n, want) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.00 GiB")] {
            assert_eq!(bytes(n), want);
        }
    }
}
