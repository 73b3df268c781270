//! What can be wrong with a kernel, one operator a kind of mistake. Each looks at one line and says how it could be written wrong.

mod cube;
mod vector;

use super::source::{Call, Edits, Source, calls, code, edit, is_statement, plus, replaced};

type Apply = Box<dyn Fn(&Source, usize) -> Vec<Edits> + Send + Sync>;

/// A kind of mistake.
pub struct Operator {
    /// Name in the table.
    pub name: &'static str,
    /// What it does, for readers of the table.
    pub what: &'static str,
    apply: Apply,
}

impl Operator {
    /// Every way of making this mistake in a kernel, in the order of its lines.
    pub fn sites(&self, s: &Source) -> Vec<Edits> {
        (0..s.lines.len()).flat_map(|i| (self.apply)(s, i)).collect()
    }
}

fn operator(
    name: &'static str,
    what: &'static str,
    f: impl Fn(&Source, usize) -> Vec<Edits> + Send + Sync + 'static,
) -> Operator {
    Operator { name, what, apply: Box::new(f) }
}

/// One argument of every call of some functions written otherwise.
fn argument(
    name: &'static str,
    what: &'static str,
    of: &'static [&'static str],
    which: impl Fn(&Call) -> Option<usize> + Send + Sync + 'static,
    f: impl Fn(&Source, &Call, &str, &str) -> Option<String> + Send + Sync + 'static,
) -> Operator {
    operator(name, what, move |s, at| {
        let line = s.code(at);
        let found = calls(line).into_iter().filter(|c| of.contains(&c.name.as_str()));
        found
            .filter_map(|c| {
                let range = c.args.get(which(&c)?)?.clone();
                let new = f(s, &c, line, &line[range.clone()])?;
                (new != line[range.clone()]).then(|| edit(at, replaced(line, &range, &new)))
            })
            .collect()
    })
}

/// A line of a form written otherwise.
fn rewritten(name: &'static str, what: &'static str, f: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) -> Operator {
    operator(name, what, move |s, at| {
        f(s.code(at)).into_iter().filter(|new| new != s.code(at)).map(|new| edit(at, new)).collect()
    })
}

/// Lines of a form removed.
fn dropped(name: &'static str, what: &'static str, f: impl Fn(&str) -> bool + Send + Sync + 'static) -> Operator {
    operator(name, what, move |s, at| if f(s.code(at)) { vec![edit(at, "")] } else { vec![] })
}

/// Text for text, where it occurs.
fn swapped(name: &'static str, what: &'static str, pairs: &'static [(&'static str, &'static str)]) -> Operator {
    rewritten(name, what, move |l| {
        pairs.iter().filter(|(a, _)| l.contains(a)).take(1).map(|(a, b)| l.replacen(a, b, 1)).collect()
    })
}

fn nth(n: usize) -> impl Fn(&Call) -> Option<usize> + Send + Sync + 'static {
    move |_| Some(n)
}

fn last(c: &Call) -> Option<usize> {
    c.args.len().checked_sub(1)
}

/// More or less by a number.
fn by(n: i64) -> impl Fn(&Source, &Call, &str, &str) -> Option<String> + Send + Sync + 'static {
    move |_, _, _, a| Some(plus(a, n))
}

/// Instructions of the vector unit; the count is their last argument.
const VECTOR: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Adds",
    "Muls",
    "Maxs",
    "Mins",
    "Abs",
    "Exp",
    "Ln",
    "Sqrt",
    "Rsqrt",
    "Cast",
    "Compare",
    "CompareScalar",
    "Select",
    "Duplicate",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "Gather",
];

fn is_vector(code: &str) -> bool {
    let name: String = code.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
    VECTOR.contains(&name.as_str())
}

/// `x` of `xQueue.What<..>(..)`.
fn queue_of<'a>(code: &'a str, what: &str) -> Option<&'a str> {
    let (before, _) = code.split_once(&format!("Queue.{what}"))?;
    before.rsplit([' ', '(', '=']).next().filter(|n| !n.is_empty())
}

/// Bytes of an element by its name in the code.
fn size_of(ty: &str) -> i64 {
    match ty {
        "half" | "bfloat16_t" | "int16_t" | "uint16_t" => 2,
        "int8_t" | "uint8_t" => 1,
        "int64_t" => 8,
        _ => 4,
    }
}

