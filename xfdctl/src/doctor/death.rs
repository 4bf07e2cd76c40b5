// SPDX-License-Identifier: GPL-2.0
//! What the end of a program says, in the light of what it did before.

use super::finding::Finding;
use super::program::{End, Fault, Request, Trace};
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Formatter, IntelFormatter, Mnemonic};
use nix::libc;
use nix::sys::signal::Signal;

const ABOUT: &str = "program";
/// `si_code` of SIGILL: #UD, and #NM without permission (arch/x86/kernel/traps.c).
const ILL_ILLOPC: i32 = 1;
const ILL_ILLOPN: i32 = 2;
/// `si_code` of a signal that the kernel raises by itself.
const SI_KERNEL: i32 = 0x80;
const ENOSPC: i32 = libc::ENOSPC;
const EBUSY: i32 = libc::EBUSY;

/// Why it ended, if that has to do with tiles; on a machine that `has_tiles`, or not.
pub fn explain(trace: &Trace, has_tiles: bool) -> Finding {
    let of_tiles = trace.deaths.iter().find_map(|death| {
        let fault = death.fault.as_ref()?;
        let instruction = tile_instruction(fault)?;
        Some(of_a_tile(trace, fault, &instruction, has_tiles))
    });
    if let Some(finding) = of_tiles {
        return finding;
    }
    let name = &trace.program;
    match trace.end {
        End::Exited(0) => Finding::ok(ABOUT, format!("{name} ended by itself{}", asked(trace))),
        End::Exited(code) => refused(trace).unwrap_or_else(|| {
            Finding::note(ABOUT, format!("{name} ended by itself with status {code}: not by AMX{}", asked(trace)))
        }),
        End::Killed(signal) => {
            let fault = trace.deaths.iter().rev().find_map(|death| death.fault.as_ref());
            if let Some(fault) = fault.filter(|fault| fault.signal == Signal::SIGSEGV && fault.code == SI_KERNEL) {
                if let Some(finding) = small_stack(trace, fault) {
                    return finding;
                }
            }
            let place =
                fault.map_or_else(String::new, |fault| format!(" at {:#x}, which is no tile instruction", fault.ip));
            Finding::wrong(
                ABOUT,
                format!("{name} died of {signal}{place}: not by AMX{}", asked(trace)),
                "look for the reason elsewhere",
            )
        }
    }
}

struct Tile {
    text: String,
    loads_config: bool,
}

/// The instruction that was met, if it is one of AMX.
fn tile_instruction(fault: &Fault) -> Option<Tile> {
    let instruction = Decoder::with_ip(64, &fault.bytes, fault.ip, DecoderOptions::NONE).decode();
    let is_amx = |feature: &CpuidFeature| format!("{feature:?}").starts_with("AMX");
    if !instruction.cpuid_features().iter().any(is_amx) {
        return None;
    }
    let mut text = String::new();
    IntelFormatter::new().format(&instruction, &mut text);
    Some(Tile { text, loads_config: instruction.mnemonic() == Mnemonic::Ldtilecfg })
}

fn of_a_tile(trace: &Trace, fault: &Fault, tile: &Tile, has_tiles: bool) -> Finding {
    let who = format!(
        "{}: process {}, thread {} ({}), died of {} at {:#x}, {}",
        trace.program, fault.pid, fault.tid, fault.thread, fault.signal, fault.ip, tile.text
    );
    let wrong = |why: &str, cure: &str| Finding::wrong(ABOUT, format!("{who}: {why}"), cure);
    match (fault.signal, fault.code) {
        (Signal::SIGILL, _) if !has_tiles => wrong(
            "this machine has no usable AMX, see above, and the program did not look",
            "mend what is wrong above, or tell the program to use none (oneDNN: ONEDNN_MAX_CPU_ISA=AVX512_CORE)",
        ),
        (Signal::SIGILL, ILL_ILLOPC) => without_permission(trace, &wrong),
        (Signal::SIGILL, ILL_ILLOPN) => wrong(
            "the instruction is not allowed as it is: no tiles are configured, or shapes do not fit",
            "it is an error of the program's: LDTILECFG comes first, in each thread",
        ),
        (Signal::SIGSEGV, SI_KERNEL) if tile.loads_config => wrong(
            "the CPU has no such palette or shapes (#GP)",
            "see palettes above; if they are right, it is an error of the program's",
        ),
        (Signal::SIGSEGV, SI_KERNEL) if fault.address == 0 => wrong(
            "the kernel had no memory for the thread's buffer, or the address is not canonical",
            "free memory, or raise the cgroup's limit: 12 KiB for each thread that uses tiles",
        ),
        _ => wrong(
            "it is the memory that the instruction reads or writes",
            "it is an error of the program's, not of AMX",
        ),
    }
}

