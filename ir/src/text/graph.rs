//! Text form of graphs.

use std::fmt::Write;
use std::sync::Arc;

use super::blob::{Constants, Sink, Source};
use super::lexer::{Cursor, Kind, ParseError, Parsed, escape};
use super::{list, parse_range, parse_ron, parse_type, print_ron, print_symbols};
use crate::graph::{Graph, Loc, ValueId};
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::Symbols;

/// Deepest nesting of regions that is read.
const MAX_DEPTH: usize = 64;

/// Prints a graph with its regions and constants.
pub fn print_graph(g: &Graph, constants: Constants<'_>) -> String {
    let (mut out, mut sink) = (String::new(), Sink::new(constants));
    print(g, "", "", &mut out, &mut sink);
    sink.finish(&mut out);
    out
}

fn print(g: &Graph, head: &str, pad: &str, out: &mut String, sink: &mut Sink<'_>) {
    let _ = writeln!(out, "{pad}{head}graph {} {{", escape(&g.name));
    let pad = format!("{pad}  ");
    print_symbols(out, &pad, &g.symbols);
    // Values are numbered in the order of their definition, so inputs and nodes merge by their numbers.
    let mut inputs = g.inputs.iter().peekable();
    for n in g.nodes() {
        let first = n.outputs.first().map_or(0, |v| v.0);
        while let Some(v) = inputs.next_if(|v| v.0 < first) {
            print_input(g, *v, &pad, out);
        }
        let results = list(&n.outputs, |v| {
            let name = &g.value(*v).name;
            if name.is_empty() { format!("%{}", v.0) } else { format!("%{} {}", v.0, escape(name)) }
        });
        let _ = write!(out, "{pad}{}{} = {}", results, if n.outputs.is_empty() { "_" } else { "" }, print_ron(&n.op));
        if !n.inputs.is_empty() {
            let _ = write!(out, " {}", list(&n.inputs, |v| format!("%{}", v.0)));
        }
        if !n.outputs.is_empty() {
            let _ = write!(out, " : {}", list(&n.outputs, |v| g.ty(*v).to_string()));
        }
        if !n.loc.is_empty() {
            let _ = write!(out, " @ {} {} {}", escape(&n.loc.name), escape(&n.loc.op), escape(&n.loc.place));
        }
        out.push('\n');
    }
    inputs.for_each(|v| print_input(g, *v, &pad, out));
    for (v, name) in g.outputs.iter().zip(g.output_names.iter().map(|n| &**n).chain(std::iter::repeat(""))) {
        let _ = writeln!(out, "{pad}output {} %{}", escape(name), v.0);
    }
    for (i, t) in g.consts.iter().enumerate() {
        let _ = writeln!(out, "{pad}const {i} : {}", sink.tensor(t));
    }
    for (i, r) in g.regions.iter().enumerate() {
        print(r, &format!("region {i} "), &pad, out, sink);
    }
    let _ = writeln!(out, "{}}}", &pad[2..]);
}

fn print_input(g: &Graph, v: ValueId, pad: &str, out: &mut String) {
    let _ = writeln!(out, "{pad}%{} = input {} : {}", v.0, escape(&g.value(v).name), g.ty(v));
}

/// Reads a graph. `side` is the buffer that [`Constants::External`] filled, or empty.
pub fn parse_graph(text: &str, side: &[u8]) -> Result<Graph, ParseError> {
    let (text, source) = Source::split(text, side)?;
    let mut c = Cursor::new(text);
    let g = parse(&mut c, &source, 0)?;
    if c.kind() == Kind::End { Ok(g) } else { c.expected("the end") }
}

fn parse(c: &mut Cursor<'_>, source: &Source, depth: usize) -> Parsed<Graph> {
    if depth > MAX_DEPTH {
        return c.error(format!("regions are nested more than {MAX_DEPTH} deep"));
    }
    c.expect("graph")?;
    let mut g = Graph::new(&c.string()?, Symbols::default());
    c.expect("{")?;
    while !c.eat("}") {
        if c.sees("%") || c.sees("_") {
            definition(c, &mut g)?;
        } else if c.eat("dim") {
            parse_range(c, &mut g.symbols)?;
        } else if c.eat("output") {
            let name = c.string()?;
            let v = value(c, &g)?;
            g.add_output(&name, v);
        } else if c.eat("const") {
            number(c, g.consts.len(), "constant")?;
            c.expect(":")?;
            let t: Tensor = source.tensor(c)?;
            g.consts.push(t);
        } else if c.eat("region") {
            number(c, g.regions.len(), "region")?;
            let r = parse(c, source, depth + 1)?;
            g.regions.push(r);
        } else {
            return c.expected("`dim`, a value `%n`, `output`, `const`, `region` or `}`");
        }
    }
    Ok(g)
}

/// The number of a table's entry; entries come in order.
fn number(c: &mut Cursor<'_>, want: usize, what: &str) -> Parsed<()> {
    let at = c.pos();
    let n: usize = c.int("a number")?;
    if n == want { Ok(()) } else { c.error_at(at, format!("{what} {n} where {want} comes next")) }
}

/// `%4`, defined already.
fn value(c: &mut Cursor<'_>, g: &Graph) -> Parsed<ValueId> {
    let at = c.pos();
    c.expect("%")?;
    let n: u32 = c.int("a value's number")?;
    if (n as usize) < g.values().len() { Ok(ValueId(n)) } else { c.error_at(at, format!("%{n} is not defined yet")) }
}

/// An input, or a node.
fn definition(c: &mut Cursor<'_>, g: &mut Graph) -> Parsed<()> {
    let mut names: Vec<String> = vec![];
    if !c.eat("_") {
        loop {
            let at = c.pos();
            c.expect("%")?;
            let (n, want): (usize, usize) = (c.int("a value's number")?, g.values().len() + names.len());
            if n != want {
                return c.error_at(at, format!("%{n} where %{want} comes next"));
            }
            names.push(if c.kind() == Kind::Str { c.string()? } else { String::new() });
            if !c.eat(",") {
                break;
            }
        }
    }
    c.expect("=")?;
    if c.sees("input") {
        if names.len() != 1 {
            return c.error("an input is one value");
        }
        c.advance();
        let name = c.string()?;
        c.expect(":")?;
        g.add_input(&name, parse_type(c)?);
        return Ok(());
    }
    let op: Op = parse_ron(c, "an operation")?;
    let mut inputs = vec![];
    while c.sees("%") {
        inputs.push(value(c, g)?);
        // The next definition may start on the next line: arguments go on after a comma only.
        if !c.eat(",") {
            break;
        }
    }
    let mut types = vec![];
    for i in 0..names.len() {
        c.expect(if i == 0 { ":" } else { "," })?;
        types.push(parse_type(c)?);
    }
    let mut loc = Loc::default();
    if c.eat("@") {
        let mut text = || c.string().map(Arc::<str>::from);
        loc = Loc::new(text()?, text()?, text()?);
    }
    let outputs = g.push_typed(op, inputs, types, loc);
    for (v, name) in outputs.into_iter().zip(names) {
        if !name.is_empty() {
            g.value_mut(v).name = name.into();
        }
    }
    Ok(())
}
