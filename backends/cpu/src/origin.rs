//! From the lines of what LLVM wrote back to the kernel. The code is written once more with debug locations (the line is one of the
//! kernel's text, the column the number of an expression), and they are read back from LLVM's own text and from the
//! assembler's `.loc` directives. The code that is shipped is made without them.

use std::collections::HashMap;

use beiming_ir::kernel::{ExprId, Kernel, Stmt};
use beiming_ir::text::print_kernel_located;

/// Line of the kernel's head: entry, buffers and the grid's loop.
pub const HEAD: u32 = 1;

/// Where a line comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// Line of the kernel's text (`beiming_ir::text::print_kernel`), from 1: that of a statement or the kernel's head.
    pub line: u32,
    /// The expression that it computes; `None` for what belongs to the statement as a whole.
    pub expr: Option<ExprId>,
}

/// A text and where each of its lines comes from: `None` for labels, directives and what LLVM can trace to no one place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// One function.
    pub text: String,
    /// One a line.
    pub origins: Vec<Option<Origin>>,
}

/// What was written for one kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listings {
    /// LLVM IR after the passes.
    pub llvm_ir: Listing,
    /// Assembly.
    pub assembly: Listing,
}

/// The column that stands for an expression; zero is none. LLVM keeps 16 bits of a column and makes larger ones zero.
pub fn column(e: ExprId) -> u32 {
    e.0 + 1
}

fn origin(line: u32, column: u32) -> Option<Origin> {
    (line > 0).then(|| Origin { line, expr: column.checked_sub(1).map(ExprId) })
}

/// The lines of the statements in the text of a kernel, by where the statement lies in memory. Empty: not wanted.
#[derive(Default)]
pub struct Lines(HashMap<usize, u32>);

impl Lines {
    /// Those of `normal`, which is `k` with its copies rewritten as loops.
    pub fn new(k: &Kernel, normal: &Kernel) -> Lines {
        let mut lines = Lines::default();
        let mut numbers = print_kernel_located(k).statements.into_iter();
        lines.pair(&k.body, &normal.body, &mut numbers);
        lines
    }

    fn pair(&mut self, from: &[Stmt], to: &[Stmt], numbers: &mut dyn Iterator<Item = u32>) {
        let mut to = to.iter();
        for a in from {
            let line = numbers.next().unwrap_or(HEAD);
            // Waits are dropped.
            if matches!(a, Stmt::Wait { .. }) {
                continue;
            }
            let Some(b) = to.next() else { return };
            self.0.insert(key(b), line);
            match (a, b) {
                (Stmt::For { body: a, .. }, Stmt::For { body: b, .. }) => self.pair(a, b, numbers),
                (Stmt::If { then: a, .. }, Stmt::If { then: b, .. }) => self.pair(a, b, numbers),
                (Stmt::Copy { .. }, b) => beiming_ir::walk::for_stmts(std::slice::from_ref(b), &mut |s| {
                    self.0.insert(key(s), line);
                }),
                _ => {}
            }
        }
    }

    /// True where no origins are wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The line of a statement.
    pub fn of(&self, s: &Stmt) -> Option<u32> {
        self.0.get(&key(s)).copied()
    }
}

fn key(s: &Stmt) -> usize {
    std::ptr::from_ref(s) as usize
}

/// The function `symbol` of a module with debug locations, without them.
pub fn of_llvm(module: &str, symbol: &str) -> Listing {
    // `!12 = !DILocation(line: 5, column: 3, scope: !4)`
    let mut places: HashMap<&str, Option<Origin>> = HashMap::new();
    for l in module.lines().filter(|l| l.starts_with('!')) {
        let Some((name, rest)) = l.split_once(" = ") else { continue };
        let Some((_, fields)) = rest.split_once("!DILocation(") else { continue };
        let field = |key: &str| {
            let found = fields.split(", ").find_map(|f| f.strip_prefix(key));
            found.and_then(|v| v.trim_end_matches(')').parse().ok()).unwrap_or(0)
        };
        places.insert(name, origin(field("line: "), field("column: ")));
    }
    let head = format!("@{symbol}(");
    let mut out = Listing::default();
    let body = module.lines().skip_while(|l| !(l.starts_with("define ") && l.contains(&head)));
    for l in body {
        let (code, place) = match l.rsplit_once(", !dbg ") {
            Some((code, name)) => (code.to_string(), places.get(name).copied().flatten()),
            // The function's own.
            None => (l.split_once(" !dbg ").map_or(l.to_string(), |(a, _)| format!("{a} {{")), None),
        };
        out.push(&code, place);
        if l == "}" {
            break;
        }
    }
    out
}