/// Into the unified buffer, or out of it?
fn inward(line: &str, c: &Call) -> bool {
    !line[c.all.end..].is_empty() && line.contains("DataCopyPadExtParams")
}

/// Bytes of an element that a copy moves: its tensor's in the core's memory.
fn copied(s: &Source, line: &str) -> i64 {
    let c = calls(line).into_iter().find(|c| c.name == "DataCopyPad");
    c.and_then(|c| c.args.iter().take(2).find_map(|a| s.element(&line[a.clone()]))).map_or(4, size_of)
}

/// Order within a core and between cores: queues, flags, barriers.
pub fn order() -> Vec<Operator> {
    let queue = |what: &'static str| move |l: &str| queue_of(l, what).is_some();
    vec![
        dropped("drop-enque", "EnQue left out", queue("EnQue")),
        dropped("drop-deque", "DeQue left out", queue("DeQue")),
        operator("skip-queue", "EnQue and the DeQue behind it left out", |s, at| {
            let Some(q) = queue_of(s.code(at), "EnQue") else { return vec![] };
            let other = s.next(at, |l| queue_of(l, "DeQue") == Some(q));
            other.map(|o| Edits::from([(at, String::new()), (o, String::new())])).into_iter().collect()
        }),
        dropped("drop-free", "FreeTensor left out", queue("FreeTensor")),
        rewritten("free-twice", "FreeTensor twice", |l| match queue_of(l, "FreeTensor") {
            Some(_) => vec![format!("{l} {}", l.trim())],
            None => vec![],
        }),
        operator("free-early", "FreeTensor right behind DeQue", |s, at| {
            let Some(q) = queue_of(s.code(at), "FreeTensor") else { return vec![] };
            let taken = s.previous(at, |l| queue_of(l, "DeQue") == Some(q));
            let moved = taken.map(|t| Edits::from([(at, String::new()), (t, format!("{} {}", s.code(t), s.code(at).trim()))]));
            moved.into_iter().collect()
        }),
        operator("enque-early", "EnQue before the last statement that fills the buffer", |s, at| {
            let before = at.checked_sub(1).map_or("", |i| s.code(i));
            if queue_of(s.code(at), "EnQue").is_none() || !is_statement(before) || before.trim().starts_with("++") {
                return vec![];
            }
            vec![Edits::from([(at - 1, s.code(at).to_string()), (at, before.to_string())])]
        }),
        operator("deque-late", "DeQue behind the first statement that uses the buffer", |s, at| {
            let Some(q) = queue_of(s.code(at), "DeQue") else { return vec![] };
            let uses = |l: &str| is_statement(l) && l.contains(q) && !l.contains("Queue.");
            let Some(next) = s.next(at, uses).filter(|n| *n < at + 6) else { return vec![] };
            if !s.lines[at..next].iter().all(|l| is_statement(code(l))) {
                return vec![];
            }
            vec![Edits::from([(at, String::new()), (next, format!("{} {}", s.code(next), s.code(at).trim()))])]
        }),
        rewritten("skip-alloc", "a tensor that AllocTensor never gave", |l| {
            match (queue_of(l, "AllocTensor"), l.split_once(" = ")) {
                (Some(_), Some((declared, _))) => vec![format!("{declared};")],
                _ => vec![],
            }
        }),
        dropped("drop-barrier", "PipeBarrier left out", |l| l.contains("PipeBarrier<")),
        swapped(
            "other-barrier",
            "PipeBarrier of another pipe",
            &[
                ("PipeBarrier<PIPE_M>", "PipeBarrier<PIPE_MTE1>"),
                ("PipeBarrier<PIPE_V>", "PipeBarrier<PIPE_MTE2>"),
                ("PipeBarrier<PIPE_MTE2>", "PipeBarrier<PIPE_V>"),
                ("PipeBarrier<PIPE_MTE3>", "PipeBarrier<PIPE_V>"),
                ("PipeBarrier<PIPE_ALL>", "PipeBarrier<PIPE_V>"),
            ],
        ),
        dropped("drop-set", "SetFlag left out", |l| calls(l).iter().any(|c| c.name == "SetFlag")),
        dropped("drop-wait", "WaitFlag left out", |l| calls(l).iter().any(|c| c.name == "WaitFlag")),
        swapped(
            "set-for-wait",
            "SetFlag where WaitFlag belongs, and the other way",
            &[("SetFlag<HardEvent", "WaitFlag<HardEvent"), ("WaitFlag<HardEvent", "SetFlag<HardEvent")],
        ),
        argument("event-id", "another event id", &["SetFlag", "WaitFlag"], nth(0), |_, _, _, a| Some(format!("(({a}) + 1) % 6"))),
        swapped(
            "event-pipes",
            "an event of other pipes",
            &[
                ("HardEvent::MTE2_V", "HardEvent::V_MTE2"),
                ("HardEvent::V_MTE2", "HardEvent::MTE2_V"),
                ("HardEvent::V_MTE3", "HardEvent::MTE3_V"),
                ("HardEvent::MTE3_V", "HardEvent::V_MTE3"),
                ("HardEvent::MTE2_MTE1", "HardEvent::MTE1_MTE2"),
                ("HardEvent::MTE1_M", "HardEvent::M_MTE1"),
                ("HardEvent::M_FIX", "HardEvent::FIX_M"),
                ("HardEvent::FIX_M", "HardEvent::M_FIX"),
            ],
        ),
        dropped("drop-cross-set", "CrossCoreSetFlag left out", |l| l.contains("CrossCoreSetFlag<")),
        dropped("drop-cross-wait", "CrossCoreWaitFlag left out", |l| l.contains("CrossCoreWaitFlag")),
        argument("cross-id", "another cross-core flag", &["CrossCoreSetFlag", "CrossCoreWaitFlag"], nth(0), |_, _, _, a| {
            Some(format!("(({a}) + 1) % 11"))
        }),
        swapped(
            "cross-mode",
            "a cross-core flag of another mode",
            &[
                ("CrossCoreSetFlag<0x2", "CrossCoreSetFlag<0x1"),
                ("CrossCoreSetFlag<2", "CrossCoreSetFlag<1"),
                ("CrossCoreSetFlag<0", "CrossCoreSetFlag<2"),
            ],
        ),
        swapped(
            "cross-pipe",
            "a cross-core flag of another pipe",
            &[("PIPE_FIX>(", "PIPE_MTE1>("), ("PIPE_MTE3>(", "PIPE_V>("), ("PIPE_MTE2>(", "PIPE_S>(")],
        ),
        dropped("drop-syncall", "SyncAll left out", |l| calls(l).iter().any(|c| c.name == "SyncAll")),
        swapped(
            "task-type",
            "the kernel type of the other kind of core",
            &[
                ("KERNEL_TYPE_AIV_ONLY", "KERNEL_TYPE_AIC_ONLY"),
                ("KERNEL_TYPE_AIC_ONLY", "KERNEL_TYPE_AIV_ONLY"),
                ("KERNEL_TYPE_MIX_AIC_1_2", "KERNEL_TYPE_AIV_ONLY"),
            ],
        ),
        dropped("drop-cache-clean", "the data cache not written back", |l| l.contains("DataCacheCleanAndInvalid<")),
    ]
}