/// #NM, and the kernel found no permission.
fn without_permission(trace: &Trace, wrong: &dyn Fn(&str, &str) -> Finding) -> Finding {
    let mut own = trace.requests.iter().filter(|request| !request.for_guests);
    if let Some(refused) = own.clone().find(|request| request.errno != 0 && !request.void) {
        return wrong(&format!("it has no permission: {}", why(trace, refused)), cure(trace, refused));
    }
    if own.clone().any(|request| request.errno == 0 && !request.void) {
        return wrong(
            "it has no permission, and asked for it elsewhere: another process, or too late",
            "each process asks before its first tile instruction; fork hands the permission on, exec does not",
        );
    }
    if own.any(|request| request.void) {
        return wrong(
            "it has no permission: it asked before it executed this program, which ended that",
            "ask again after exec",
        );
    }
    let only_guests = trace.requests.iter().any(|request| request.for_guests);
    wrong(
        if only_guests {
            "it has no permission: it asked for its guests alone (ARCH_REQ_XCOMP_GUEST_PERM)"
        } else {
            "it has no permission, and never asked"
        },
        "the program has to call arch_prctl(ARCH_REQ_XCOMP_PERM, 18) first, by glibc's syscall() or a library that does",
    )
}

/// A request that was refused, though the program then did without.
fn refused(trace: &Trace) -> Option<Finding> {
    let request = trace.requests.iter().rev().find(|request| request.errno != 0)?;
    Some(Finding::wrong(
        ABOUT,
        format!("{} ended by itself, after it was refused tiles: {}", trace.program, why(trace, request)),
        cure(trace, request),
    ))
}

fn why(trace: &Trace, request: &Request) -> String {
    let smallest = trace.altstacks.iter().min_by_key(|stack| stack.bytes);
    match (request.errno, smallest) {
        (ENOSPC, Some(stack)) => format!(
            "the alternate signal stack of thread {} has {} bytes, and frames with tiles do not fit (ENOSPC)",
            stack.tid, stack.bytes
        ),
        (ENOSPC, None) => "an alternate signal stack is too small for frames with tiles (ENOSPC)".to_owned(),
        (EBUSY, _) => "it had a virtual CPU already (EBUSY)".to_owned(),
        (errno, _) if trace.filtered => {
            format!("its request failed with {}, and it has a seccomp filter", nix::errno::Errno::from_raw(errno))
        }
        (errno, _) => format!("its request failed with {}", nix::errno::Errno::from_raw(errno)),
    }
}

fn cure(trace: &Trace, request: &Request) -> &'static str {
    match request.errno {
        ENOSPC => "each alternate stack must have getauxval(AT_MINSIGSTKSZ) bytes; MINSIGSTKSZ and SIGSTKSZ of old headers are less",
        EBUSY => "ask (ARCH_REQ_XCOMP_GUEST_PERM) before KVM_CREATE_VCPU",
        _ if trace.filtered => "whoever set the filter, a container runtime or systemd, has to allow arch_prctl",
        _ => "see above; if all is well there, look at what else the program does with arch_prctl",
    }
}

/// A signal whose frame does not fit on the alternate stack.
fn small_stack(trace: &Trace, fault: &Fault) -> Option<Finding> {
    let stack = trace.altstacks.iter().find(|stack| stack.tid == fault.tid)?;
    let granted = trace.requests.iter().any(|request| request.errno == 0 && !request.for_guests);
    (granted && stack.bytes < 12 << 10).then(|| {
        Finding::wrong(
            ABOUT,
            format!(
                "{}: thread {} ({}) died of SIGSEGV that the kernel raised, and its alternate signal stack has {} bytes: a \
                 frame with tiles does not fit",
                trace.program, fault.tid, fault.thread, stack.bytes
            ),
            "each alternate stack must have getauxval(AT_MINSIGSTKSZ) bytes",
        )
    })
}

