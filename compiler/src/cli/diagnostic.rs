//! What the user reads when something is wrong: a code, a message, the place in the model, and what can be done, in the manner
//! of rustc; or one line of JSON.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const RULE: Style = AnsiColor::Blue.on_default().bold();
const BOLD: Style = Style::new().bold();

/// One thing to say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostic {
    /// How serious: `error`.
    pub level: &'static str,
    /// Stable code, for example `E0101`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where: a file, a node of it. Several for one message that is about many nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// Further facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What can be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// A file that was written to show a fault of this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dump: Option<PathBuf>,
}

/// A place in a model.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Place {
    /// The file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The place in it, for example `graph/node 17`, or a line and column.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// Name of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Operator, with its opset where that is known: `Conv, opset 13`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// What is wrong just there, where the message is about several places.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Names of inputs whose values, were they known, would settle it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { level: "error", code, message: message.into(), places: vec![], notes: vec![], help: vec![], dump: None }
    }

    /// With a place.
    pub fn at(mut self, place: Place) -> Diagnostic {
        self.places.push(place);
        self
    }

    /// With the file it is about, where no place is more exact.
    pub fn in_file(self, file: &std::path::Path) -> Diagnostic {
        self.at(Place { file: file.display().to_string(), ..Place::default() })
    }

    /// With a fact.
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// With advice.
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    /// The text, with ANSI colours: print it through a stream that takes them away where they do not belong.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{ERROR}{}[{}]{ERROR:#}{BOLD}: {}{BOLD:#}", self.level, self.code, indented(&clean(&self.message)));
        for p in &self.places {
            let _ = writeln!(out, "  {RULE}-->{RULE:#} {p}");
            if !p.why.is_empty() {
                let _ = writeln!(out, "   {RULE}|{RULE:#} {}", indented(&clean(&p.why)));
            }
        }
        for (word, lines) in [("note", &self.notes), ("help", &self.help)] {
            for line in lines {
                let _ = writeln!(out, "   {RULE}={RULE:#} {BOLD}{word}{BOLD:#}: {}", indented(&clean(line)));
            }
        }
        out
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        // A struct of strings always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![];
        if !self.file.is_empty() {
            parts.push(format!("{}:", clean(&self.file)));
        }
        if !self.at.is_empty() {
            parts.push(clean(&self.at));
        }
        if !self.node.is_empty() {
            parts.push(format!("\"{}\"", clean(&self.node)));
        }
        if !self.op.is_empty() {
            parts.push(format!("({})", clean(&self.op)));
        }
        f.write_str(parts.join(" ").trim_end_matches(':'))
    }
}

/// Names come from models: control characters (terminal escapes) are written as escapes. Line breaks stay.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Lines after the first, set below the first.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n     ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_in_the_manner_of_rustc() {
        let place = Place {
            file: "m.onnx".into(),
            at: "graph/node 17".into(),
            node: "conv\x1b[2J".into(),
            op: "Conv, opset 13".into(),
            why: String::new(),
            wants: vec![],
        };
        let d = Diagnostic::error("E0403", "no such pads\nallowed: 0, 1").at(place).note("n").help("h");
        let plain = anstream::adapter::strip_str(&d.render()).to_string();
        let expected = "error[E0403]: no such pads\n     allowed: 0, 1\n  --> m.onnx: graph/node 17 \"conv\\u{1b}[2J\" (Conv, opset 13)\n   = note: n\n   = help: h\n";
        assert_eq!(plain, expected);
        let json: serde_json::Value = serde_json::from_str(&d.json()).expect("one JSON object");
        assert_eq!(json["places"][0]["node"], "conv\u{1b}[2J");
        assert_eq!(json["level"], "error");
    }

    #[test]
    fn a_file_alone_has_no_colon() {
        let d = Diagnostic::error("E0001", "m").in_file(std::path::Path::new("a b.bm"));
        assert_eq!(anstream::adapter::strip_str(&d.render()).to_string(), "error[E0001]: m\n  --> a b.bm\n");
    }
}