/// The function `symbol` of an assembly with `.loc` directives, without them.
pub fn of_assembly(text: &str, symbol: &str) -> Listing {
    let (head, end) = (format!("{symbol}:"), format!("\t.size\t{symbol},"));
    let mut out = Listing::default();
    let mut now = None;
    for l in text.lines().skip_while(|l| !l.starts_with(&head)) {
        if l.starts_with(&end) {
            break;
        }
        let word = l.trim_start();
        if let Some(rest) = word.strip_prefix(".loc\t") {
            // File, line, column.
            let mut numbers = rest.split_whitespace().skip(1).map_while(|n| n.parse::<u32>().ok());
            now = numbers.next().and_then(|line| origin(line, numbers.next().unwrap_or(0)));
            continue;
        }
        if is_of_debug(word) {
            continue;
        }
        out.push(l, now.filter(|_| is_instruction(l)));
    }
    out
}

/// The function `symbol` of the assembly that is shipped, with the origins of the one with directives. The two differ a little:
/// where there is debug information LLVM also describes the stack frame, and orders the saving of registers around that.
pub fn of_shipped(plain: &str, located: &str, symbol: &str) -> Listing {
    let (mut out, located) = (of_assembly(plain, symbol), of_assembly(located, symbol));
    let instructions = |l: &Listing| -> Vec<(usize, String)> {
        let lines = l.text.lines().enumerate().filter(|(_, l)| is_instruction(l));
        lines.map(|(i, l)| (i, l.to_string())).collect()
    };
    let (a, b) = (instructions(&out), instructions(&located));
    for (i, j) in common(&a, &b, |x, y| x.1 == y.1) {
        out.origins[a[i].0] = located.origins[b[j].0];
    }
    out
}

fn is_instruction(line: &str) -> bool {
    line.starts_with('\t') && !line.trim_start().starts_with(['.', '#', '/'])
}

/// Most insertions and deletions between two texts of one kernel; beyond, only what is equal at both ends counts as common.
const MOST_EDITS: usize = 1000;

/// The positions of a longest common subsequence (Myers 1986), by the fewest insertions and deletions.
fn common<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<(usize, usize)> {
    let head = a.iter().zip(b).take_while(|(x, y)| same(x, y)).count();
    let (a_mid, b_mid) = (&a[head..], &b[head..]);
    let tail = a_mid.iter().rev().zip(b_mid.iter().rev()).take_while(|(x, y)| same(x, y)).count();
    let (n, m) = (a_mid.len() - tail, b_mid.len() - tail);
    let mut out: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    out.extend(edits(n, m, |i, j| same(&a_mid[i], &b_mid[j])).into_iter().map(|(i, j)| (head + i, head + j)));
    out.extend((0..tail).map(|k| (head + n + k, head + m + k)));
    out
}

/// The common positions of sequences of `n` and `m` elements, in order.
fn edits(n: usize, m: usize, same: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let most = (n + m).min(MOST_EDITS);
    let offset = most as isize + 1;
    // The furthest position in `a` on every diagonal, after each number of edits.
    let mut v = vec![0isize; 2 * most + 3];
    let mut history = vec![];
    let at = |k: isize| (k + offset) as usize;
    for d in 0..=most as isize {
        history.push(v.clone());
        for k in (-d..=d).step_by(2) {
            let down = k == -d || (k != d && v[at(k - 1)] < v[at(k + 1)]);
            let mut x = if down { v[at(k + 1)] } else { v[at(k - 1)] + 1 };
            while x < n as isize && x - k < m as isize && x >= k && same(x as usize, (x - k) as usize) {
                x += 1;
            }
            v[at(k)] = x;
            if x >= n as isize && x - k >= m as isize {
                return walk_back(&history, (n as isize, m as isize), d, at);
            }
        }
    }
    vec![]
}

