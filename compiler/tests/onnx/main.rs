//! Tests of the ONNX importer.

mod build;
mod conformance;
mod malformed;
mod meaning;
mod models;
