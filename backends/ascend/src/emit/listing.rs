//! Which statement a line of Ascend C comes from, for those who show both. The writer puts a mark before the lines of a statement;
//! here the marks are taken out and become places.

use beiming_ir::kernel::{Expr, ExprId, Kernel, Stmt};
use beiming_ir::walk::for_stmts;

/// Before the number of a statement. Names hold no control characters: the verifier sees to it.
const OPEN: char = '\u{1}';
/// Behind it.
const CLOSE: char = '\u{2}';

/// A kernel's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// As [`super::kernel`] gives it.
    pub text: String,
    /// Of every line what it spells; `None` of declarations and of what stands around the statements.
    pub lines: Vec<Option<Place>>,
}

/// What a line spells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Position of the statement in its kernel, outer before inner; of a loop's head and end, the loop.
    pub statement: u32,
    /// The expression that is computed, if it is one that statements do not share (loop variables, numbers).
    pub expr: Option<ExprId>,
}

/// What stands before a line of statement `s`.
pub(super) fn mark(k: &Kernel, s: &Stmt) -> String {
    let (mut n, mut found) = (0usize, None);
    for_stmts(&k.body, &mut |x| {
        if std::ptr::eq(x, s) {
            found = Some(n);
        }
        n += 1;
    });
    found.map_or_else(String::new, |n| format!("{OPEN}{n}{CLOSE}"))
}

impl Listing {
    /// Takes the marks out.
    pub(super) fn new(k: &Kernel, marked: &str) -> Listing {
        let mut exprs: Vec<Option<ExprId>> = vec![];
        for_stmts(&k.body, &mut |s| {
            exprs.push(match s {
                Stmt::Vector { value, reduce: None, .. } => Some(*value),
                _ => None,
            });
        });
        let shared = |e: &ExprId| matches!(k.exprs.get(e.index()), None | Some(Expr::Var(_) | Expr::Dim(_) | Expr::Const(_)));
        let mut out = Listing { text: String::with_capacity(marked.len()), lines: vec![] };
        for line in marked.lines() {
            let parts = line.strip_prefix(OPEN).and_then(|l| l.split_once(CLOSE));
            let (place, text) = match parts.and_then(|(n, text)| Some((n.parse::<u32>().ok()?, text))) {
                Some((statement, text)) => {
                    let expr = exprs.get(statement as usize).copied().flatten().filter(|e| !shared(e));
                    (Some(Place { statement, expr }), text)
                }
                None => (None, line),
            };
            out.text.push_str(text);
            out.text.push('\n');
            out.lines.push(place);
        }
        out
    }
}