fn walk_back(history: &[Vec<isize>], end: (isize, isize), edits: isize, at: impl Fn(isize) -> usize) -> Vec<(usize, usize)> {
    let (mut x, mut y) = end;
    let mut out = vec![];
    for d in (0..=edits).rev() {
        let v = &history[d as usize];
        let k = x - y;
        let down = k == -d || (k != d && v[at(k - 1)] < v[at(k + 1)]);
        let before = if down { k + 1 } else { k - 1 };
        // The first round begins at the corner.
        let (px, py) = if d == 0 { (0, 0) } else { (v[at(before)], v[at(before)] - before) };
        while x > px && y > py {
            (x, y) = (x - 1, y - 1);
            out.push((x as usize, y as usize));
        }
        (x, y) = (px, py);
    }
    out.reverse();
    out
}

/// Labels and directives that only debug information needs.
fn is_of_debug(word: &str) -> bool {
    word.starts_with(".file\t")
        || [".Ltmp", ".Lfunc_begin", ".Lfunc_end"].iter().any(|p| word.starts_with(p) && word.contains(':'))
}

impl Listing {
    fn push(&mut self, line: &str, origin: Option<Origin>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_lines_are_found() {
        for (a, b, want) in [
            ("", "", 0),
            ("abc", "abc", 3),
            ("abcabba", "cbabac", 4),
            ("abc", "", 0),
            ("axbycz", "abc", 3),
            ("xxabcxx", "yyabcyy", 3),
            ("abc", "def", 0),
            ("sppabc", "ppsabc", 5),
        ] {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let found = common(&a, &b, |x, y| x == y);
            assert!(found.iter().all(|(i, j)| a[*i] == b[*j]), "{a:?} {b:?}: {found:?}");
            assert!(found.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{found:?}");
            assert_eq!(found.len(), want, "{a:?} {b:?}: {found:?}");
        }
    }

    #[test]
    fn locations_are_read_from_llvm_s_texts() {
        let module = "define hidden void @k(ptr %0) local_unnamed_addr #0 !dbg !4 {\n  %2 = load i64, ptr %0, align 8, !dbg !7\n  \
                      br label %3\n3:\n  ret void, !dbg !8\n}\n\n!4 = distinct !DISubprogram(name: \"k\")\n\
                      !7 = !DILocation(line: 5, column: 3, scope: !4)\n!8 = !DILocation(line: 0, scope: !4)\n";
        let l = of_llvm(module, "k");
        assert!(l.text.starts_with("define hidden void @k(ptr %0) local_unnamed_addr #0 {\n  %2 = load i64, ptr %0, align 8\n"));
        let at = |line, expr| Some(Origin { line, expr });
        assert_eq!(l.origins, [None, at(5, Some(ExprId(2))), None, None, None, None]);

        let asm = "\t.type\tk,@function\nk:                   # @k\n.Lfunc_begin0:\n\t.loc\t0 1 0\n# %bb.0:\n\tpushq\t%rbx\n.Ltmp0:\n\
                   \t.loc\t0 5 3 prologue_end              # k:5:3\n\tmovq\t(%rdi), %rax\n.LBB0_1:\n\t.loc\t0 0 0\n\tretq\n\
                   .Lfunc_end0:\n\t.size\tk, .Lfunc_end0-k\n";
        let l = of_assembly(asm, "k");
        assert_eq!(l.text, "k:                   # @k\n# %bb.0:\n\tpushq\t%rbx\n\tmovq\t(%rdi), %rax\n.LBB0_1:\n\tretq\n");
        assert_eq!(l.origins, [None, None, at(1, None), at(5, Some(ExprId(2))), None, None]);
    }
}
