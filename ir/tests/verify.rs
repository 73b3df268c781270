//! The verifier accepts good IR and refuses each kind of bad IR: a good text is changed in one place, and the finding must
//! name the place and say what is wrong.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Op};
use beiming_ir::text::{Constants, parse_graph, parse_kernel, parse_program, print_graph, print_program};
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_ir::verify;

/// `text` with the only occurrence of `from` replaced.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` occurs once");
    text.replace(from, to)
}

fn graph_findings(text: &str) -> String {
    let g = parse_graph(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    verify::graph(g).map_or_else(|e| e.to_string(), |_| String::new())
}

fn kernel_findings(text: &str) -> String {
    let k = parse_kernel(text).unwrap_or_else(|e| panic!("{e}"));
    verify::kernel(&k).iter().map(|f| format!("{f}\n")).collect()
}

fn program_findings(text: &str) -> String {
    let p = parse_program(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    verify::program(p).map_or_else(|e| e.to_string(), |_| String::new())
}

fn table(text: &str, findings: fn(&str) -> String, rows: &[(&str, &str, &str)]) {
    assert_eq!(findings(text), "");
    for (from, to, want) in rows {
        let got = findings(&changed(text, from, to));
        assert!(got.contains(want), "{from} -> {to}:\n  expected {want}\n  got {got}");
    }
}

const GRAPH: &str = "\
graph \"mlp\" {
  dim N = 1..64
  %0 = input \"x\" : f32[N, 3]
  %1 = Constant(0) : f32[3]
  %2 \"sum\" = Binary(Add) %0, %1 : f32[N, 3] @ \"add_1\" \"Add\" \"graph/node 0\"
  %3 = Constant(1) : bool[]
  %4 = If(then_region:0,else_region:1) %3, %2 : f32[N, 3] @ \"if_1\" \"If\" \"graph/node 1\"
  output \"y\" %4
  const 0 : f32[3] = [1.0, 2.0, 3.0]
  const 1 : bool[] = [true]
  region 0 graph \"then\" {
    %0 = input \"a\" : f32[N, 3]
    output \"r\" %0
  }
  region 1 graph \"else\" {
    %0 = input \"a\" : f32[N, 3]
    %1 = Unary(Neg) %0 : f32[N, 3]
    output \"r\" %1
  }
}
";

#[test]
fn graphs() {
    let g = parse_graph(GRAPH, &[]).unwrap();
    assert_eq!(print_graph(&g, Constants::Inline), GRAPH);
    table(
        GRAPH,
        graph_findings,
        &[
            ("dim N = 1..64", "dim N = 9..8", "graph `mlp`: the range 9..8 of symbol `N` is not one of extents"),
            (
                " : f32[N, 3] @ \"add_1\"",
                " : f32[N, 4] @ \"add_1\"",
                "node 1 `%2 = add` (add_1): result %2 is typed f32[N, 4]; its op gives f32[N, 3]",
            ),
            ("%0, %1 :", "%0 :", "node 1 `%2 = add` (add_1): takes 2 arguments"),
            ("Constant(1) : bool[]", "Constant(2) : bool[]", "node 2 `%3 = constant`"),
            ("else_region:1", "else_region:7", "node 3 `%4 = if` (if_1): region 7 does not exist"),
            ("%3, %2 :", "%3, %1 :", "input 0 of the then region is f32[N, 3], but gets f32[3]"),
            (
                "%1 = Unary(Neg) %0 : f32[N, 3]",
                "%1 = Unary(Neg) %0 : f16[N, 3]",
                "graph `mlp`, region 1 `else`, node 0 `%1 = neg`: result %1 is typed f16[N, 3]",
            ),
            (
                "%0 = input \"x\" : f32[N, 3]",
                "%0 = input \"x\" : f32[N - 70, 3]",
                "value %0: the result f32[N - 70, 3] has the negative extent `N - 70`",
            ),
            ("%0 = input \"x\" : f32[N, 3]", "%0 = input \"x\" : f32[1000000000, 1000000000]", "more than 2^48 elements"),
        ],
    );
}

