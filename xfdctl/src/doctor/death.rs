// SPDX-License-Identifier: GPL-2.0
//! Explains how a program ended, based on what it did before.

use super::cure;
use super::finding::{Finding, State};
use super::instruction::{instruction, Instruction};
use super::processor::Machine;
use super::program::{End, Ended, Process, Trace};
use super::refusal;
use super::tracee::Fault;
use nix::libc::{self, c_int};
use nix::sys::signal::Signal;

const ABOUT: &str = "program";
/// `si_code` of SIGILL: #NM without permission, and #UD (arch/x86/kernel/traps.c).
const ILL_ILLOPC: c_int = 1;
const ILL_ILLOPN: c_int = 2;
/// `si_code` of a signal that the kernel sends on its own behalf.
const SI_KERNEL: c_int = 0x80;
/// The cause, and what to do.
type Reason = (String, &'static str);

/// Explains how a program ended. `log` is the kernel log, read afterwards, if it is readable.
pub fn explain(trace: &Trace, machine: Machine, log: Option<&str>) -> Finding {
    let judged = |ended: &Ended| judge(trace, ended, machine, log);
    if let Some(finding) = judged(&trace.main) {
        return finding;
    }
    let other = trace.others.iter().find_map(judged);
    match (trace.main.end, other) {
        (End::Exited(0), Some(other)) => Finding {
            state: State::Note,
            what: format!("{} exited with status 0; but before that, {}", trace.program, other.what),
            ..other
        },
        (_, Some(other)) => other,
        (End::Exited(status), None) => ended_by_itself(trace, status, machine.gives_tiles),
        (End::Killed(signal), None) => not_by_amx(trace, signal, log),
    }
}

fn ended_by_itself(trace: &Trace, status: c_int, gives_tiles: bool) -> Finding {
    let (name, process) = (&trace.program, &trace.main.process);
    let ended = format!("{name} exited with status {status}");
    let asked = asked(process, trace.blind);
    match refusal::last_refused(process) {
        Some(request) => {
            let whose = if request.for_guests { "its guests were" } else { "it was" };
            let what = format!("{ended}, and {whose} refused tiles: {}", refusal::why(process, request, gives_tiles));
            let cure = refusal::cure_of(process, request, gives_tiles);
            // Status 0: it managed without tiles.
            let state = if status == 0 { State::Note } else { State::Wrong };
            Finding { state, ..Finding::wrong(ABOUT, what, cure) }
        }
        None if status == 0 => Finding::ok(ABOUT, format!("{ended}; {asked}")),
        None => Finding::note(ABOUT, format!("{ended}: AMX is not the reason; {asked}")),
    }
}

fn not_by_amx(trace: &Trace, signal: c_int, log: Option<&str>) -> Finding {
    let cure = match (signal, log) {
        (libc::SIGKILL, None) => {
            "search the kernel log, which only root may read here, for Killed process: then memory is short; if it is \
             not there, find out who sends it signals"
        }
        _ => "look for the reason in the program itself, or find out who sends it signals",
    };
    let fault = trace.main.process.fault.as_ref().filter(|fault| fault.signal == signal);
    let place = fault.map_or_else(String::new, |fault| format!(" at {:#x}, {}", fault.ip, instruction(fault).text));
    Finding::wrong(
        ABOUT,
        format!(
            "{} died of {}{place}: AMX is not the reason; {}",
            trace.program,
            name_of(signal),
            asked(&trace.main.process, trace.blind)
        ),
        cure,
    )
}

/// Why a process ended, if tiles or memory are the cause.
fn judge(trace: &Trace, ended: &Ended, machine: Machine, log: Option<&str>) -> Option<Finding> {
    let process = &ended.process;
    let of = format!("{}: process {}", trace.program, ended.pid);
    // A handler may have caught the exception, and ended the process in another way.
    let (fault, end) = match ended.end {
        End::Exited(0) => return None,
        End::Exited(status) => (process.illegal.as_ref(), format!("exited with status {status} after SIGILL")),
        End::Killed(libc::SIGSYS) if process.asking => {
            let what = format!("{of} died of SIGSYS: a seccomp filter kills processes that ask for tiles");
            return Some(Finding::wrong(ABOUT, what, cure::FILTER));
        }
        End::Killed(libc::SIGKILL) => return out_of_memory(&of, ended.pid, log?),
        End::Killed(signal) => match process.fault.as_ref().filter(|fault| fault.signal == signal) {
            Some(fault) => (Some(fault), format!("died of {}", name_of(signal))),
            None => (process.illegal.as_ref(), format!("died of {} after SIGILL", name_of(signal))),
        },
    };
    let fault = fault?;
    let instruction = instruction(fault);
    let (why, cure) = reason(process, fault, &instruction, machine, trace.blind)?;
    let what = format!(
        "{of}, thread {} ({}), {end} at {:#x}, {}: {why}",
        fault.tid, fault.thread, fault.ip, instruction.text
    );
    Some(Finding::wrong(ABOUT, what, cure))
}

fn reason(
    process: &Process,
    fault: &Fault,
    instruction: &Instruction,
    machine: Machine,
    blind: bool,
) -> Option<Reason> {
    if let Some(reason) = no_frame(process, fault) {
        return Some(reason);
    }
    let because = |why: &str, cure: &'static str| Some((why.to_owned(), cure));
    match (fault.signal, fault.code) {
        // #NM without CR0.TS means that XFD armed what the instruction uses, even if the decoder does not know it.
        (libc::SIGILL, ILL_ILLOPC) => Some(without_permission(process, blind, machine.gives_tiles)),
        (libc::SIGILL, ILL_ILLOPN) if instruction.is_amx => Some(not_defined(instruction, machine)),
        (libc::SIGSEGV, SI_KERNEL) if instruction.loads_config => because(
            "the CPU has no such palette, or the shapes do not fit it (#GP)",
            "see palettes above; if they are right, this is a bug in the program",
        ),
        (libc::SIGSEGV, SI_KERNEL) if instruction.is_amx && instruction.has_address => {
            because("the kernel had no memory for the thread's buffer, or the address is not canonical", cure::MEMORY)
        }
        (libc::SIGSEGV, SI_KERNEL) if instruction.is_amx => {
            because("the kernel had no memory for the thread's buffer", cure::MEMORY)
        }
        (libc::SIGSEGV | libc::SIGBUS, _) if instruction.is_amx => because(
            "the program may not access the memory that the instruction reads or writes",
            "this is a bug in the program and has nothing to do with AMX",
        ),
        _ => None,
    }
}

/// #UD.
fn not_defined(instruction: &Instruction, machine: Machine) -> Reason {
    if !machine.gives_tiles {
        return (
            "this machine has no usable AMX, see above, and the program did not check".into(),
            "fix what is wrong above, or tell the program to use no tiles (oneDNN: ONEDNN_MAX_CPU_ISA=AVX512_CORE)",
        );
    }
    if let Some(feature) = instruction.features.iter().find_map(|&feature| machine.features.lacks(feature)) {
        return (
            format!("this processor has no {feature}, and the program did not check"),
            "use a build that checks CPUID, or a processor that has it",
        );
    }
    if machine.shows_palettes {
        return (
            "the instruction is invalid here: no tiles are configured, or their shapes do not match".into(),
            "this is a bug in the program: LDTILECFG comes first, in each thread",
        );
    }
    (
        "no tiles are configured, probably because the program found no palette for their configuration".into(),
        "see palettes above",
    )
}

/// The kernel's OOM killer.
fn out_of_memory(of: &str, pid: i32, log: &str) -> Option<Finding> {
    let killed = format!("Killed process {pid} (");
    let line = log.lines().rev().find(|line| line.contains(&killed))?;
    let (why, cure) = if line.starts_with("Memory cgroup") {
        (
            "because its cgroup had no memory left",
            "raise memory.max of the cgroup (systemd: MemoryMax=; containers: their memory limit), or run fewer \
             threads",
        )
    } else {
        ("because the machine had no memory left", "free memory, or run fewer threads")
    };
    Some(Finding::wrong(ABOUT, format!("{of} was killed by the kernel (SIGKILL) {why}"), cure))
}

/// An #NM without permission.
fn without_permission(process: &Process, blind: bool, gives_tiles: bool) -> Reason {
    const ASK: &str = "the program has to ask once before its first tile: syscall(SYS_arch_prctl, \
                       ARCH_REQ_XCOMP_PERM, 18); 0x1023 is ARCH_REQ_XCOMP_PERM";
    let why_not = |why: &str| format!("it has no permission{why}");
    if blind {
        return (why_not("; Linux before 5.3 does not show whether it asked"), ASK);
    }
    let own: Vec<_> = process.requests.iter().filter(|request| !request.for_guests).collect();
    if let Some(refused) = own.iter().rfind(|request| request.errno != 0 && !request.void) {
        let why = refusal::why(process, refused, gives_tiles);
        return (why_not(&format!(": {why}")), refusal::cure_of(process, refused, gives_tiles));
    }
    if own.iter().any(|request| request.void) {
        return (
            why_not(": it asked before it executed this program, and exec revoked the permission"),
            "the program has to ask again after exec",
        );
    }
    if own.is_empty() && process.requests.iter().any(|request| request.for_guests) {
        return (why_not(": it asked only for its guests (ARCH_REQ_XCOMP_GUEST_PERM)"), ASK);
    }
    (why_not(", and never asked"), ASK)
}

/// A signal whose frame, enlarged by the tiles, does not fit on the alternate stack.
fn no_frame(process: &Process, fault: &Fault) -> Option<Reason> {
    let signal = name_of(fault.frame_of.filter(|_| fault.signal == libc::SIGSEGV && fault.code == SI_KERNEL)?);
    let stack = process.altstacks.get(&fault.tid)?;
    let room = fault.sp.checked_sub(stack.start).filter(|&room| room <= stack.bytes);
    let left = room.map_or_else(String::new, |room| format!(", of which {room} are left in a handler"));
    Some((
        format!(
            "the frame of {signal} does not fit on its alternate signal stack of {} bytes{left}; frames with tiles \
             have 11 KiB",
            stack.bytes
        ),
        cure::NO_FRAME,
    ))
}

fn asked(process: &Process, blind: bool) -> &'static str {
    let own = || process.requests.iter().filter(|request| !request.for_guests && !request.void);
    if blind {
        "Linux before 5.3 does not show whether it asked for tiles"
    } else if own().any(|request| request.errno == 0) {
        "it asked for tiles and got them"
    } else {
        "it never asked for tiles"
    }
}

fn name_of(signal: c_int) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
}

#[cfg(test)]
mod tests;
