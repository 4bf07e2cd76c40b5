// SPDX-License-Identifier: GPL-2.0
//! Reclaim: a task that does not use its dynamic components gives its enlarged buffer back.
//!
//! A pass looks at each task that has one (idle.rs decides). It is exchanged for the one within
//! the task while the task does not run and the scheduler holds it where it is: tracers and core
//! dumps would have to wake it first, and its stack shows that it is not in the middle of a signal
//! frame. A task that runs is looked at from its CPU, which it has to leave for that.
//!
//! A task that is busy in one of those ways is looked at again in the next pass. Its next use of
//! tiles is a first use. What may still refer to the tiles it had is regrow.rs's business.

use crate::buffer::fpstate::FpstateBuffer;
use crate::buffer::pool;
use crate::seam::bindings;
use crate::seam::refusal::Refusal;
use crate::reclaim::shrink::Enlarged;
use crate::watch::stats::STATS;
use crate::xstate::idle::{self, Clock, Look};
use crate::xstate::xfeature::Xfeatures;
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::task::Task;

/// Finds the kernel functions that reclaim must stay away from, and changes nothing.
pub(crate) fn locate() -> Result<(), Refusal> {
    // SAFETY: the gates are bound.
    let missing = unsafe { bindings::xfd_find_holders() };
    if missing.is_null() {
        return Ok(());
    }
    // SAFETY: a C string literal of tasks.c.
    Err(Refusal::NoSymbol(unsafe { CStr::from_char_ptr(missing) }))
}

/// One pass over all tasks.
struct Pass {
    now: Clock,
    /// Milliseconds that a task must have been idle.
    interval: u32,
    /// Tasks to be looked at from the CPUs that they run on.
    running: KVec<(ARef<Task>, c_uint)>,
}

/// One look at one task, and the buffer that came of it.
struct Inspection<'a> {
    pass: &'a Pass,
    freed: Option<FpstateBuffer>,
}

/// Looks at all tasks at `now` milliseconds, and frees what the pool does not need. One at a
/// time. Sleeps.
#[no_mangle]
extern "C" fn xfd_background_pass(now: u64, interval: c_uint) {
    let mut pass = Pass {
        now: Clock::at(now),
        interval,
        running: KVec::new(),
    };
    // SAFETY: task context; `pass` is there until it returns.
    unsafe { bindings::xfd_each_enlarged_task((&raw mut pass).cast()) };
    for (task, cpu) in &pass.running {
        let mut here = (task.as_ptr(), &pass);
        // SAFETY: sleeping is allowed; `here` is there until it returns. A CPU that is gone is an
        // error, and no harm.
        unsafe {
            bindings::smp_call_on_cpu(*cpu, Some(look_from_here), (&raw mut here).cast(), false)
        };
    }
    pool::trim();
}

/// Looks at `task`, in an RCU section: does not sleep.
#[no_mangle]
extern "C" fn xfd_consider(task: *mut task_struct, pass: *mut c_void) {
    // SAFETY: `xfd_background_pass`'s, which waits and does not look meanwhile.
    let pass = unsafe { &mut *pass.cast::<Pass>() };
    if let Some(cpu) = pass.inspect(task) {
        // SAFETY: RCU keeps it, and `Task` is a transparent wrapper.
        let task = unsafe { &*task.cast::<Task>() };
        // Without memory there is the next pass.
        let _ = pass.running.push((task.into(), cpu), GFP_NOWAIT);
    }
}

/// Looks at a task that has left this CPU for it. Task context.
extern "C" fn look_from_here(here: *mut c_void) -> c_int {
    // SAFETY: `xfd_background_pass`'s, which waits.
    let (task, pass) = unsafe { *here.cast::<(*mut task_struct, &Pass)>() };
    pass.inspect(task);
    0
}

impl Pass {
    /// Looks at `task`, and takes its buffer if it may go. Does not sleep. Returns its CPU if it
    /// runs.
    fn inspect(&self, task: *mut task_struct) -> Option<c_uint> {
        let mut inspection = Inspection {
            pass: self,
            freed: None,
        };
        // SAFETY: the caller keeps `task`; `inspection` is there until it returns.
        let cpu = unsafe { bindings::xfd_look_at_task(task, (&raw mut inspection).cast()) };
        if let Some(buffer) = inspection.freed {
            STATS.reclaimed.count();
            buffer.free_later();
        }
        cpu.try_into().ok()
    }
}

/// Looks at a task that is held where it is and does not run; its registers are in its fpstate.
/// Interrupts off.
#[no_mangle]
extern "C" fn xfd_look_at_blocked(task: *mut task_struct, look: *mut c_void) {
    // SAFETY: `xfd_consider`'s, which waits.
    let inspection = unsafe { &mut *look.cast::<Inspection<'_>>() };
    // SAFETY: `task` is held.
    let fpu = unsafe { bindings::xfd_task_fpu(task) }.cast();
    // SAFETY: as above.
    let Some(enlarged) = (unsafe { Enlarged::of(fpu) }) else {
        return;
    };
    if inspection.is_spare(&enlarged, enlarged.xfeatures_in_image()) {
        inspection.freed = Some(enlarged.exchange_saved());
    }
}

impl Inspection<'_> {
    /// Whether the buffer may go; notes what the next look has to know.
    fn is_spare(&self, enlarged: &Enlarged, in_use: Xfeatures) -> bool {
        let noted = Clock::from_word(enlarged.note());
        match idle::look(in_use, noted, self.pass.now, self.pass.interval) {
            Look::InUse => enlarged.set_note(0),
            Look::IdleSince(since) => enlarged.set_note(since.word()),
            Look::Spare => return true,
        }
        false
    }
}
