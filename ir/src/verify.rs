//! The verifier: the only key to a backend.

use std::ops::Deref;

/// A `T` that has passed `verify`. It can be read, not changed.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Verified<T> {
    /// Gives the content back, to be changed; it must be verified again.
    pub fn into_inner(self) -> T {
        self.0
    }
}
