//! `beiming compare --layers`: values between the ops, side by side with the reference's.

use super::compare::Args;
use super::failure::{Exit, Result};
use super::{debug, output};
use crate::debug::layers::{Layer, Verdict};
use crate::debug::{self as search, Layers, reference};

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let checking = &args.checking;
    let setup = debug::Setup::new(checking)?;
    let against = checking.reference(setup.is_onnx);
    let mut wants = |names: &[String]| reference::values(against, &*setup.source, names, &setup.inputs);
    let layers = search::layers(&*setup.source, &setup.inputs, &setup.maker, &mut wants, checking.tolerance(), args.unfused);
    let layers = layers.map_err(|e| debug::failure(&checking.model.model, e))?;
    if args.json {
        output::print_json(&layers)?;
    } else {
        output::print(&text(&layers))?;
    }
    Ok(if layers.first.is_none() { Exit::Ok } else { Exit::Findings })
}

/// A table of the values, and the first that is past the tolerance.
fn text(all: &Layers) -> String {
    let row = |l: &Layer| {
        let d = &l.difference;
        let pair = |(a, b): (usize, usize)| if (a, b) == (0, 0) { String::new() } else { format!("{a} / {b}") };
        let error = match &d.problem {
            Some(p) => p.clone(),
            None if d.max_error.is_finite() => format!("{:.3}", d.max_error),
            None => "past any".into(),
        };
        let first = d.first.as_ref().map_or_else(String::new, |f| format!("{:?}", f.index));
        let mark = match l.verdict {
            Verdict::Agrees => "",
            Verdict::Absorbed => "~",
            Verdict::Differs => "x",
        };
        let cells = [mark, &l.value, &l.op, &l.place, &l.r#type, &error, &first, &pair(d.nan), &pair(d.inf)];
        cells.map(debug::plain).to_vec()
    };
    let head = ["", "value", "op", "place", "type", "error", "first", "NaN", "inf"];
    let rows: Vec<Vec<String>> = all.layers.iter().map(row).collect();
    let (same, plain) = all.kernels;
    let mut out = output::table(&head, &rows);
    out += "\nerror: the largest, in units of what is allowed; NaN, inf: how many, ours / the reference's\n";
    if all.layers.iter().any(|l| l.verdict == Verdict::Absorbed) {
        out += "~: past the tolerance, but what is computed from it agrees, so rewriting made a value that the model does not have\n";
    }
    out += &format!("{same} of the model's {plain} kernels are those that ran");
    if all.alone > 0 {
        out += &format!("; {} values have no counterpart", all.alone);
    }
    out.push('\n');
    match all.first.and_then(|i| all.layers.get(i)) {
        None => out + "all values agree\n",
        Some(l) => {
            let d = &l.difference;
            out += &format!("first to differ: `{}` of {}", debug::plain(&l.value), debug::plain(&l.op));
            out += &format!(" `{}` ({})", debug::plain(&l.node), debug::plain(&l.place));
            if let Some(f) = &d.first {
                out += &format!(", in {} of {} elements", d.different, d.elements);
                out += &format!("\n  first at {:?}: got {}, expected {}", f.index, f.got, f.expected);
            }
            out += &format!("\n  its kernel: {}", l.group.join(" "));
            if !l.group_nodes.is_empty() {
                out += &format!("\n  of the nodes {}", debug::plain(&l.group_nodes));
            }
            out + "\n"
        }
    }
}
