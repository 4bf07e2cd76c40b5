// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd: the counters, and the threads (folder.c, threads.c). Documentation/ABI/procfs-xfd
//! says what readers may rely on.

use crate::bindings;
use crate::watch::files::{numbers, Named};
use core::ptr;
use kernel::bindings::seq_file;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;

/// The procfs folder, which exists until this is dropped. An open file keeps the module loaded, so
/// the folder is created only once loading can no longer fail.
pub(crate) struct Folder {
    dir: *mut bindings::proc_dir_entry,
}

// SAFETY: procfs does its own locking, so any thread may remove an entry.
unsafe impl Send for Folder {}
// SAFETY: procfs does its own locking.
unsafe impl Sync for Folder {}

impl Folder {
    /// Creates the folder, which shows the counters and `gauges`. If there is no memory, the folder
    /// is missing and a warning is logged, but the module works. May sleep.
    pub(crate) fn new(gauges: &'static &'static [Named]) -> Self {
        // SAFETY: this is process context, and `gauges` is a static.
        let dir = unsafe { bindings::xfd_proc_make(ptr::from_ref(gauges).cast()) };
        if dir.is_null() {
            pr_warn!("no memory for /proc/xfd: it is missing, but everything else works\n");
        }
        Self { dir }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: `new` created it, or it is NULL. This is process context.
        unsafe { bindings::xfd_proc_remove(self.dir) }
    }
}

/// Writes /proc/xfd/counters. Process context.
///
/// # Safety
///
/// `seq` is a valid seq_file that is being shown, and `gauges` was passed to [`Folder::new`].
#[no_mangle]
unsafe extern "C" fn xfd_show_numbers(seq: *mut seq_file, gauges: *const c_void) {
    // SAFETY: by this function's contract both pointers are valid.
    let (seq, gauges) = unsafe { (SeqFile::from_raw(seq), *gauges.cast::<&'static [Named]>()) };
    for (name, value) in numbers(gauges) {
        seq_print!(seq, "{} {}\n", name, value);
    }
}
