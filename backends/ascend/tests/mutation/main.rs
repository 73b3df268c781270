//! Mutation test of the simulator: emitted kernels are made wrong in one place each, in some hundred ways, and the simulator
//! must give every one of them away, by a finding or by a wrong result.
//!
//! The fixed subset runs with the other tests. `make mutation` runs all of it and writes the table in `docs/ascend.md`.

mod cases;
mod operators;
mod run;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::collections::BTreeSet;

use run::{Mutant, mutants};

/// Every mutant is found, or it survives for a reason that `table` knows.
fn check(all: &[Mutant], at_least: f64) {
    let text = table::text(all);
    println!("{text}");
    let open: Vec<String> =
        table::unexplained(all).iter().map(|m| format!("{} in {}: {} => {}", m.operator, m.kernel, m.was, m.is)).collect();
    let (applied, survived) = table::counts(all);
    let rate = 1.0 - survived as f64 / applied as f64;
    assert!(open.is_empty() && rate >= at_least, "{:.1} % killed; not explained:\n{}", rate * 100.0, open.join("\n"));
}

#[test]
fn the_fixed_subset() {
    let operators = operators::all();
    let mut all = vec![];
    for c in cases::all().iter().filter(|c| c.quick) {
        for call in c.calls(c.chips[0]) {
            all.extend(mutants(&call, &operators, 1));
        }
    }
    check(&all, 0.9);
}

/// Places of an operator in a kernel.
const PLACES: usize = 3;

/// All kernels, three places each (or `BEIMING_MUTATION_PLACES`): minutes. `BEIMING_MUTATION` names the file for the table,
/// `BEIMING_MUTATION_CASE` limits the run to cases whose name holds it.
#[test]
fn everything() {
    let Some(path) = std::env::var_os("BEIMING_MUTATION") else {
        eprintln!("NOT RUN (1): the whole mutation test; `make mutation` runs it");
        return;
    };
    let operators = operators::all();
    let places = std::env::var("BEIMING_MUTATION_PLACES").ok().and_then(|n| n.parse().ok()).unwrap_or(PLACES);
    let only = std::env::var("BEIMING_MUTATION_CASE").ok();
    let mut work: Vec<support::Call> = vec![];
    let mut seen = BTreeSet::new();
    for c in cases::all().iter().filter(|c| only.as_deref().is_none_or(|o| c.name.contains(o))) {
        for chip in c.chips {
            work.extend(c.calls(chip).into_iter().filter(|call| seen.insert(call.kernel.name.clone())));
        }
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(vec![]);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while let Some((i, call)) =
                    Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).and_then(|i| Some((i, work.get(i)?)))
                {
                    let found = mutants(call, &operators, places);
                    done.lock().expect("no panic under the lock").push((i, found));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic under the lock");
    done.sort_by_key(|d| d.0);
    let all: Vec<Mutant> = done.into_iter().flat_map(|d| d.1).collect();
    table::publish(std::path::Path::new(&path), &table::text(&all));
    check(&all, 0.95);
    if only.is_none() && places == PLACES {
        assert_eq!(table::idle(&all), Vec::<String>::new(), "reasons that no survivor needs");
    }
}
