// SPDX-License-Identifier: GPL-2.0
//! Who uses AMX, and what the module does: `xfdctl status`, `metrics` and `top`.
//!
//! ```text
//! crate::module (the files) -> snapshot -> status, metrics, top
//!   rates (between two snapshots), sight (whose threads are visible), cgroups (from IDs to paths)
//!   clock (times as people type and read them)
//! ```

mod cgroups;
mod clock;
pub mod metrics;
mod rates;
mod sight;
mod snapshot;
pub mod status;
pub mod top;

/// The module is loaded, but the kernel's own code is in charge.
const NOT_IN_CHARGE: u8 = 1;
/// The module is not loaded.
const NOT_LOADED: u8 = 4;
/// What that means, and what to do about it.
const NOT_LOADED_WHAT: &str = "xfd is not loaded: the kernel's own code handles first uses, and does not show who \
                               uses AMX; load it (modprobe xfd); xfdctl doctor says whether AMX works here at all";
