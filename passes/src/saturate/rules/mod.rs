//! The rewrite rules.

/// What a rule promises about numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Both sides give the same bits.
    Exact,
    /// Floating-point operations are done in another order or another form: results differ by rounding.
    Reassociates,
}
