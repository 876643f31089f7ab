//! Ctrl-C ends a long measurement between two runs, so that loop devices and servers are undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Doing, Failure, Result};

#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    pub(crate) fn watch() -> Result<Self> {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if crate::floor::wait_for_signal().is_ok() {
                    seen.0.store(true, Ordering::Relaxed);
                }
            })
            .doing(|| "starting the signal thread")?;
        Ok(interrupt)
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::new("interrupted"));
        }
        Ok(())
    }
}