fn asked(trace: &Trace) -> &'static str {
    let granted = trace.requests.iter().any(|request| request.errno == 0 && !request.for_guests);
    match (granted, trace.requests.is_empty()) {
        (true, _) => "; it asked for tiles and got them",
        (false, true) => "; it never asked for tiles",
        (false, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::program::{AltStack, Death};
    use super::*;

    const TILEZERO: [u8; 5] = [0xc4, 0xe2, 0x7b, 0x49, 0xc0];
    const LDTILECFG: [u8; 5] = [0xc4, 0xe2, 0x78, 0x49, 0x00];

    fn trace(signal: Signal, code: i32, bytes: &[u8]) -> Trace {
        let fault =
            Fault { pid: 7, tid: 8, thread: "t".into(), signal, code, address: 0, ip: 0x1000, bytes: bytes.into() };
        Trace {
            program: "p".into(),
            end: End::Killed(signal),
            requests: vec![],
            altstacks: vec![],
            filtered: false,
            deaths: vec![Death { signal, fault: Some(fault) }],
        }
    }

    fn refused_with(errno: i32, filtered: bool) -> Trace {
        let request = Request { tid: 7, for_guests: false, errno, void: false };
        Trace { requests: vec![request], filtered, ..trace(Signal::SIGILL, ILL_ILLOPC, &TILEZERO) }
    }

    fn what(trace: &Trace) -> String {
        let finding = explain(trace, true);
        assert_eq!(finding.state, State::Wrong, "{finding:?}");
        finding.what
    }

    #[test]
    fn thread_and_instruction_are_named() {
        let what = what(&trace(Signal::SIGILL, ILL_ILLOPC, &TILEZERO));
        assert!(what.starts_with("p: process 7, thread 8 (t), died of SIGILL at 0x1000, tilezero tmm0: "), "{what}");
        assert!(what.ends_with("never asked"), "{what}");
    }

    #[test]
    fn why_it_has_no_permission() {
        let mut small = refused_with(ENOSPC, false);
        small.altstacks = vec![AltStack { tid: 9, bytes: 8192 }, AltStack { tid: 7, bytes: 16384 }];
        assert!(what(&small).contains("stack of thread 9 has 8192 bytes"));
        assert!(what(&refused_with(1, true)).contains("EPERM: Operation not permitted, and it has a seccomp filter"));
        let mut void = refused_with(0, false);
        void.requests[0].void = true;
        assert!(what(&void).contains("before it executed"));
        let mut guests = refused_with(0, false);
        guests.requests[0].for_guests = true;
        assert!(what(&guests).contains("for its guests alone"));
    }

    #[test]
    fn other_deaths_of_tile_instructions() {
        assert!(what(&trace(Signal::SIGILL, ILL_ILLOPN, &TILEZERO)).contains("not allowed as it is"));
        assert!(what(&trace(Signal::SIGSEGV, SI_KERNEL, &TILEZERO)).contains("no memory"));
        assert!(what(&trace(Signal::SIGSEGV, SI_KERNEL, &LDTILECFG)).contains("palette"));
        assert!(what(&trace(Signal::SIGSEGV, 1, &TILEZERO)).contains("memory that the instruction"));
        let without = explain(&trace(Signal::SIGILL, ILL_ILLOPN, &TILEZERO), false);
        assert!(without.what.contains("no usable AMX"));
    }

    #[test]
    fn what_is_not_amx() {
        assert!(what(&trace(Signal::SIGSEGV, 1, &[0x8b, 0x00])).contains("no tile instruction"));
        let mut good = trace(Signal::SIGILL, 0, &[]);
        (good.end, good.deaths) = (End::Exited(0), vec![]);
        assert_eq!(explain(&good, true).state, State::Ok);
        good.end = End::Exited(3);
        assert_eq!(explain(&good, true).state, State::Note);
        let late = Trace { end: End::Exited(1), deaths: vec![], ..refused_with(1, true) };
        assert!(what(&late).contains("refused tiles"));
    }

    #[test]
    fn a_frame_that_does_not_fit() {
        let mut small = trace(Signal::SIGSEGV, SI_KERNEL, &[0x90]);
        small.requests = refused_with(0, false).requests;
        small.altstacks = vec![AltStack { tid: 8, bytes: 4096 }];
        assert!(what(&small).contains("4096 bytes: a frame"));
    }
}