/// Buffers, addresses and lengths.
pub fn places() -> Vec<Operator> {
    vec![
        swapped(
            "queue-position",
            "a queue of another position",
            &[
                ("TPosition::VECIN,", "TPosition::VECOUT,"),
                ("TPosition::VECOUT,", "TPosition::VECIN,"),
                ("TPosition::A2,", "TPosition::B2,"),
                ("TPosition::B2,", "TPosition::A2,"),
                ("TPosition::A1,", "TPosition::A2,"),
                ("TPosition::B1,", "TPosition::B2,"),
                ("TPosition::CO1,", "TPosition::A1,"),
            ],
        ),
        argument("buffer-half", "a buffer of half the size", &["InitBuffer"], last, |_, _, _, a| {
            Some((a.parse::<i64>().ok()? / 64 * 32).to_string())
        }),
        argument("buffer-huge", "a buffer beyond the memory", &["InitBuffer"], last, |_, _, _, a| {
            Some((a.parse::<i64>().ok()?.max(65536) * 8).to_string())
        }),
        operator("buffers-overlap", "scratch that lies where other scratch lies", |s, at| {
            let get = |l: &str| l.split_once(" = ").and_then(|(_, r)| r.split_once("Buffer.Get<")).map(|(b, _)| b.to_string());
            let Some(mine) = get(s.code(at)) else { return vec![] };
            let Some(other) = s.previous(at, |l| get(l).is_some()).and_then(|o| get(s.code(o))) else { return vec![] };
            vec![edit(at, s.code(at).replace(&format!("= {mine}Buffer."), &format!("= {other}Buffer.")))]
        }),
        argument("global-size", "global memory declared one element short", &["SetGlobalBuffer"], nth(1), by(-1)),
        argument("copy-long", "a padded copy one element too long", &["DataCopyExtParams"], nth(1), |s, _, l, a| {
            Some(plus(a, copied(s, l)))
        }),
        argument("copy-short", "a padded copy one element too short", &["DataCopyExtParams"], nth(1), |s, _, l, a| {
            Some(plus(a, -copied(s, l)))
        }),
        argument("copy-rows-more", "a padded copy of one row more", &["DataCopyExtParams"], nth(0), by(1)),
        argument("copy-rows-less", "a padded copy of one row less", &["DataCopyExtParams"], nth(0), by(-1)),
        argument(
            "gap-global",
            "a wrong stride in global memory",
            &["DataCopyExtParams"],
            |_| Some(2),
            |s, c, l, a| (inward(l, c) && many_rows(l, c)).then(|| plus(a, copied(s, l))),
        ),
        argument(
            "gap-global-out",
            "a wrong stride in global memory, outwards",
            &["DataCopyExtParams"],
            |_| Some(3),
            |s, c, l, a| (!inward(l, c) && many_rows(l, c)).then(|| plus(a, copied(s, l))),
        ),
        argument(
            "gap-local",
            "a wrong stride in the unified buffer",
            &["DataCopyExtParams"],
            |_| Some(3),
            |_, c, l, a| (inward(l, c) && many_rows(l, c)).then(|| plus(a, 1)),
        ),
        argument("pad-off", "padding asked for and switched off", &["DataCopyPadExtParams"], nth(0), |s, _, l, a| {
            padded(s, l).then(|| a.replace("true", "false"))
        }),
        argument("pad-value", "another padding value", &["DataCopyPadExtParams"], nth(3), |s, _, l, a| {
            padded(s, l).then(|| a.replace("(0)", "(1)"))
        }),
        argument("pad-count", "one padding element too few", &["DataCopyPadExtParams"], nth(2), |s, _, l, a| {
            padded(s, l).then(|| plus(a, -1))
        }),
        argument("apart-rows-less", "fractals of one row less", &["DataCopyParams"], nth(0), by(-1)),
        argument("apart-rows-more", "fractals of one row more", &["DataCopyParams"], nth(0), by(1)),
        argument("apart-from", "fractals out of rows a block further apart", &["DataCopyParams"], nth(2), several),
        argument("apart-to", "fractals put together to rows a block further apart", &["DataCopyParams"], nth(3), several),
        operator("global-in", "a copy in that starts one element further", |s, at| moved_global(s, at, 1)),
        operator("global-out", "a result that starts one element further", |s, at| moved_global(s, at, 0)),
        dropped("drop-copy", "a copy left out", |l| is_statement(l) && copy(l).is_some()),
        dropped("drop-load", "a load of an operand left out", |l| is_statement(l) && l.trim().starts_with("LoadData(")),
        operator("other-argument", "a copy in of another argument", |s, at| {
            let line = s.code(at);
            let Some(range) = copy(line).and_then(|c| c.args.get(1).cloned()) else { return vec![] };
            let source = &line[range.clone()];
            let Some(mine) = source.split_once("Global").map(|(n, _)| n).filter(|n| n.starts_with("in")) else { return vec![] };
            let element = s.element(&format!("{mine}Global"));
            let others = (0..4).map(|i| format!("in{i}")).filter(|o| o != mine && s.element(&format!("{o}Global")) == element);
            let new = |o: String| edit(at, replaced(line, &range, &source.replacen(mine, &o, 1)));
            if element.is_some() { others.take(1).map(new).collect() } else { vec![] }
        }),
        rewritten("arguments-turned", "the first argument for the last, and the other way", |l| {
            let last = (1..8).rev().find(|i| l.contains(&format!("GM_ADDR in{i},")));
            let turned =
                |i| l.replace("GM_ADDR in0,", "GM_ADDR ?,").replace(&format!("in{i},"), "in0,").replace('?', &format!("in{i}"));
            last.map(turned).into_iter().collect()
        }),
        operator("misaligned", "a tensor that starts at its second element", |s, at| {
            let line = s.code(at);
            let of = |c: &Call| {
                VECTOR.contains(&c.name.as_str())
                    || matches!(c.name.as_str(), "DataCopy" | "DataCopyPad" | "LoadData" | "Mmad" | "Fixpipe")
            };
            let found = calls(line).into_iter().find(of);
            let edits = found.into_iter().flat_map(|c| {
                c.args
                    .into_iter()
                    .take(2)
                    .filter(|a| s.element(&line[a.clone()]).is_some())
                    .map(|a| edit(at, replaced(line, &a, &format!("{}[1]", &line[a.clone()]))))
                    .collect::<Vec<_>>()
            });
            edits.collect()
        }),
        operator("row-pitch", "rows a block further apart than they lie", |s, at| {
            let line = s.code(at);
            let marks = line.match_indices(" * ").filter(|(i, _)| {
                let before = &line[..*i];
                before.rfind('[').is_some_and(|b| {
                    before[b + 1..].chars().all(|c| c.is_alphanumeric())
                        && s.element(before[..b].rsplit([' ', '(']).next().unwrap_or("")).is_some()
                })
            });
            let edits = marks.filter_map(|(i, _)| {
                let digits: String = line[i + 3..].chars().take_while(char::is_ascii_digit).collect();
                let n: i64 = digits.parse().ok()?;
                Some(edit(at, replaced(line, &(i + 3..i + 3 + digits.len()), &(n + 32).to_string())))
            });
            edits.collect()
        }),
        operator("plain-short", "a copy of whole blocks one block too short", |s, at| plain(s, at, -1)),
        operator("plain-long", "a copy of whole blocks one block too long", |s, at| plain(s, at, 1)),
        operator("plain-odd", "a copy whose length is no multiple of 32 bytes", |s, at| plain(s, at, 0)),
        argument(
            "tail-short",
            "a tail through the scalar unit one element too short",
            &["CopyIn", "CopyOut"],
            nth(2),
            |_, _, l, a| (!l.contains("inline")).then(|| plus(a, -1)),
        ),
        argument(
            "tail-long",
            "a tail through the scalar unit one element too long",
            &["CopyIn", "CopyOut"],
            nth(2),
            |_, _, l, a| (!l.contains("inline")).then(|| plus(a, 1)),
        ),
        swapped(
            "tail-loop",
            "the scalar unit's loop starts or ends one element off",
            &[("i = whole; i < end", "i = whole; i + 1 < end"), ("i = whole; i < count", "i = whole + 1; i < count")],
        ),
        swapped("tail-fill", "the rest of the last block not zero", &[(": T(0));", ": T(1));")]),
    ]
}

