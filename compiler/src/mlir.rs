//! The fused groups of a model as one text of MLIR modules, a group each, for tools that take them one by one: `// -----` lies
//! between modules, where `mlir-opt --split-input-file` and its like split. Before each module a comment says in JSON which group
//! it is and which of our kernels carry it out; a group that has no module is such a comment with the reason.
//!
//! A group whose one kernel works on whole rows has a second module: one tile of it, as large as the kernel's, by which another
//! compiler's account of the unified buffer can be held against ours. The matrix products of a group follow, each alone.

use beiming_ir::graph::Graph;
use beiming_mlir::emit::{self, Refusal};
use beiming_mlir::tile::Tile;
use serde_json::{Value, json};

use crate::explanation::Explanation;
use crate::explanation::npu::{Memory, NpuKernel};

/// First words of the comment before a module.
const GROUP: &str = "// beiming group ";

/// Kernels whose tile is rows of the group's result, or a piece of it as one line.
const BY_ROWS: [&str; 5] = ["map_", "softmax_", "log_softmax_", "layer_norm_", "rms_norm_"];

/// The text of an optimised graph and what became of it. Tiles are `times` as large as the kernels' own.
pub fn text(model: &str, graph: &Graph, explanation: &Explanation, times: usize) -> String {
    let kernels = |index: usize| -> Vec<&NpuKernel> {
        let names = explanation.groups.get(index).map_or(&[][..], |g| &g.kernels);
        explanation.npu.iter().filter(|k| names.contains(&k.name)).collect()
    };
    let tile = |index: usize| match kernels(index)[..] {
        [k] => tile_of(&k.name).map(|t| larger(t, times)),
        _ => None,
    };
    let mut parts = vec![format!("// beiming mlir {}\n", json!({ "model": model, "target": explanation.target }))];
    for group in emit::groups(graph, &tile) {
        let own = kernels(group.index);
        if own.is_empty() {
            continue;
        }
        let say = |form: &str| {
            json!({
                "group": group.index, "form": form, "function": group.name, "nodes": group.nodes, "ops": group.ops,
                "kernels": own.iter().map(|k| json!({ "name": k.name, "memories": memories(k) })).collect::<Vec<_>>(),
            })
        };
        parts.push(part(say("group"), &group.text));
        if let Some(text) = &group.tile {
            let mut said = say("tile");
            said["times"] = json!(times);
            parts.push(part(said, text));
        }
        parts.extend(group.products.iter().map(|text| part(say("product"), text)));
    }
    parts.join("\n// -----\n")
}

fn part(mut said: Value, text: &Result<String, Refusal>) -> String {
    let module = match text {
        Ok(module) => module.as_str(),
        Err(why) => {
            said["refused"] = json!(why.to_string());
            said["invalid"] = json!(matches!(why, Refusal::Invalid(_)));
            ""
        }
    };
    // JSON escapes line breaks: nothing of the model's names leaves the comment.
    format!("{GROUP}{said}\n{module}")
}

/// Bytes in use with all copies of a buffer, with one copy of each, and the capacity, by memory.
fn memories(k: &NpuKernel) -> Value {
    let once = |m: &Memory| m.buffers.iter().map(|b| b.2).sum::<u64>();
    let one = |m: &Memory| (m.name.clone(), json!({ "bytes": m.bytes, "once": once(m), "capacity": m.capacity }));
    Value::Object(k.memories.iter().map(one).collect())
}

/// The tile that a kernel's name tells: `t11x256` or `t2816`.
fn tile_of(name: &str) -> Option<Tile> {
    if !BY_ROWS.iter().any(|p| name.starts_with(p)) {
        return None;
    }
    let digits = |s: &&str| s.starts_with(|c: char| c.is_ascii_digit());
    let word = name.split('_').filter_map(|w| w.strip_prefix('t')).find(digits)?;
    let extents: Vec<usize> = word.split('x').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    match extents[..] {
        [width] => Some(Tile { rows: None, width }),
        [rows, width] => Some(Tile { rows: Some(rows), width }),
        _ => None,
    }
}

fn larger(t: Tile, times: usize) -> Tile {
    match t.rows {
        Some(rows) => Tile { rows: Some(rows * times), ..t },
        None => Tile { width: t.width * times, ..t },
    }
}
