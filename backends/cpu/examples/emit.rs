//! Prints the LLVM IR or the assembly of a kernel in the IR's text: `emit TARGET FILE [--llvm]`.

use std::time::Instant;

use beiming_ir::target::Target;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, target, file, rest @ ..] = args.as_slice() else { return Err("usage: emit TARGET FILE [--llvm]".into()) };
    let target = Target::by_name(target).ok_or("unknown target")?;
    let kernel = beiming_ir::text::parse_kernel(&std::fs::read_to_string(file)?).map_err(|e| e.to_string())?;
    let start = Instant::now();
    let code = beiming_cpu::emit_kernel(&kernel, &target)?;
    eprintln!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("{}", if rest.is_empty() { &code.assembly } else { &code.llvm_ir });
    Ok(())
}
