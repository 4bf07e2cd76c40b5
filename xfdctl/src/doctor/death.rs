// SPDX-License-Identifier: GPL-2.0
//! What the end of a program says, in the light of what it did before.

use super::cure;
use super::finding::Finding;
use super::processor::Features;
use super::program::{End, Ended, Process, Request, Trace};
use super::tracee::Fault;
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Formatter, IntelFormatter, Mnemonic};
use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::signal::Signal;

const ABOUT: &str = "program";
/// `si_code` of SIGILL: #NM without permission, and #UD (arch/x86/kernel/traps.c).
const ILL_ILLOPC: c_int = 1;
const ILL_ILLOPN: c_int = 2;
/// `si_code` of a signal that the kernel raises by itself.
const SI_KERNEL: c_int = 0x80;

/// Why it ended, if that has to do with tiles. `features`: those of the processor; `None` if tiles cannot be used here.
pub fn explain(trace: &Trace, features: Option<Features>) -> Finding {
    let judged = |ended: &Ended| judge(&trace.program, ended, features, trace.blind);
    if let Some(finding) = judged(&trace.main) {
        return finding;
    }
    let name = &trace.program;
    let asked = asked(&trace.main.process, trace.blind);
    let other = trace.others.iter().find_map(judged);
    match (trace.main.end, other) {
        (End::Exited(0), Some(other)) => {
            Finding::note(ABOUT, format!("{name} ended by itself; before it, {}", other.what))
        }
        (_, Some(other)) => other,
        (End::Exited(status), None) => {
            match trace.main.process.requests.iter().rev().find(|request| request.errno != 0) {
                Some(request) => {
                    let what = format!(
                        "{name} ended by itself ({status}), and was refused tiles: {}",
                        why(&trace.main.process, *request)
                    );
                    let cure = cure_of(&trace.main.process, *request);
                    if status == 0 {
                        Finding { cure: Some(cure.into()), ..Finding::note(ABOUT, what) }
                    } else {
                        Finding::wrong(ABOUT, what, cure)
                    }
                }
                None if status == 0 => Finding::ok(ABOUT, format!("{name} ended by itself; {asked}")),
                None => {
                    Finding::note(ABOUT, format!("{name} ended by itself with status {status}: not by AMX; {asked}"))
                }
            }
        }
        (End::Killed(signal), None) => {
            let fault = trace.main.process.fault.as_ref().filter(|fault| fault.signal == signal);
            let place =
                fault.map_or_else(String::new, |fault| format!(" at {:#x}, {}", fault.ip, instruction(fault).text));
            Finding::wrong(
                ABOUT,
                format!("{name} died of {}{place}: not by AMX; {asked}", name_of(signal)),
                "look for the reason elsewhere",
            )
        }
    }
}

