//! The arithmetic peak of this machine, measured: f32 fused multiply-adds on registers, more of them in flight than the unit's
//! latency times its rate. The loops are written in assembly, so that the figure does not depend on how this program was
//! compiled; their registers are filled first, since zeros and subnormals may run at another speed.

use std::sync::Barrier;
use std::time::Instant;

/// Rounds of the measurement; the best counts, since everything else on the machine can only slow it down.
const ROUNDS: usize = 5;
/// Iterations of a round: some ten milliseconds.
const ITERATIONS: u64 = 1_000_000;

/// Floating-point operations a second with `threads` threads at once, a fused multiply-add counted as two; `None` where this
/// machine has no vector unit that we know. Takes about a tenth of a second.
pub fn measure(threads: usize) -> Option<f64> {
    let kernel = kernel()?;
    let threads = threads.max(1);
    let barrier = Barrier::new(threads);
    let rounds: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let work = || {
            let round = |_| {
                barrier.wait();
                let start = Instant::now();
                kernel.run(ITERATIONS);
                kernel.flops * ITERATIONS as f64 / start.elapsed().as_secs_f64().max(1e-9)
            };
            (0..ROUNDS).map(round).collect::<Vec<f64>>()
        };
        let handles: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = vec![work()];
        all.extend(handles.into_iter().filter_map(|h| h.join().ok()));
        all
    });
    let sums = (0..ROUNDS).map(|r| rounds.iter().map(|t| t[r]).sum::<f64>());
    sums.max_by(f64::total_cmp)
}

/// A loop of multiply-adds.
struct Kernel {
    /// Floating-point operations of one iteration.
    flops: f64,
    /// Makes a number of iterations.
    body: unsafe fn(u64),
}

impl Kernel {
    fn run(&self, iterations: u64) {
        // SAFETY: `kernel` gives only loops whose instructions this CPU has, and they touch registers only.
        unsafe { (self.body)(iterations) }
    }
}

#[cfg(target_arch = "x86_64")]
fn kernel() -> Option<Kernel> {
    if std::is_x86_feature_detected!("avx512f") {
        return Some(Kernel { flops: 24.0 * 16.0 * 2.0, body: x86::avx512 });
    }
    let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
    avx2.then_some(Kernel { flops: 12.0 * 8.0 * 2.0, body: x86::avx2 })
}

#[cfg(target_arch = "aarch64")]
fn kernel() -> Option<Kernel> {
    Some(Kernel { flops: 24.0 * 4.0 * 2.0, body: arm::neon })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn kernel() -> Option<Kernel> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    /// Accumulators stay near 1: `acc = acc * 0.5 + 0.5`.
    static HALF: f32 = 0.5;

    macro_rules! avx512_lines {
        ($($n:literal)*) => { concat!(
            $("vmovaps zmm", $n, ", zmm30\n",)*
            "2:\n",
            $("vfmadd213ps zmm", $n, ", zmm30, zmm31\n",)*
            "dec {n}\njnz 2b\n",
        ) };
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512(iterations: u64) {
        // SAFETY: reads one constant, writes the registers that are named as lost. `iterations` is not zero.
        unsafe {
            asm!(
                "vbroadcastss zmm30, dword ptr [{half}]",
                "vmovaps zmm31, zmm30",
                avx512_lines!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23),
                "vzeroupper",
                half = in(reg) &raw const HALF, n = inout(reg) iterations => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _, out("zmm6") _,
                out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _, out("zmm12") _, out("zmm13") _,
                out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm30") _, out("zmm31") _,
                options(nostack, readonly)
            );
        }
    }

    macro_rules! avx2_lines {
        ($($n:literal)*) => { concat!(
            $("vmovaps ymm", $n, ", ymm14\n",)*
            "2:\n",
            $("vfmadd213ps ymm", $n, ", ymm14, ymm15\n",)*
            "dec {n}\njnz 2b\n",
        ) };
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(iterations: u64) {
        // SAFETY: as above.
        unsafe {
            asm!(
                "vbroadcastss ymm14, dword ptr [{half}]",
                "vmovaps ymm15, ymm14",
                avx2_lines!(0 1 2 3 4 5 6 7 8 9 10 11),
                "vzeroupper",
                half = in(reg) &raw const HALF, n = inout(reg) iterations => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _, out("ymm6") _,
                out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _, out("ymm14") _, out("ymm15") _,
                options(nostack, readonly)
            );
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::asm;

    macro_rules! lines {
        ($($n:literal)*) => { concat!(
            "fmov v30.4s, #0.5\nfmov v31.4s, #0.5\n",
            $("fmov v", $n, ".4s, #0.5\n",)*
            // acc += 0.5 * 0.5: grows slowly and stays finite.
            "2:\n",
            $("fmla v", $n, ".4s, v30.4s, v31.4s\n",)*
            "subs {n}, {n}, #1\nb.ne 2b\n",
        ) };
    }

    pub unsafe fn neon(iterations: u64) {
        // SAFETY: writes the registers that are named as lost. `iterations` is not zero.
        unsafe {
            asm!(
                lines!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23),
                n = inout(reg) iterations => _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
                out("v23") _, out("v30") _, out("v31") _,
                options(nostack, nomem)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_peak_is_plausible() {
        // From an emulated core to a socket of large ones.
        let peak = super::measure(1).expect("a vector unit");
        assert!((1e8..1e12).contains(&peak), "{peak:e}");
    }
}