/// A copy that pads rows of a kernel that reduces: elsewhere nothing is made of padding.
fn padded(s: &Source, line: &str) -> bool {
    line.contains(">(true, ") && s.lines.iter().any(|l| l.contains("Reduce"))
}

fn many_rows(line: &str, c: &Call) -> bool {
    &line[c.args[0].clone()] != "1"
}

/// The copy of a line between global memory and the core's.
fn copy(line: &str) -> Option<Call> {
    let of = |c: &Call| matches!(c.name.as_str(), "DataCopy" | "DataCopyPad" | "CopyIn" | "CopyOut" | "Fixpipe");
    calls(line).into_iter().find(|c| of(c) && !line.contains("inline"))
}

/// Global memory one element further: `which` argument of a copy, 1 in, 0 out.
fn moved_global(s: &Source, at: usize, which: usize) -> Vec<Edits> {
    let line = s.code(at);
    let Some(c) = copy(line) else { return vec![] };
    let Some(range) = c.args.get(which).filter(|r| line[(*r).clone()].contains("Global")) else { return vec![] };
    let text = &line[range.clone()];
    let new = match text.strip_suffix(']') {
        Some(inner) => format!("{inner} + 1]"),
        None => format!("{text}[1]"),
    };
    vec![edit(at, replaced(line, range, &new))]
}

