//! One self-contained page about a compiled model: the graph of its kernels, what each is made of, predicted and measured times,
//! what was written for it, the memory plan, the weights. It is made of an artifact and, where there is one, of the compilation
//! that wrote it. `src/html` holds the page itself; here is what it shows, as data.
//!
//! Names in models are hostile: in the data every `<` is escaped, so that nothing ends the element it stands in, the page puts
//! text into the document only as text, and a content policy keeps it from loading anything.

mod data;
mod layout;
mod pack;
mod sources;

use beiming_runtime::StepTime;
use beiming_runtime::format::container::Artifact;

use super::DebugError;

pub use sources::Sources;

const PAGE: &str = include_str!("../../html/page.html");
const STYLE: &str = include_str!("../../html/page.css");
const SCRIPT: [&str; 6] = [
    include_str!("../../html/base.js"),
    include_str!("../../html/graph.js"),
    include_str!("../../html/panel.js"),
    include_str!("../../html/code.js"),
    include_str!("../../html/host.js"),
    include_str!("../../html/views.js"),
];

/// Times of one run.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Of every step, in the order of the artifact.
    pub times: Vec<StepTime>,
    /// Threads it ran on.
    pub threads: usize,
}

/// The page. `sources` are those of the compilation that wrote the artifact, or what it holds itself.
///
/// # Errors
/// [`DebugError::Run`] where the artifact is damaged.
pub fn page(artifact: &Artifact, sources: &Sources, measured: Option<&Measured>) -> Result<String, DebugError> {
    let data = data::collect(artifact, sources, measured)?;
    let mut packed = vec![];
    for i in 0..sources.kernels() {
        packed.push(sources.packed(i)?);
    }
    let title = data["model"].as_str().unwrap_or_default().to_string();
    // In order: what is put in may hold the names of later places.
    let parts = [
        ("{{title}}", escape(&title)),
        ("{{style}}", STYLE.to_string()),
        ("{{data}}", inert(&data.to_string())),
        ("{{sources}}", inert(&serde_json::to_string(&packed).unwrap_or_default())),
        ("{{script}}", SCRIPT.concat()),
    ];
    let mut rest = PAGE;
    let mut out = String::new();
    for (mark, text) in parts {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        out += before;
        out += &text;
        rest = after;
    }
    Ok(out + rest)
}

/// JSON that can stand inside a `script` element: without `<` it can neither end the element nor open a comment.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Text for the document.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".to_string(),
            '>' => "&gt;".to_string(),
            '&' => "&amp;".to_string(),
            '"' => "&quot;".to_string(),
            c if c.is_control() => "\u{fffd}".to_string(),
            c => c.to_string(),
        })
        .collect()
}