/// Of one process: why it ended, if that has to do with tiles.
fn judge(program: &str, ended: &Ended, features: Option<Features>, blind: bool) -> Option<Finding> {
    let process = &ended.process;
    // A handler may have caught the exception, and ended the process otherwise.
    let (fault, end) = match ended.end {
        End::Exited(0) => return None,
        End::Exited(status) => (process.illegal.as_ref(), format!("ended with status {status} after SIGILL")),
        End::Killed(libc::SIGSYS) if process.asking => {
            return Some(Finding::wrong(
                ABOUT,
                format!(
                    "{program}: process {} died of SIGSYS: a seccomp filter kills whoever asks for tiles",
                    ended.pid
                ),
                cure::FILTER,
            ));
        }
        End::Killed(signal) => match process.fault.as_ref().filter(|fault| fault.signal == signal) {
            Some(fault) => (Some(fault), format!("died of {}", name_of(signal))),
            None => (process.illegal.as_ref(), format!("died of {} after SIGILL", name_of(signal))),
        },
    };
    let fault = fault?;
    let instruction = instruction(fault);
    let who = format!(
        "{program}: process {}, thread {} ({}), {end} at {:#x}, {}",
        ended.pid, fault.tid, fault.thread, fault.ip, instruction.text
    );
    let wrong = |why: &str, cure: &str| Some(Finding::wrong(ABOUT, format!("{who}: {why}"), cure));
    match (fault.signal, fault.code) {
        // What raises #NM without CR0.TS is armed by XFD, whatever it is called.
        (libc::SIGILL, ILL_ILLOPC) => {
            let (why, cure) = without_permission(process, blind);
            wrong(&why, cure)
        }
        (libc::SIGILL, ILL_ILLOPN) if instruction.is_amx => match features {
            None => wrong(
                "this machine has no usable AMX, see above, and the program did not look",
                "mend what is wrong above, or tell the program to use none (oneDNN: ONEDNN_MAX_CPU_ISA=AVX512_CORE)",
            ),
            Some(features) => match instruction.features.iter().find_map(|&feature| features.lacks(feature)) {
                Some(feature) => wrong(
                    &format!("this processor has no {feature}, and the program did not look"),
                    "use a build that looks at CPUID, or a processor that has it",
                ),
                None => wrong(
                    "the instruction is not allowed as it is: no tiles are configured, or shapes do not fit",
                    "it is an error of the program's: LDTILECFG comes first, in each thread",
                ),
            },
        },
        (libc::SIGSEGV, SI_KERNEL) if instruction.loads_config => wrong(
            "the CPU has no such palette or shapes (#GP)",
            "see palettes above; if they are right, it is an error of the program's",
        ),
        (libc::SIGSEGV, SI_KERNEL) if instruction.is_amx => wrong(
            "the kernel had no memory for the thread's buffer, or the address is not canonical",
            "free memory: each thread that uses tiles takes 12 KiB of vmalloc space",
        ),
        (libc::SIGSEGV, SI_KERNEL) => small_stack(process, fault).and_then(|(why, cure)| wrong(&why, cure)),
        (libc::SIGSEGV | libc::SIGBUS, _) if instruction.is_amx => wrong(
            "it is the memory that the instruction reads or writes",
            "it is an error of the program's, not of AMX",
        ),
        _ => None,
    }
}

struct Instruction {
    text: String,
    is_amx: bool,
    loads_config: bool,
    features: &'static [CpuidFeature],
}

fn instruction(fault: &Fault) -> Instruction {
    let decoded = Decoder::with_ip(64, &fault.bytes, fault.ip, DecoderOptions::NONE).decode();
    let features = decoded.cpuid_features();
    let mut text = String::new();
    if fault.bytes.is_empty() {
        text.push_str("where nothing can be read");
    } else if decoded.is_invalid() {
        text.push_str("an unknown instruction");
    } else {
        IntelFormatter::new().format(&decoded, &mut text);
    }
    Instruction {
        text,
        is_amx: features.iter().any(|feature| format!("{feature:?}").starts_with("AMX")),
        loads_config: decoded.mnemonic() == Mnemonic::Ldtilecfg,
        features,
    }
}

/// #NM, and the kernel found no permission: why, and the cure.
fn without_permission(process: &Process, blind: bool) -> (String, &'static str) {
    const ASK: &str = "the program has to call arch_prctl(ARCH_REQ_XCOMP_PERM, 18) first, by glibc's syscall() or a library that does";
    let why_not = |why: &str| format!("it has no permission{why}");
    if blind {
        return (why_not("; this kernel does not show whether it asked"), ASK);
    }
    let own: Vec<_> = process.requests.iter().filter(|request| !request.for_guests).collect();
    if let Some(refused) = own.iter().find(|request| request.errno != 0 && !request.void) {
        return (why_not(&format!(": {}", why(process, **refused))), cure_of(process, **refused));
    }
    if own.iter().any(|request| request.void) {
        return (why_not(": it asked before it executed this program, which ended that"), "ask again after exec");
    }
    if own.is_empty() && process.requests.iter().any(|request| request.for_guests) {
        return (why_not(": it asked for its guests alone (ARCH_REQ_XCOMP_GUEST_PERM)"), ASK);
    }
    (why_not(", and never asked"), ASK)
}

/// What stands in the way of a refused request.
fn why(process: &Process, request: Request) -> String {
    let smallest = process.altstacks.iter().min_by_key(|(_, bytes)| **bytes);
    let errno = Errno::from_raw(request.errno);
    match (errno, smallest) {
        (Errno::ENOSPC, Some((tid, bytes))) => {
            format!("the alternate signal stack of thread {tid} has {bytes} bytes, and frames with tiles do not fit (ENOSPC)")
        }
        (Errno::ENOSPC, None) => "an alternate signal stack is too small for frames with tiles (ENOSPC)".to_owned(),
        (Errno::EBUSY, _) => "it had a virtual CPU already (EBUSY)".to_owned(),
        _ if is_filters(process, errno) => format!("its request failed with {errno}, and it has a seccomp filter"),
        _ => format!("its request failed with {errno}"),
    }
}