/// A copy of whole blocks by a block more or less; 0: by one element less.
fn plain(s: &Source, at: usize, blocks: i64) -> Vec<Edits> {
    let line = s.code(at);
    let Some(c) = calls(line).into_iter().find(|c| c.name == "DataCopy" && c.args.len() == 3 && !line.contains("Params(")) else {
        return vec![];
    };
    let Some(size) = c.args.iter().take(2).find_map(|a| s.element(&line[a.clone()])).map(size_of) else { return vec![] };
    let n = if blocks == 0 { -1 } else { blocks * 32 / size };
    vec![edit(at, replaced(line, &c.args[2], &plus(&line[c.args[2].clone()], n)))]
}

/// One more, where a copy has several rows.
fn several(_: &Source, c: &Call, line: &str, argument: &str) -> Option<String> {
    (&line[c.args[0].clone()] != "1").then(|| plus(argument, 1))
}

/// The grid, loops and tails.
pub fn loops() -> Vec<Operator> {
    let grid = |l: &str| l.trim_start().starts_with("for (int64_t point");
    // One point is nobody else's, however the cores deal them out.
    let shared = move |l: &str| grid(l) && !l.contains("point < 1;");
    vec![
        rewritten("grid-end", "the last grid point left out", move |l| {
            let Some((a, b)) = l.split_once("; point += ").filter(|_| grid(l)) else { return vec![] };
            vec![format!("{a} - 1; point += {b}")]
        }),
        rewritten("grid-step", "every core goes through all points behind its first", move |l| {
            if shared(l) { vec![l.replace("point += GetBlockNum()", "point += 1")] } else { vec![] }
        }),
        rewritten("grid-start", "all cores start at the same point", move |l| {
            if shared(l) { vec![l.replace("point = GetBlockIdx()", "point = 0")] } else { vec![] }
        }),
        rewritten("grid-shift", "the first grid point left out", move |l| {
            if grid(l) { vec![l.replace("point = GetBlockIdx()", "point = GetBlockIdx() + 1")] } else { vec![] }
        }),
        rewritten("grid-axes", "quotient and remainder of a grid point exchanged", |l| {
            let t = l.trim_start();
            if !t.starts_with("const int64_t i") || !t.contains("point") {
                return vec![];
            }
            if l.contains(" / ") {
                vec![l.replacen(" / ", " % ", 1)]
            } else if l.contains(" % ") {
                vec![l.replacen(" % ", " / ", 1)]
            } else {
                vec![]
            }
        }),
        rewritten("loop-short", "a loop that ends one round early", |l| round(l, |n| format!("{n} - 1"))),
        rewritten("loop-long", "a loop that ends one round late", |l| round(l, |n| format!("{n} + 1"))),
        argument("tail-missing", "no tail: the last tile as long as the others", &["Smaller"], nth(0), |_, c, l, _| {
            (!l.contains("inline")).then(|| l[c.args[1].clone()].to_string())
        }),
        argument("tail-less", "the last tile one element short", &["Smaller"], nth(0), |_, _, l, a| {
            (!l.contains("inline")).then(|| format!("{a} - 1"))
        }),
        argument("tail-more", "the last tile one element long", &["Smaller"], nth(0), |_, _, l, a| {
            (!l.contains("inline")).then(|| format!("{a} + 1"))
        }),
    ]
}

fn round(l: &str, f: impl Fn(&str) -> String) -> Vec<String> {
    let t = l.trim_start();
    if !t.starts_with("for (") || t.contains("point") {
        return vec![];
    }
    let Some((a, rest)) = l.split_once(" < ") else { return vec![] };
    let Some((n, b)) = rest.split_once("; ") else { return vec![] };
    if n.contains("count") && l.contains("uint32_t i = whole") || l.contains("i < end") {
        return vec![];
    }
    vec![format!("{a} < {}; {b}", f(n))]
}

/// All of them.
pub fn all() -> Vec<Operator> {
    [order(), places(), loops(), vector::vector(), cube::cube()].into_iter().flatten().collect()
}
