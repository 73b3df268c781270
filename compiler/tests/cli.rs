//! The command line as users meet it: processes, files, exit codes.

#[path = "cli/ascend.rs"]
mod ascend;
#[allow(dead_code)]
#[path = "onnx/build.rs"]
mod build;
#[path = "cli/debug.rs"]
mod debug;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/page.rs"]
mod page;
#[path = "cli/stages.rs"]
mod stages;
#[path = "cli/work.rs"]
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use beiming::import::onnx::proto;
use prost::Message;

/// A graph in the IR's text, small enough to follow by hand: `y = max(x * w + b, 0)`.
const MLP: &str = r#"
graph "mlp" {
  dim N = 1..64
  %0 = input "x" : f32[N, 3]
  %1 = Constant(0) : f32[3, 2]
  %2 = Constant(1) : f32[2]
  %3 = Constant(2) : f32[]
  %4 = MatMul(out:"f32") %0, %1 : f32[N, 2] @ "fc" "MatMul" "graph/node 0"
  %5 = Binary(Add) %4, %2 : f32[N, 2] @ "bias" "Add" "graph/node 1"
  %6 = Binary(Max) %5, %3 : f32[N, 2] @ "relu" "Relu" "graph/node 2"
  output "y" %6
  const 0 : f32[3, 2] = [1.0, 2.0, 3.0, 4.0, 5.0, -6.0]
  const 1 : f32[2] = [0.5, 0.25]
  const 2 : f32[] = [0.0]
}
"#;

/// A folder with files, and commands run in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    /// With the graph above in `mlp.txt`.
    fn with_mlp() -> Place {
        let p = Place::new();
        p.write("mlp.txt", MLP.as_bytes());
        p
    }

    /// With the graph above compiled to `mlp.bmg`.
    fn compiled() -> Place {
        let p = Place::with_mlp();
        p.ok(&["compile", "mlp.txt", "-o", "mlp.bmg"]);
        p
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// `beiming`, in this folder, in an environment that says nothing about colours or Python.
    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_beiming"));
        c.args(args).current_dir(self.0.path());
        ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "BEIMING_PYTHON"].iter().for_each(|v| {
            c.env_remove(v);
        });
        c
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("started")
    }

    /// Stdout of a command that must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}\n{}", out.status, text(&out.stderr));
        text(&out.stdout)
    }

    /// The JSON document that a command prints.
    fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.ok(args);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An ONNX model of one node, `y = OP(x)` or `y = OP(x, second)`, over `f32[2, 3]`.
fn onnx(op: &str, second: Option<&str>) -> Vec<u8> {
    let dim = |n| proto::tensor_shape_proto::Dimension {
        value: Some(proto::tensor_shape_proto::dimension::Value::DimValue(n)),
        ..Default::default()
    };
    let value = |name: &str| proto::ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(proto::TypeProto {
            value: Some(proto::type_proto::Value::TensorType(proto::type_proto::Tensor {
                elem_type: Some(1),
                shape: Some(proto::TensorShapeProto { dim: vec![dim(2), dim(3)] }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let node = proto::NodeProto {
        name: Some("the_node".into()),
        op_type: Some(op.into()),
        input: ["x"].into_iter().chain(second).map(String::from).collect(),
        output: vec!["y".into()],
        ..Default::default()
    };
    let graph = proto::GraphProto {
        name: Some("g".into()),
        node: vec![node],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset = proto::OperatorSetIdProto { domain: Some(String::new()), version: Some(17) };
    proto::ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() }.encode_to_vec()
}

/// Whether two files have the same bytes.
fn same(a: &Path, b: &Path) -> bool {
    std::fs::read(a).expect("first") == std::fs::read(b).expect("second")
}
