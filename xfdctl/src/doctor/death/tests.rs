// SPDX-License-Identifier: GPL-2.0
use super::super::processor::Features;
use super::super::program::{AltStack, Request, SmallStack};
use super::*;

const TILEZERO: [u8; 5] = [0xc4, 0xe2, 0x7b, 0x49, 0xc0];
const LDTILECFG: [u8; 5] = [0xc4, 0xe2, 0x78, 0x49, 0x00];
/// tdpfp16ps tmm0, tmm1, tmm2
const FP16: [u8; 5] = [0xc4, 0xe2, 0x6b, 0x5c, 0xc1];
/// Not an instruction.
const UNKNOWN: [u8; 5] = [0xc4, 0xe5, 0x7b, 0xff, 0xc0];
const ALL: Machine = Machine {
    features: Features { int8: true, bf16: true, fp16: false, complex: false },
    shows_palettes: true,
    gives_tiles: true,
};

fn process(signal: c_int, code: c_int, bytes: &[u8]) -> Process {
    let fault = Fault {
        tid: 8,
        thread: "t".into(),
        signal,
        code,
        address: 0,
        ip: 0x1000,
        bytes: bytes.into(),
        sp: 0,
        frame_of: None,
    };
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
    let request = |&(for_guests, errno, void): &_| Request { for_guests, errno, void, stack: None };
    trace.main.process.requests = requests.iter().map(request).collect();
    trace
}

fn what(trace: &Trace) -> String {
    let finding = explain(trace, ALL, None);
    assert_eq!(finding.state, State::Wrong, "{finding:?}");
    finding.what
}

#[test]
fn the_thread_and_the_instruction_are_named() {
    let what = what(&without(&[]));
    assert!(what.starts_with("p: process 7, thread 8 (t), died of SIGILL at 0x1000, tilezero tmm0: "), "{what}");
    assert!(what.ends_with("never asked"), "{what}");
}

#[test]
fn why_it_has_no_permission() {
    let mut small = without(&[(false, libc::ENOSPC, false)]);
    small.main.process.requests[0].stack = Some(SmallStack { tid: 9, thread: "io".into(), bytes: 8192 });
    assert!(what(&small).contains("stack of thread 9 (io) has 8192 bytes"));
    let mut filtered = without(&[(false, libc::EPERM, false)]);
    filtered.main.process.filtered = true;
    assert!(what(&filtered).contains("EPERM: Operation not permitted, which comes from its seccomp filter"));
    filtered.main.process.requests[0].errno = libc::EOPNOTSUPP;
    assert!(!what(&filtered).contains("filter"));
    assert!(what(&without(&[(false, 0, true)])).contains("before it executed"));
    assert!(what(&without(&[(true, 0, false)])).contains("asked only for its guests"));
    let blind = Trace { blind: true, ..without(&[]) };
    assert!(what(&blind).contains("before 5.3 does not show"));
}

#[test]
fn an_unknown_instruction_may_lack_permission() {
    assert!(what(&died(libc::SIGILL, ILL_ILLOPC, &UNKNOWN)).contains("an unknown instruction: it has no permission"));
    assert!(what(&died(libc::SIGILL, ILL_ILLOPC, &[])).contains("unreadable memory: it has no permission"));
}

#[test]
fn other_deaths_of_tile_instructions() {
    assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &TILEZERO)).contains("the instruction is invalid here"));
    assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &FP16)).contains("no AMX-FP16"));
    assert!(what(&died(libc::SIGSEGV, SI_KERNEL, &TILEZERO)).contains("no memory"));
    assert!(what(&died(libc::SIGSEGV, SI_KERNEL, &LDTILECFG)).contains("palette"));
    assert!(what(&died(libc::SIGSEGV, 1, &TILEZERO)).contains("memory that the instruction"));
    let without = explain(&died(libc::SIGILL, ILL_ILLOPN, &TILEZERO), Machine { gives_tiles: false, ..ALL }, None);
    assert!(without.what.contains("no usable AMX"));
}

#[test]
fn a_handler_between_them() {
    let of = |end| what(&ended(end, process(libc::SIGILL, ILL_ILLOPC, &TILEZERO)));
    assert!(of(End::Killed(libc::SIGABRT)).contains("died of SIGABRT after SIGILL at 0x1000, tilezero"));
    assert!(of(End::Exited(2)).contains("exited with status 2 after SIGILL"));
    // It tried to use tiles, and managed without them.
    let tried = ended(End::Exited(0), process(libc::SIGILL, ILL_ILLOPC, &TILEZERO));
    assert_eq!(explain(&tried, ALL, None).state, State::Ok);
}

