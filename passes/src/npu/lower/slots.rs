//! Where the values of a program live: operands in the queues that copies fill, the result in the queue that a copy empties,
//! everything between in scratch tiles of the unified buffer, reused as soon as a value is dead.

use beiming_ir::types::DType;

use super::program::{Program, Step, V};

/// Where a value lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// Not needed, or a constant that no tile holds.
    Nowhere,
    /// The operand's own tile.
    Operand(usize),
    /// The n-th scratch tile.
    Scratch(usize),
    /// The tile of the result.
    Result,
}

/// Homes of all values.
#[derive(Clone, Debug)]
pub struct Slots {
    /// By value.
    pub homes: Vec<Home>,
    /// Element types of the scratch tiles; `Bool`: a mask, one bit an element.
    pub scratch: Vec<DType>,
}

/// Gives every needed value a home. `result` is copied out in the end.
pub fn assign(p: &Program, result: V) -> Slots {
    let need = p.needed(&[result]);
    let mut last = vec![0; p.steps.len()];
    for (v, (step, _)) in p.steps.iter().enumerate().filter(|(v, _)| need[*v]) {
        step.args().into_iter().for_each(|a| last[a] = v);
    }
    let mut slots = Slots { homes: vec![Home::Nowhere; p.steps.len()], scratch: vec![] };
    let mut free: Vec<usize> = vec![];
    for (v, (step, dtype)) in p.steps.iter().enumerate().filter(|(v, _)| need[*v]) {
        if let Step::Operand(n) = step {
            slots.homes[v] = if v == result { Home::Result } else { Home::Operand(*n) };
            continue;
        }
        // An instruction may write over an operand that dies with it where both have elements of one type; a mask may not
        // take the place of what it is computed from.
        let dying: Vec<usize> = step
            .args()
            .into_iter()
            .filter(|a| last[*a] == v)
            .filter_map(|a| if let Home::Scratch(s) = slots.homes[a] { Some(s) } else { None })
            .collect();
        for s in &dying {
            if !free.contains(s) {
                free.push(*s);
            }
        }
        if v == result {
            slots.homes[v] = Home::Result;
            continue;
        }
        free.sort_unstable();
        let found = free.iter().position(|s| slots.scratch[*s] == *dtype);
        let s = match found {
            Some(i) => free.remove(i),
            None => {
                slots.scratch.push(*dtype);
                slots.scratch.len() - 1
            }
        };
        slots.homes[v] = Home::Scratch(s);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npu::lower::program::number;
    use beiming_ir::ops::{BinaryOp, UnaryOp};
    use beiming_ir::target::npu::Npu;

    #[test]
    fn scratch_is_reused_when_values_die() {
        let npu = Npu::by_name("ascend910b1").expect("a known chip");
        let mut p = Program::new(&npu);
        let x = p.operand(0, DType::F32);
        let one = p.splat(number(DType::F32, 1.0)).expect("f32 is duplicated");
        let e = p.unary(UnaryOp::Exp, x).expect("an exponential");
        let f = p.unary(UnaryOp::Exp, e).expect("an exponential");
        let g = p.binary(BinaryOp::Div, one, f).expect("a quotient");
        let r = p.binary(BinaryOp::Add, g, x).expect("a sum");
        let s = assign(&p, r);
        assert_eq!(s.scratch, [DType::F32, DType::F32], "one for the ones, one for the chain");
        assert_eq!(s.homes[e], s.homes[f], "the second exponential goes over the first");
        assert_eq!((s.homes[x], s.homes[r]), (Home::Operand(0), Home::Result));
    }
}
