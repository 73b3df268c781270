//! Tests of the ONNX importer.

mod conformance;
mod models;