const READS: &str = "\
graph \"count\" {
  dim s = 0..8
  %0 = input \"n\" : i64[1]
  %1 = ReadDims(dims:[\"s\"],rule:Bind) %0 : i64[1]
  %2 = Iota(dtype:\"i64\",shape:[\"s\"],axis:0) : i64[s]
  %3 = ReadDims(dims:[\"8\"],rule:AtMost) %1 : i64[1]
  output \"y\" %2
}
";

#[test]
fn extents_read_off_values() {
    let g = parse_graph(READS, &[]).unwrap();
    assert_eq!(print_graph(&g, Constants::Inline), READS);
    let first = "  %1 = ReadDims(dims:[\"s\"],rule:Bind) %0 : i64[1]\n";
    let early = format!("  %1 = Iota(dtype:\"i64\",shape:[\"s\"],axis:0) : i64[s]\n{}", first.replace("%1", "%2"));
    let iota = "  %2 = Iota(dtype:\"i64\",shape:[\"s\"],axis:0) : i64[s]\n";
    let swapped = changed(&changed(READS, first, &early), iota, "").replace("AtMost) %1", "AtMost) %2");
    let got = graph_findings(&swapped);
    assert!(got.contains("node 0 `iota`: uses the symbol `s`, which is read off a value only later"), "{got}");
    table(
        READS,
        graph_findings,
        &[
            ("dims:[\"8\"],rule:AtMost", "dims:[\"s\"],rule:Bind", "the symbol `s` is read off two values"),
            ("dims:[\"s\"],rule:Bind", "dims:[\"2*s\"],rule:Bind", "`2*s` is no symbol, and gets no value"),
            ("\"n\" : i64[1]", "\"n\" : i64[s]", "the symbol `s` is read off a value, and is an extent of an input"),
            ("\"n\" : i64[1]", "\"n\" : i32[1]", "takes i64[1], one element a dimension, got i32[1]"),
            ("dim s = 0..8", "dim s = -8..8", "the range -8..8 of symbol `s` is not one of extents"),
        ],
    );
}

#[test]
fn graphs_that_no_text_can_say() {
    let f32s = TensorType::known(DType::F32, &[2]);
    let mut g = Graph::new("g", Symbols::default());
    let x = g.add_input("x", f32s.clone());
    g.push_typed(Op::Binary(BinaryOp::Add), vec![x, ValueId(5)], vec![f32s.clone()], Loc::default());
    g.push_typed(Op::Binary(BinaryOp::Add), vec![x, x], vec![], Loc::default());
    g.outputs = vec![ValueId(9)];
    g.inputs.push(ValueId(1));
    let e = verify::graph(g).unwrap_err().to_string();
    for want in [
        "node 0 `%1 = add`: argument %5 is not defined before it",
        "node 1 `add`: has no results",
        "1 outputs have 0 names",
        "output 0: %9 does not exist; the graph has 2 values",
        "input 1: %1 is not defined by it",
    ] {
        assert!(e.contains(want), "{want}\n{e}");
    }
}

const KERNEL: &str = "\
kernel tile(M) {
  param %a : f32[M, 5] read
  param %b : f32[5, 6] read
  param %y : f32[M, 6] write
  local %p : f32[5, 8] panel
  local %acc : f32[2, 8] register
  grid (i0 < floordiv(M + 1, 2))
  copy (i1 < 5, i2 < 8) %p[i1, i2] = %b[i1, i2 where i2 < 6 else 0.0:f32]
  unroll for i3 < 2 {
    vector for i4 < 8 {
      %acc[i3, i4] = 1.0:f32
    }
  }
  mma (i5, i6, i7 < 5) %acc += %a[i0 * 2 + i5, i7 where i0 * 2 + i5 < dim(M)] * %p[i7, i6]
  wait %p \"the panel is used\"
  unroll for i8 < 2 {
    vector for i9 < 6 {
      %y[i0 * 2 + i8, i9 where i0 * 2 + i8 < dim(M)] = max(%acc[i8, i9], 0.0:f32)
    }
  }
}
";

/// A product on the cube core, doubled by two vector cores.
const MIXED: &str = "kernel both() {
  param %a : f16[16, 16] read
  param %y : f32[256] write
  param %w : u8[2048] write
  local %c : f32[256] memory
  local %x : f32[128] ub
  local %l : f16[16, 16] l0a
  local %acc : f32[16, 16] l0c
  npu mix (2, 1, 1, 1) workspace 2
  mma (i0, i1, i2 < 16) %acc += %l[i0, i2] * %l[i2, i1]
  await mte2 fix flag 1 %c \"\"
  for i3 < 16 {
    vector for i4 < 16 {
      %c[i3 * 16 + i4] = %acc[i3, i4]
    }
  }
  signal fix mte2 flag 0 %c \"\"
  cores for i5 < 2 {
    await fix mte2 flag 0 %c \"\"
    copy (i6 < 128) %x[i6] = %c[i5 * 128 + i6]
    signal mte2 fix flag 1 %c \"\"
    copy (i7 < 128) %y[i5 * 128 + i7] = %x[i7]
  }
}
";

#[test]
fn mixed_kernels() {
    let unpaired = "must be signalled by one kind of core and awaited by the other, once each, in the same loops";
    table(
        MIXED,
        kernel_findings,
        &[
            ("npu mix (2, 1, 1, 1) workspace 2", "npu mix (2, 1, 1, 1)", "cannot lie in Memory without a workspace"),
            ("npu mix", "npu cube", "a loop over vector cores stands in a mixed kernel"),
            ("workspace 2", "workspace 0", "buffer `%a`: the workspace holds at least 2048 bytes"),
            ("workspace 2", "workspace 7", "the workspace is parameter 7, of which there are 3"),
            ("%w : u8[2048]", "%w : u8[2047]", "buffer `%w`: the workspace holds at least 2048 bytes"),
            ("await fix mte2 flag 0 %c", "signal fix mte2 flag 0 %c", &format!("flag 0 {unpaired}")),
            ("await fix mte2 flag 0 %c \"\"", "", &format!("flag 0 {unpaired}")),
            ("await fix mte2 flag 0 %c", "await fix mte2 flag 3 %c", &format!("flag 3 {unpaired}")),
            ("signal mte2 fix flag 1 %c \"\"", "for i8 < 2 { signal mte2 fix flag 1 %c \"\" }", &format!("flag 1 {unpaired}")),
            ("signal fix mte2 flag 0 %c", "signal fix mte2 flag 0 %x", "flag 0 hands over one local in Memory"),
            ("await mte2 fix flag 1 %c", "await mte2 fix flag 11 %c", "flag 11: mixed kernels have flags 0 to 10"),
            ("cores for i5 < 2", "cores for i5 < 9", "a constant extent of 1 to 8"),
            ("%x[i7]\n", "%acc[i7, 0]\n", "a vector core touches `%acc`, which only the cube core can"),
            ("= %acc[i3, i4]", "= %x[i4]", "the cube core touches `%x`, which only the vector cores can"),
        ],
    );
}

#[test]
fn kernels() {
    table(
        KERNEL,
        kernel_findings,
        &[
            ("kernel tile(M)", "kernel \"a b\"(M)", "kernel `a b`: its name is not an identifier"),
            ("kernel tile(M)", "kernel tile(M, M)", "symbol `M` is passed twice"),
            ("kernel tile(M)", "kernel tile(N)", "buffer `%a`: symbol `M` of extent `M` is not one of the kernel's"),
            ("%p : f32[5, 8] panel", "%p : f32[M, 8] panel", "buffer `%p`: extent `M` of a local buffer must be known"),
            ("%p : f32[5, 8] panel", "%p : f32[5, 8] memory", "buffer `%p`: a local buffer cannot lie in Memory"),
            ("%p : f32[5, 8] panel", "%p : f32[5, 8] panel read", "buffer `%p`: a local buffer is ReadWrite"),
            ("%b : f32[5, 6] read", "%b : f32[5, 6] l1 read", "buffer `%b`: a parameter lies in Memory, not L1"),
            ("%acc : f32[2, 8] register", "%acc : f32[2, 8193] register", "65544 bytes in registers"),
            ("%y : f32[M, 6] write", "%y : f32[M, 6] read", "writes `%y`, which the kernel only reads"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] = 1.0:f16", "statement 1.0.0: the value is f16, not f32"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] = 1.1:f16", "is no value of f16"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] = exp(1)", "`exp` is not defined on i64"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] = 1.0:f32 + 1.0:f64", "`add` of f32 and f64; both must have one type"),
            (
                "%acc[i3, i4] = 1.0:f32",
                "%acc[i3, i4] = select(1, 1.0:f32, 1.0:f32)",
                "the condition of a select is i64, not bool",
            ),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] = bitcast(f32, 1)", "bitcast of i64 to f32, which have different sizes"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4] all= 1.0:f32", "`all` does not reduce elements of f32"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3] = 1.0:f32", "1 indices into `%acc`, which has 2 axes"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, 0.0:f32] = 1.0:f32", "an index is f32, not i64"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i4 where i4] = 1.0:f32", "a guard is i64, not bool"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i0, i4] = 1.0:f32", "an index of register buffer `%acc` is not made of constants"),
            ("%acc[i3, i4] = 1.0:f32", "%acc[i3, i7] = 1.0:f32", "loop variable i7 is used where it is not bound"),
            ("%acc[i3, i4] = 1.0:f32", "wait %p \"\"", "a vector loop holds only assignments and ifs"),
            (
                "%acc[i3, i4] = 1.0:f32",
                "if i4 < 2 { %acc[i3, i4] = 1.0:f32 }",
                "an if in a vector loop may not depend on its variable i4",
            ),
            (
                "%acc[i3, i4] = 1.0:f32",
                "%acc[i3, i4] = %b[i3, i4 where i4 < 6]",
                "a guarded load needs a value for where the guard is false",
            ),
            ("unroll for i3 < 2", "unroll for i3 < dim(M)", "the extent of an unrolled loop must be a constant"),
            ("unroll for i3 < 2", "unroll for i3 < 257", "257 iterations to unroll; 256 are allowed"),
            ("unroll for i3 < 2", "unroll for i0 < 2", "loop variable i0 is bound a second time"),
            ("mma (i5, i6, i7 < 5)", "mma (i6, i5, i7 < 5)", "the left element depends on the column variable"),
            ("%p[i7, i6]", "%p[i7, i5]", "the right element depends on the row variable"),
            (
                "i7 where i0 * 2 + i5 < dim(M)",
                "i7 where i7 < dim(M)",
                "the guard of the left element depends on the depth variable",
            ),
            ("%acc += ", "%p += ", "the accumulator `%p` must have two axes and lie in Register or L0C"),
            ("param %b : f32[5, 6] read", "param %b : f64[5, 6] read", "a copy from f64 to f32; it moves elements as they are"),
            (
                "param %a : f32[M, 5] read",
                "param %a : f64[M, 5] read",
                "the left element is f64, which does not widen to the accumulator's f32",
            ),
            ("i2 where i2 < 6 else 0.0:f32]", "i2 where i2 < 6]", "a copy with a guarded source needs a fill value"),
        ],
    );
}

