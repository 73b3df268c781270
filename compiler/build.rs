//! Compiles the vendored ONNX schema to Rust. protox is a protobuf compiler in Rust, so no `protoc` has to be installed.

#[cfg(feature = "compile")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/onnx.proto");
    let schema = protox::compile(["onnx.proto"], ["proto"])?;
    prost_build::Config::new()
        // Payloads of tensors stay windows into the mapped file.
        .bytes([
            ".onnx.TensorProto.raw_data",
            ".onnx.TensorProto.string_data",
            ".onnx.AttributeProto.s",
            ".onnx.AttributeProto.strings",
        ])
        .disable_comments(["."])
        .out_dir(std::path::PathBuf::from(std::env::var("OUT_DIR")?))
        .compile_fds(schema)?;
    Ok(())
}

/// The runtime's command line reads no models.
#[cfg(not(feature = "compile"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