#[test]
fn amx_is_not_always_the_reason() {
    assert!(what(&died(libc::SIGSEGV, 1, &[0x8b, 0x00])).contains("mov eax,[rax]: AMX is not the reason"));
    assert!(what(&died(libc::SIGILL, ILL_ILLOPN, &[0x0f, 0x0b])).contains("AMX is not the reason"));
    assert!(what(&ended(End::Killed(libc::SIGTERM), process(libc::SIGSEGV, 1, &TILEZERO)))
        .contains("SIGTERM: AMX is not"));
    assert_eq!(explain(&ended(End::Exited(3), Process::default()), ALL, None).state, State::Note);
    assert_eq!(explain(&ended(End::Exited(0), Process::default()), ALL, None).state, State::Ok);
    assert!(what(&ended(End::Killed(34), Process::default())).contains("signal 34"));
}

#[test]
fn a_refused_program_exits() {
    let refused = |status| {
        let trace = without(&[(false, libc::ENOSPC, false)]);
        ended(End::Exited(status), Process { illegal: None, fault: None, ..trace.main.process })
    };
    assert!(what(&refused(1)).contains("was refused tiles"));
    let falls_back = explain(&refused(0), ALL, None);
    assert_eq!(falls_back.state, State::Note);
    assert!(falls_back.what.contains("was refused tiles") && falls_back.cure.is_some());
}

#[test]
fn a_filter_that_kills() {
    let asking = ended(End::Killed(libc::SIGSYS), Process { asking: true, ..Process::default() });
    assert!(what(&asking).contains("kills processes that ask"));
}

#[test]
fn the_end_of_a_child() {
    let mut trace = ended(End::Exited(0), Process::default());
    trace.others = vec![without(&[]).main];
    assert_eq!(explain(&trace, ALL, None).state, State::Note);
    trace.main.end = End::Exited(1);
    assert!(what(&trace).contains("process 7"));
}

#[test]
fn a_frame_that_does_not_fit() {
    let mut small = died(libc::SIGSEGV, SI_KERNEL, &[0x90]);
    small.main.process.altstacks = [(8, AltStack { start: 0x1000, bytes: 4096 })].into();
    assert!(what(&small).contains("AMX is not the reason"));
    small.main.process.fault.as_mut().unwrap().frame_of = Some(libc::SIGUSR1);
    assert!(what(&small)
        .contains("the frame of SIGUSR1 does not fit on its alternate signal stack of 4096 bytes; frames"));
    small.main.process.fault.as_mut().unwrap().sp = 0x1400;
    assert!(what(&small).contains("of which 1024 are left in a handler"));
}

#[test]
fn no_palettes_and_no_tiles() {
    let trace = died(libc::SIGILL, ILL_ILLOPN, &TILEZERO);
    let what = |machine: Machine| explain(&trace, machine, None).what;
    assert!(what(Machine { shows_palettes: false, ..ALL }).contains("found no palette"));
    assert!(what(Machine { gives_tiles: false, ..ALL }).contains("no usable AMX"));
}

#[test]
fn killed_for_lack_of_memory() {
    let trace = ended(End::Killed(libc::SIGKILL), Process::default());
    let what = |log| explain(&trace, ALL, Some(log)).what;
    let line = "Memory cgroup out of memory: Killed process 7 (p) total-vm:1kB\n";
    assert!(what(line).contains("its cgroup had no memory"));
    assert!(what("Out of memory: Killed process 7 (p) total-vm:1kB\n").contains("the machine had no memory"));
    assert!(explain(&trace, ALL, None).cure.unwrap().contains("only root may read"));
    assert!(what("Out of memory: Killed process 77 (p) total-vm:1kB\n").contains("AMX is not the reason"));
}

#[test]
fn a_request_that_was_granted_later_is_no_problem() {
    let requests = without(&[(false, libc::ENOSPC, false), (false, 0, false)]).main.process.requests;
    let trace = ended(End::Exited(0), Process { requests, ..Process::default() });
    assert_eq!(explain(&trace, ALL, None).state, State::Ok);
}