/// Accesses that leave their buffer for all values of the symbols, and some that may not.
#[test]
fn bounds() {
    let rows = [
        ("%y[i0, 6] = 1.0:f32", "index 1 of `%y` goes from 6 to 6; the extent is 6"),
        ("%y[i0 + 1, 0] = 1.0:f32", "index 0 of `%y` goes from 1 to N; the extent is N"),
        ("%y[i0 - 1, 0] = 1.0:f32", "index 0 of `%y` goes from -1 to N - 2; the extent is N"),
        ("for i1 < 7 { %y[i0, i1] = 1.0:f32 }", "statement 0.0: index 1 of `%y` goes from 0 to 6; the extent is 6"),
        ("for i1 < 2 { for i2 < 4 { %y[i0, i1 * 3 + i2] = 1.0:f32 } }", "index 1 of `%y` goes from 0 to 6; the extent is 6"),
        ("for i1 < 6 { %y[i0, i1] = %x[dim(N) - i0, i1] }", "index 0 of `%x` goes from 1 to N; the extent is N"),
        ("%y[i0, 20 / 3] = 1.0:f32", "index 1 of `%y` goes from 6 to 6"),
        ("copy (i1 < 8) %y[i0, i1 where i1 < 6] = %x[i0, i1]", ""),
        ("copy (i1 < 8) %y[i0, i1] = %x[i0, i1 where i1 < 6 else 0.0:f32]", "index 1 of `%y` goes from 0 to 7; the extent is 6"),
        ("for i1 < 7 { %y[i0, i1 where i1 < 6] = 1.0:f32 }", ""),
        ("for i1 < 7 { if i1 < 6 { %y[i0, i1] = 1.0:f32 } }", ""),
        ("for i1 < min(7, dim(N)) { %y[i0, i1] = 1.0:f32 }", ""),
        ("for i1 < 4 { %y[i0, i1 + i1 - i1] = 1.0:f32 }", ""),
        ("for i1 < 0 { %y[i0, 9] = 1.0:f32 }", ""),
    ];
    for (body, want) in rows {
        let got = kernel_findings(&format!(
            "kernel k(N) {{ param %x : f32[N, 6] read param %y : f32[N, 6] write grid (i0 < N) {body} }}"
        ));
        assert!(if want.is_empty() { got.is_empty() } else { got.contains(want) }, "{body}\n{got}");
    }
}

