// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd: the counters, and the threads (folder.c, threads.c). Documentation/ABI/procfs-xfd is what readers
//! may count on.

use crate::bindings;
use crate::watch::files::{numbers, Named};
use core::ptr;
use kernel::bindings::seq_file;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// The folder; it goes when this is dropped. A file that is open keeps the module loaded, so it is made
/// when loading cannot fail any more.
pub(crate) struct Folder {
    dir: *mut bindings::proc_dir_entry,
}

// SAFETY: procfs has locks of its own.
unsafe impl Send for Folder {}
// SAFETY: as above.
unsafe impl Sync for Folder {}

impl Folder {
    /// Makes the folder, which shows the counters and `gauges`. Without memory there is none, the log says so,
    /// and the module works. Sleeps.
    pub(crate) fn new(gauges: &'static &'static [Named]) -> Self {
        // SAFETY: sleeping is allowed; `gauges` is a static.
        let dir = unsafe { bindings::xfd_proc_make(ptr::from_ref(gauges).cast()) };
        if dir.is_null() {
            pr_warn!("no memory for /proc/xfd: it is missing, but everything else works\n");
        }
        Self { dir }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: `new` made it, or it is NULL; sleeping is allowed.
        unsafe { bindings::xfd_proc_remove(self.dir) }
    }
}

/// Writes /proc/xfd/counters.
///
/// # Safety
///
/// `seq` is being shown, and `gauges` was given to [`Folder::new`].
#[no_mangle]
unsafe extern "C" fn xfd_show_numbers(seq: *mut seq_file, gauges: *const c_void) {
    // SAFETY: the caller vouches for both.
    let (seq, gauges) = unsafe { (SeqFile::from_raw(seq), *gauges.cast::<&'static [Named]>()) };
    for (name, value) in numbers(gauges) {
        seq_print!(seq, "{} {}\n", name, value);
    }
}
