// SPDX-License-Identifier: GPL-2.0
//! Tools for the other layers that know nothing of AMX: the cache and its keys, namespaces, child processes, the Debian
//! mirror, progress on the terminal, the recipe.

pub mod cache;
pub mod child;
pub mod count;
pub mod key;
pub mod manifest;
pub mod mirror;
pub mod namespace;
pub mod progress;
pub mod recipe;

use std::fmt;

use anyhow::{anyhow, Result};

/// An error in the command line.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Formats a size for people to read.
pub fn bytes(size: u64) -> String {
    match size {
        0..1_000_000 => format!("{} kB", size.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", size / 1_000_000),
        _ => format!("{:.1} GB", size as f64 / 1e9),
    }
}

/// How many jobs to run in parallel: one per processor.
pub fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs two jobs in parallel; a panic in the second one becomes an error.
pub fn both<A: Send, B: Send>(
    a: impl FnOnce() -> Result<A> + Send,
    b: impl FnOnce() -> Result<B> + Send,
) -> (Result<A>, Result<B>) {
    std::thread::scope(|scope| {
        let other = scope.spawn(b);
        let a = a();
        let b = other.join().unwrap_or_else(|_| Err(anyhow!("a step of the preparation panicked")));
        (a, b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_failure_of_one_side_does_not_hide_the_other() {
        let (a, b) = both(|| Ok(1), || -> Result<()> { bail!("no") });
        assert_eq!(a.unwrap(), 1);
        assert_eq!(b.unwrap_err().to_string(), "no");
    }
}
