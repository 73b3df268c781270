//! Real models, imported as they are and under the user's options.
//!
//! The models are not part of the repository. `BEIMING_MODELS` names a folder of `.onnx` files, by the names in the table;
//! `make test` names the one that setup fills. Models that are not there are named as not tried.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use beiming::import::{ImportError, ImportOptions, read};
use beiming_ir::graph::Graph;

/// A model, shapes for it, dims (`N=1..4`) and values (`sr=16000`) for it, and the types of its outputs; `Err` holds a part of the message.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], Result<&'static str, &'static str>);

const ROWS: &[Row] = &[
    ("ppocr_cls", &[], &[], Ok("f32[x_d0, 2]")),
    ("ppocr_cls", &["x:1x3x48x192"], &[], Ok("f32[1, 2]")),
    ("ppocr_det", &[], &[], Err("H=32*h")),
    ("ppocr_det", &["x:1x3x320x640"], &[], Ok("f32[1, 1, 320, 640]")),
    ("ppocr_det", &["x:Nx3x32*hx32*w"], &["h=1..64", "w=1..64"], Ok("f32[N, 1, 32*h, 32*w]")),
    ("ppocr_rec", &["x:1x3x48x320"], &[], Ok("f32[1, 40, 6625]")),
    ("ppocr_rec", &["x:Nx3x48x8*w"], &["w=1..400"], Ok("f32[N, w, 6625]")),
    ("silero_vad", &["input:1xT"], &["T=1..576"], Ok("f32[1, 1], f32[2, 1, 128]")),
    ("silero_vad", &["input:Nx576", "state:2xNx128"], &["sr=16000"], Ok("f32[N, 1], f32[2, N, 128]")),
    ("silero_vad_16k_op15", &["input:1x576"], &[], Ok("f32[1, 1], f32[2, 1, 128]")),
    ("silero_vad_half", &["input:1x576"], &[], Ok("f32[1, 1], f32[2, 1, 128]")),
    ("silero_vad_op18_ifless", &["input:1x576"], &[], Ok("f32[1, 1], f32[2, 1, 128]")),
    ("silero_vad_openvino_16k", &[], &[], Ok("f32[1, 1], f32[2, 1, 128]")),
    ("silero_vad_16k_sequence", &[], &[], Ok("f32[sequence_length], f32[1, 1, 128], f32[1, 1, 128]")),
    ("magika", &[], &["unk__214=1..64"], Ok("f32[unk__214, 214]")),
    ("magika", &["bytes:1x2048"], &[], Ok("f32[1, 214]")),
    ("nudenet", &[], &[], Err("H=32*h")),
    ("nudenet", &["images:1x3x320x320"], &[], Ok("f32[1, 22, 2100]")),
    ("nudenet", &["images:Nx3x32*hx32*w"], &["N=1..4", "h=1..20", "w=1..20"], Ok("f32[N, 22, 21*h*w]")),
    ("minilm.dynamo", &[], &[], Ok("f32[1, 128, 384]")),
    ("minilm.script", &[], &[], Ok("f32[1, 128, 384]")),
    ("resnet50.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("resnet50.script", &[], &[], Ok("f32[1, 1000]")),
    ("mobilenet_v2.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("mobilenet_v2.script", &[], &[], Ok("f32[1, 1000]")),
    ("mobilenet_v3.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("mobilenet_v3.script", &[], &[], Ok("f32[1, 1000]")),
    ("efficientnet_b0.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("efficientnet_b0.script", &[], &[], Ok("f32[1, 1000]")),
    ("vit_b_16.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("vit_b_16.script", &[], &[], Ok("f32[1, 1000]")),
    ("convnext_tiny.dynamo", &[], &[], Ok("f32[1, 1000]")),
    ("convnext_tiny.script", &[], &[], Ok("f32[1, 1000]")),
    ("bert_base.dynamo", &[], &[], Ok("f32[1, 128, 768]")),
    ("bert_base.script", &[], &[], Ok("f32[1, 128, 768]")),
];

fn import(path: &Path, shapes: &[&str], dims: &[&str]) -> Result<Graph, ImportError> {
    let mut options = ImportOptions::default();
    shapes.iter().for_each(|s| options.add_shape(s).expect("a shape"));
    for d in dims {
        let add = if d.starts_with("sr=") { ImportOptions::add_value } else { ImportOptions::add_dim };
        add(&mut options, d).expect("a dimension or a value");
    }
    read(path, &options)
}

#[test]
fn real_models_import() {
    let root = std::env::var_os("BEIMING_MODELS").map(PathBuf::from);
    let filter = std::env::var("BEIMING_ONNX_FILTER").unwrap_or_default();
    let mut wrong = String::new();
    let mut absent: Vec<&str> = vec![];
    for (name, shapes, dims, want) in ROWS.iter().filter(|r| r.0.contains(&filter)) {
        let start = Instant::now();
        let Some(path) = root.as_ref().map(|r| r.join(format!("{name}.onnx"))).filter(|p| p.is_file()) else {
            absent.push(name);
            continue;
        };
        let got = import(&path, shapes, dims).map_err(|e| e.to_string());
        let types = |g: &Graph| g.outputs.iter().map(|v| g.ty(*v).to_string()).collect::<Vec<_>>().join(", ");
        let fits = match (&got, want) {
            (Ok(g), Ok(w)) => types(g) == *w,
            (Err(e), Err(w)) => e.contains(w),
            _ => false,
        };
        let got = got.map(|g| format!("{} ({} nodes in {:?})", types(&g), g.nodes().len(), start.elapsed()));
        println!("{name} {shapes:?} {dims:?}: {got:?}");
        if !fits {
            wrong.push_str(&format!("{name} {shapes:?} {dims:?}: {got:?}, expected {want:?}\n"));
        }
    }
    if !absent.is_empty() {
        absent.dedup();
        let folder = root.map_or("BEIMING_MODELS is not set".into(), |r| format!("not in {}", r.display()));
        // Not by a macro: of passing tests the harness keeps what those print.
        let _ = writeln!(std::io::stderr(), "\nNOT TRIED: import of {} ({folder})", absent.join(", "));
    }
    assert!(wrong.is_empty(), "{wrong}");
}
