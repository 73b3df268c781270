//! The C header is what the source says. `BEIMING_BLESS=1` writes it anew.

use std::path::Path;

#[test]
fn header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_root_or_default(root);
    let sources = ["src/capi.rs", "src/format/dtype.rs"];
    let mut builder = cbindgen::Builder::new().with_config(config);
    for s in sources {
        builder = builder.with_src(root.join(s));
    }
    let mut text = vec![];
    builder.generate().expect("the C interface can be read").write(&mut text);
    // Rust's heading for what an unsafe function requires, in words for C.
    let text =
        String::from_utf8(text).expect("the header is UTF-8").replace("# Safety\n", "Required of the caller:\n").into_bytes();
    let path = root.join("include/beiming.h");
    if std::env::var_os("BEIMING_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the header can be written");
    }
    let current = std::fs::read(&path).unwrap_or_default();
    assert!(current == text, "include/beiming.h is not current; run the test with BEIMING_BLESS=1");
}
