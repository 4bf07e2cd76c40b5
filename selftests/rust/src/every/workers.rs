// SPDX-License-Identifier: GPL-2.0
//! Where the kernel's unbound workers run: among them the module's passes, and the end of unloading it.

use anyhow::Context;
use std::fs;

/// The CPUs available to them, as a mask. Whoever writes it leaves restoring it to the table.
pub(super) const CPUS: &str = "/sys/devices/virtual/workqueue/cpumask";

/// From now on they run only on `cpu`. A running work item ends where it is. Sleeps.
///
/// # Errors
///
/// The caller is not root, or there is no such CPU.
pub(super) fn allow_only(cpu: usize) -> anyhow::Result<()> {
    fs::write(CPUS, format!("{:x}", 1 << cpu)).context(CPUS)
}
