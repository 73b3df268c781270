//! The ONNX schema, as compiled from `proto/onnx.proto`, and short ways to read it.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
