//! Tests of the ONNX importer.

mod build;
mod conformance;
mod extents;
mod malformed;
mod meaning;
mod models;
