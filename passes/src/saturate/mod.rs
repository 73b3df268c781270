//! Equality saturation with egg; the language is the IR's own op.