const PROGRAM: &str = "\
program
target (name:\"t\",family:Cpu,triple:\"x\",cpu:\"x\",features:\"\",vector_bytes:32,vector_registers:16,fma_per_cycle:2.0,fma_latency:4,transcendental_cycles:12.0,clock_ghz:2.6,cores:2,memories:[(name:\"L1\",bytes:32768,bytes_per_cycle:64.0)],launch_ns:500.0,broadcast_from_memory:true,prefetch_rows:16,unroll:4,opt_level:2)
weight 0 : f32[3] = [1.0, 2.0, 3.0]
weight 1 : bool[] = [true]
kernel add(N) {
  param %x : f32[N, 3] read
  param %w : f32[3] read
  param %y : f32[N, 3] write
  grid (i0 < N)
  vector for i1 < 3 {
    %y[i0, i1] = %x[i0, i1] + %w[i1]
  }
}
kernel turn(N) {
  param %x : f32[N, 3] read
  param %y : f32[N, 3] write
  grid (i0 < N)
  vector for i1 < 3 {
    %y[i0, i1] = %x[i0, 2 - i1]
  }
}
plan {
  dim K = 0..192
  dim N = 1..64
  dim T = 0..8
  input \"x\" s0
  input \"trip\" s1
  output \"y\" s2
  output \"scan\" s3
  slot s0 : f32[N, 3] input 0
  slot s1 : i64[] input 1
  slot s2 : f32[N, 3] output 0
  slot s3 : f32[T, N, 3] output 1
  slot s4 : f32[3] weight 0
  slot s5 : f32[N, 3] arena 0
  slot s6 : f32[N, 3] arena 768
  slot s7 : bool[] weight 1
  slot s8 : i64[] arena 1600
  slot s9 : f32[3*N] arena 0
  slot s10 : i64[1, K] arena 1664
  slot s11 : i64[] arena 3264
  arena 3328 without_reuse 3328
  launch 0 add(s0, s4, s5) dims (N) grid (N) flops (3*N) bytes (24*N) @ \"first\"
  launch 0 add(s5, s4, s6) dims (N) grid (N) flops (3*N) bytes (24*N) @ \"second\"
  host NonZero(count:\"K\") (s9) -> (s10, s11) @ \"nz\"
  bind K = s11
  copy s6 -> s2
  loop s1 while s7 iteration s8 trips T {
    launch 0 add(s2, s4, s6) dims (N) grid (N) flops (3*N) bytes (24*N) @ \"body\"
    store s6 -> s3 at s8
    copy s6 -> s2
  }
}
";

#[test]
fn programs() {
    let text = PROGRAM;
    let p = parse_program(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(print_program(&p, Constants::Inline), text);
    let second = "launch 0 add(s5, s4, s6) dims (N) grid (N) flops (3*N) bytes (24*N) @ \"second\"";
    table(
        text,
        program_findings,
        &[
            ("kernel turn(N)", "kernel add(N)", "kernel `add`: another kernel has the same name"),
            (
                "f32[3] = [1.0, 2.0, 3.0]",
                "f32[3] = [1.0, 2.0, 3.0] panels (batch:1,rows:2,cols:2,nr:2,offset:0,batch_stride:0,row_stride:2,col_stride:1)",
                "weight 0: its panels read past the 3 elements of the source",
            ),
            ("dim N = 1..64", "dim N = -1..64", "the range -1..64 of symbol `N`"),
            ("dim N = 1..64", "dim N = 1..", "slot s5: the size of f32[N, 3] has no upper bound"),
            ("dim N = 1..64", "dim N = 1..640", "slot s5: 7680 bytes at arena offset 0 end past the arena of 3328 bytes"),
            ("input \"x\" s0", "input \"x\" s1", "input 0 `x`: lies in slot s1, whose place is Input(1), not Input(0)"),
            ("output \"scan\" s3", "output \"scan\" s30", "output 1 `scan`: slot s30 does not exist"),
            ("s4 : f32[3] weight 0", "s4 : f32[4] weight 0", "slot s4: f32[4] does not fit weight 0: 3 elements of f32"),
            ("s4 : f32[3] weight 0", "s4 : f32[3] weight 5", "slot s4: weight 5 does not exist"),
            ("f32[N, 3] arena 768", "f32[N, 3] arena 770", "slot s6: arena offset 770 is not a multiple of 64"),
            (
                "f32[N, 3] arena 768",
                "f32[N, 3] arena 704",
                "step 1 (second): writes slot s6 over slot s5, but kernel `add` may read `%x` after it wrote `%y` there",
            ),
            (second, &second.replace("launch 0", "launch 9"), "step 1 (second): kernel 9 does not exist; the program has 2"),
            (second, &second.replace("s5, s4, s6", "s5, s4, s66"), "step 1 (second): slot s66 does not exist"),
            (
                second,
                &second.replace("s5, s4, s6", "s5, s6"),
                "2 arguments and 1 symbol values for kernel `add`, which has 3 parameters and 1 symbols",
            ),
            (
                second,
                &second.replace("s5, s4, s6", "s5, s5, s6"),
                "slot s5 is f32[N, 3]; parameter `%w` of kernel `add` is f32[3]",
            ),
            (second, &second.replace("s5, s4, s6", "s5, s4, s0"), "step 1 (second): writes slot s0, which is input 0"),
            (second, &second.replace("s5, s4, s6", "s6, s4, s5"), "step 1 (second): reads slot s6, which is not written before"),
            (second, &second.replace("grid (N)", "grid (2*N)"), "2*N grid points; kernel `add` has N"),
            (
                second,
                &second.replace("flops (3*N)", "flops (K)"),
                "a dimension of the call, `K`, depends on symbol `K`, which has no value here",
            ),
            ("host NonZero(count:\"K\")", "host Concat(axis:0)", "`concat` is not an operation of the runtime"),
            (
                "host NonZero(count:\"K\") (s9)",
                "host NonZero(count:\"K\") (s5)",
                "results are i64[1, K], i64[]; the op gives i64[2, K], i64[]",
            ),
            (
                "bind K = s11",
                "host ReadDims(dims:[\"K\"],rule:Bind) (s11) -> (s11) @ \"read\"",
                "step 3 (read): takes i64[1], one element a dimension, got i64[]",
            ),
            ("bind K = s11", "bind K = s7", "step 3: the value of a symbol is bool[] (slot s7), not i64[]"),
            ("  copy s6 -> s2\n  loop", "  copy s4 -> s2\n  loop", "step 4: copies f32[3] to f32[N, 3], which has another size"),
            ("  copy s6 -> s2\n  loop", "  loop", "output `y`: reads slot s2, which is not written before"),
            ("trips T {", "{", "output `scan`: its shape, `T`, depends on symbol `T`, which has no value here"),
            ("iteration s8", "iteration s1", "writes slot s1, which is input 1"),
            ("store s6 -> s3 at s8", "store s4 -> s3 at s8", "stores f32[3] as a row of f32[T, N, 3]"),
            ("store s6 -> s3 at s8", "store s6 -> s3 at s7", "the row is bool[] (slot s7), not i64[]"),
            (
                "slot s8 : i64[] arena 1600",
                "slot s8 : i64[] arena 768",
                "step 5.1: reads slot s8, whose memory slot s6 has overwritten",
            ),
        ],
    );
}

/// A result over its argument's memory is right only where the kernel reads each element as it writes it.
#[test]
fn results_in_place() {
    let text = changed(PROGRAM, "slot s6 : f32[N, 3] arena 768", "slot s6 : f32[N, 3] arena 0");
    assert_eq!(program_findings(&text), "");
    let turned = changed(&text, "launch 0 add(s5, s4, s6)", "launch 1 turn(s5, s6)");
    assert!(program_findings(&turned).contains("kernel `turn` may read `%x` after it wrote `%y` there"));
    // The argument is gone afterwards.
    let later = changed(&text, "  copy s6 -> s2\n  loop", "  copy s5 -> s2\n  loop");
    assert!(program_findings(&later).contains("step 4: reads slot s5, whose memory slot s6 has overwritten"));
}
