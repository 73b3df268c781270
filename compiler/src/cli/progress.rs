//! A bar on stderr while something takes long, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar. It vanishes when it is dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of `steps` steps. Where stderr is no terminal nothing is drawn.
    pub fn new(steps: usize, visible: bool) -> Progress {
        let to = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), to);
        // The template is a constant; were it wrong, the default style would show.
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {msg} {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress(bar)
    }

    /// The next step begins.
    pub fn step(&self, name: &str, position: usize) {
        self.0.set_position(position as u64);
        self.0.set_message(name.to_string());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