fn cure_of(process: &Process, request: Request) -> &'static str {
    match Errno::from_raw(request.errno) {
        Errno::ENOSPC => cure::ALT_STACK,
        Errno::EBUSY => cure::VCPU,
        errno if is_filters(process, errno) => cure::FILTER,
        _ => "this machine or kernel has no tiles to give: see above",
    }
}

/// Whether the kernel never answers so, but filters do.
fn is_filters(process: &Process, errno: Errno) -> bool {
    process.filtered && matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS)
}

/// A signal whose frame does not fit on the alternate stack.
fn small_stack(process: &Process, fault: &Fault) -> Option<(String, &'static str)> {
    let bytes = process.altstacks.get(&fault.tid)?;
    let granted = process.requests.iter().any(|request| request.errno == 0 && !request.for_guests);
    (granted && *bytes < 12 << 10).then(|| {
        (format!("its alternate signal stack has {bytes} bytes: a frame with tiles does not fit"), cure::ALT_STACK)
    })
}

fn asked(process: &Process, blind: bool) -> &'static str {
    let own = || process.requests.iter().filter(|request| !request.for_guests && !request.void);
    if blind {
        "this kernel does not show whether it asked for tiles"
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
mod tests {
    use super::super::finding::State;
    use super::*;

    const TILEZERO: [u8; 5] = [0xc4, 0xe2, 0x7b, 0x49, 0xc0];
    const LDTILECFG: [u8; 5] = [0xc4, 0xe2, 0x78, 0x49, 0x00];
    /// tdpfp16ps tmm0, tmm1, tmm2
    const FP16: [u8; 5] = [0xc4, 0xe2, 0x6b, 0x5c, 0xc1];
    /// Nothing.
    const UNKNOWN: [u8; 5] = [0xc4, 0xe5, 0x7b, 0xff, 0xc0];
    const ALL: Option<Features> = Some(Features { int8: true, bf16: true, fp16: false, complex: false });

    fn process(signal: c_int, code: c_int, bytes: &[u8]) -> Process {
        let fault = Fault { tid: 8, thread: "t".into(), signal, code, address: 0, ip: 0x1000, bytes: bytes.into() };
        let illegal = (signal == libc::SIGILL).then(|| fault.clone());
        Process { fault: Some(fault), illegal, ..Process::default() }
    }

    fn ended(end: End, process: Process) -> Trace {
        Trace { program: "p".into(), main: Ended { pid: 7, end, process }, others: vec![], blind: false }
    }

    fn died(signal: c_int, code: c_int, bytes: &[u8]) -> Trace {
        ended(End::Killed(signal), process(signal, code, bytes))
    }

    fn without(requests: &[(bool, c_int, bool)]) -> Trace {
        let mut trace = died(libc::SIGILL, ILL_ILLOPC, &TILEZERO);
        let request = |&(for_guests, errno, void): &_| Request { for_guests, errno, void };
        trace.main.process.requests = requests.iter().map(request).collect();
        trace
    }

    fn what(trace: &Trace) -> String {
        let finding = explain(trace, ALL);
        assert_eq!(finding.state, State::Wrong, "{finding:?}");
        finding.what
    }

    #[test]
    fn thread_and_instruction_are_named() {
        let what = what(&without(&[]));
        assert!(what.starts_with("p: process 7, thread 8 (t), died of SIGILL at 0x1000, tilezero tmm0: "), "{what}");
        assert!(what.ends_with("never asked"), "{what}");
    }

    #[test]
    fn why_it_has_no_permission() {
        let mut small = without(&[(false, libc::ENOSPC, false)]);
        small.main.process.altstacks = [(9, 8192), (7, 16384)].into();
        assert!(what(&small).contains("stack of thread 9 has 8192 bytes"));
        let mut filtered = without(&[(false, libc::EPERM, false)]);
        filtered.main.process.filtered = true;
        assert!(what(&filtered).contains("EPERM: Operation not permitted, and it has a seccomp filter"));
        filtered.main.process.requests[0].errno = libc::EOPNOTSUPP;
        assert!(!what(&filtered).contains("filter"));
        assert!(what(&without(&[(false, 0, true)])).contains("before it executed"));
        assert!(what(&without(&[(true, 0, false)])).contains("for its guests alone"));
        let blind = Trace { blind: true, ..without(&[]) };
        assert!(what(&blind).contains("does not show"));
    }

    #[test]
    fn what_the_decoder_does_not_know_is_no_permission_as_well() {
        assert!(
            what(&died(libc::SIGILL, ILL_ILLOPC, &UNKNOWN)).contains("an unknown instruction: it has no permission")
        );
        assert!(what(&died(libc::SIGILL, ILL_ILLOPC, &[])).contains("nothing can be read: it has no permission"));
    }

    #[test]
    fn other_deaths_of_tile_instructions() {
        assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &TILEZERO)).contains("not allowed as it is"));
        assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &FP16)).contains("no AMX-FP16"));
        assert!(what(&died(libc::SIGSEGV, SI_KERNEL, &TILEZERO)).contains("no memory"));
        assert!(what(&died(libc::SIGSEGV, SI_KERNEL, &LDTILECFG)).contains("palette"));
        assert!(what(&died(libc::SIGSEGV, 1, &TILEZERO)).contains("memory that the instruction"));
        let without = explain(&died(libc::SIGILL, ILL_ILLOPN, &TILEZERO), None);
        assert!(without.what.contains("no usable AMX"));
    }

    #[test]
    fn a_handler_between_them() {
        let of = |end| what(&ended(end, process(libc::SIGILL, ILL_ILLOPC, &TILEZERO)));
        assert!(of(End::Killed(libc::SIGABRT)).contains("died of SIGABRT after SIGILL at 0x1000, tilezero"));
        assert!(of(End::Exited(2)).contains("ended with status 2 after SIGILL"));
        // It tried, and did without.
        let tried = ended(End::Exited(0), process(libc::SIGILL, ILL_ILLOPC, &TILEZERO));
        assert_eq!(explain(&tried, ALL).state, State::Ok);
    }

    #[test]
    fn what_is_not_amx() {
        assert!(what(&died(libc::SIGSEGV, 1, &[0x8b, 0x00])).contains("mov eax,[rax]: not by AMX"));
        assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &[0x0f, 0x0b])).contains("not by AMX"));
        assert!(what(&ended(End::Killed(libc::SIGTERM), process(libc::SIGSEGV, 1, &TILEZERO)))
            .contains("SIGTERM: not by"));
        assert_eq!(explain(&ended(End::Exited(3), Process::default()), ALL).state, State::Note);
        assert_eq!(explain(&ended(End::Exited(0), Process::default()), ALL).state, State::Ok);
        assert!(what(&ended(End::Killed(34), Process::default())).contains("signal 34"));
    }

    #[test]
    fn refused_and_it_ends_by_itself() {
        let refused = |status| {
            let trace = without(&[(false, libc::ENOSPC, false)]);
            ended(End::Exited(status), Process { illegal: None, fault: None, ..trace.main.process })
        };
        assert!(what(&refused(1)).contains("was refused tiles"));
        let falls_back = explain(&refused(0), ALL);
        assert_eq!(falls_back.state, State::Note);
        assert!(falls_back.what.contains("was refused tiles") && falls_back.cure.is_some());
    }

    #[test]
    fn a_filter_that_kills() {
        let asking = ended(End::Killed(libc::SIGSYS), Process { asking: true, ..Process::default() });
        assert!(what(&asking).contains("kills whoever asks"));
    }

    #[test]
    fn the_end_of_a_child() {
        let mut trace = ended(End::Exited(0), Process::default());
        trace.others = vec![without(&[]).main];
        assert_eq!(explain(&trace, ALL).state, State::Note);
        trace.main.end = End::Exited(1);
        assert!(what(&trace).contains("process 7"));
    }

    #[test]
    fn a_frame_that_does_not_fit() {
        let mut small = died(libc::SIGSEGV, SI_KERNEL, &[0x90]);
        small.main.process.requests = without(&[(false, 0, false)]).main.process.requests;
        small.main.process.altstacks = [(8, 4096)].into();
        assert!(what(&small).contains("4096 bytes: a frame"));
    }
}
