//! LLVM target machines for the CPU targets, and the short pass pipeline.

use std::sync::Once;

use beiming_ir::target::Target;
use inkwell::OptimizationLevel;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, Target as LlvmTarget, TargetMachine, TargetTriple};

use crate::EmitError;
use crate::ll::Ll;

static INIT: Once = Once::new();

/// Makes the machines known to LLVM; again does nothing.
pub fn initialize() {
    INIT.call_once(|| {
        let c = InitializationConfig::default();
        LlvmTarget::initialize_x86(&c);
        LlvmTarget::initialize_aarch64(&c);
    });
}

/// The machine that code for `t` is written for: position-independent, small code model.
pub fn machine(t: &Target) -> Result<TargetMachine, EmitError> {
    initialize();
    let bad = |why: String| EmitError::Target { target: t.name.clone(), why };
    let triple = TargetTriple::create(&t.triple);
    let llvm = LlvmTarget::from_triple(&triple).map_err(|e| bad(e.to_string()))?;
    let level = match t.opt_level {
        0 => OptimizationLevel::None,
        1 => OptimizationLevel::Less,
        2 => OptimizationLevel::Default,
        _ => OptimizationLevel::Aggressive,
    };
    llvm.create_target_machine(&triple, &t.cpu, &t.features, level, RelocMode::PIC, CodeModel::Small)
        .ok_or_else(|| bad(format!("LLVM knows no machine `{}` with cpu `{}`", t.triple, t.cpu)))
}

/// What turns the written IR into good IR. The generator already places address arithmetic and vectors; what is left is to
/// put register buffers into registers, join equal expressions and merge blocks. `licm` lifts what unrolled loops repeat.
fn pipeline(opt_level: u8) -> &'static str {
    match opt_level {
        0 => "sroa",
        1 | 2 => "sroa,simplifycfg,early-cse<memssa>,instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg",
        _ => {
            "sroa,simplifycfg,early-cse<memssa>,instcombine<no-verify-fixpoint>,loop-mssa(licm),gvn,\
             instcombine<no-verify-fixpoint>,simplifycfg"
        }
    }
}

/// Runs the pass pipeline of the target's optimisation level.
pub fn optimise(ll: &Ll<'_>, m: &TargetMachine, t: &Target) -> Result<(), String> {
    ll.module.run_passes(pipeline(t.opt_level), m, PassBuilderOptions::create()).map_err(|e| e.to_string())
}
