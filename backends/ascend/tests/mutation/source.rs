//! Emitted kernels as text that is changed in one place: lines, the calls in them, and edits.

use std::collections::BTreeMap;
use std::ops::Range;

/// A call in a line of code: where its name and its arguments stand.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    /// From the name to the closing parenthesis.
    pub all: Range<usize>,
    pub args: Vec<Range<usize>>,
}

/// What replaces some lines; an empty text removes one.
pub type Edits = BTreeMap<usize, String>;

/// A kernel's lines.
pub struct Source {
    pub lines: Vec<String>,
    /// Element types of tensors, by name.
    types: BTreeMap<String, String>,
}

impl Source {
    pub fn new(text: &str) -> Source {
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let mut types = BTreeMap::new();
        for l in &lines {
            let declared = l.trim_start().strip_prefix("LocalTensor<").or(l.trim_start().strip_prefix("GlobalTensor<"));
            if let Some((ty, rest)) = declared.and_then(|r| r.split_once("> ")) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                types.insert(name, ty.to_string());
            }
        }
        Source { lines, types }
    }

    /// Type of the elements of a tensor; `name[..]` stands for `name`.
    pub fn element(&self, tensor: &str) -> Option<&str> {
        self.types.get(tensor.split(['[', '.']).next().unwrap_or(tensor).trim()).map(String::as_str)
    }

    /// A line without its comment.
    pub fn code(&self, at: usize) -> &str {
        code(&self.lines[at])
    }

    /// The whole text with some lines replaced.
    pub fn with(&self, edits: &Edits) -> String {
        let line = |(i, l): (usize, &String)| match edits.get(&i) {
            Some(e) if e.is_empty() => String::new(),
            Some(e) => format!("{e}\n"),
            None => format!("{l}\n"),
        };
        self.lines.iter().enumerate().map(line).collect()
    }

    /// The next line after `from`, or the last before it, whose code satisfies `f`.
    pub fn next(&self, from: usize, f: impl Fn(&str) -> bool) -> Option<usize> {
        (from + 1..self.lines.len()).find(|i| f(self.code(*i)))
    }

    pub fn previous(&self, from: usize, f: impl Fn(&str) -> bool) -> Option<usize> {
        (0..from).rev().find(|i| f(self.code(*i)))
    }
}

/// A line without its comment.
pub fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line).trim_end()
}

/// True for a statement that stands alone: no declaration of a buffer, no block.
pub fn is_statement(code: &str) -> bool {
    let c = code.trim();
    c.ends_with(';')
        && !c.starts_with("const ")
        && !c.contains("InitBuffer")
        && !c.starts_with("using")
        && !c.starts_with("return")
}

/// A line as a replacement.
pub fn edit(at: usize, text: impl Into<String>) -> Edits {
    Edits::from([(at, text.into())])
}

/// The text with a range replaced.
pub fn replaced(line: &str, range: &Range<usize>, by: &str) -> String {
    format!("{}{by}{}", &line[..range.start], &line[range.end..])
}

/// All calls in a line, outer ones first: `Name(..)` and `Name<..>(..)`, methods too.
pub fn calls(line: &str) -> Vec<Call> {
    let bytes = line.as_bytes();
    let part = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let mut out = vec![];
    let mut i = 0;
    while i < bytes.len() {
        if !part(bytes[i]) || (i > 0 && part(bytes[i - 1])) {
            i += 1;
            continue;
        }
        let start = i;
        while i < bytes.len() && part(bytes[i]) {
            i += 1;
        }
        let mut open = i;
        if bytes.get(open) == Some(&b'<')
            && let Some(close) = line[open..].find('>')
        {
            open += close + 1;
        }
        if bytes.get(open) != Some(&b'(') {
            continue;
        }
        let (mut depth, mut from, mut args) = (0i32, open + 1, vec![]);
        for (j, c) in line[open..].char_indices().map(|(j, c)| (open + j, c)) {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => {
                    depth -= 1;
                    if depth == 0 {
                        args.push(trimmed(line, from..j));
                        out.push(Call { name: line[start..i].to_string(), all: start..j + 1, args });
                        break;
                    }
                }
                ',' if depth == 1 => {
                    args.push(trimmed(line, from..j));
                    from = j + 1;
                }
                _ => {}
            }
        }
    }
    out
}

fn trimmed(line: &str, r: Range<usize>) -> Range<usize> {
    let text = &line[r.clone()];
    let start = r.start + (text.len() - text.trim_start().len());
    start..(start + text.trim().len())
}

/// An expression and a number: `8` and 1 are `9`, `static_cast<T>(x)` and 1 are `static_cast<T>((x) + 1)`.
pub fn plus(text: &str, n: i64) -> String {
    if let Ok(v) = text.parse::<i64>() {
        return (v + n).to_string();
    }
    match text.strip_prefix("static_cast<").and_then(|r| r.strip_suffix(')')).and_then(|r| r.split_once(">(")) {
        Some((ty, inner)) => format!("static_cast<{ty}>(({inner}) + {n})"),
        None => format!("({text}) + {n}"),
    }
}

#[test]
fn calls_are_found() {
    let line = "    DataCopyPad(x0[i6 * 768], in0Global[at0], DataCopyExtParams(1, static_cast<uint32_t>(count0 * 2), 0, 0, 0));";
    let found = calls(line);
    let names: Vec<&str> = found.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["DataCopyPad", "DataCopyExtParams", "static_cast"]);
    let args: Vec<&str> = found[1].args.iter().map(|a| &line[a.clone()]).collect();
    assert_eq!(args, ["1", "static_cast<uint32_t>(count0 * 2)", "0", "0", "0"]);
    assert_eq!(plus("static_cast<uint32_t>(count0 * 2)", 2), "static_cast<uint32_t>((count0 * 2) + 2)");
    assert_eq!(plus("-m.GetValue(i)", 1), "(-m.GetValue(i)) + 1");
}
