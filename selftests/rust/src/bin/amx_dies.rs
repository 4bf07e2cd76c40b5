// SPDX-License-Identifier: GPL-2.0
//! Uses tiles in a way that fails, so that another program can say why (`xfdctl doctor -- amx_dies HOW`).
#![expect(unsafe_code, reason = "instructions and system calls that kill")]

use anyhow::{bail, ensure, Context};
use clap::{Parser, ValueEnum};
use std::arch::asm;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Barrier;
use std::{io, mem, ptr, thread};
use xcomp::Feature;
use xfd_selftests::seccomp::{forbid, Fate};
use xfd_selftests::tile::Tiles;
use xfd_selftests::{altstack, child};

/// Dies, mostly.
#[derive(Parser)]
struct Arguments {
    /// What it dies of
    #[arg(value_enum)]
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Nothing: it asks, and uses a tile
    Not,
    /// It never asks
    NoPermission,
    /// It never asks, and a second thread uses a tile
    InAThread,
    /// It asks only for its guests
    ForGuests,
    /// It asks, and then executes itself
    Executed,
    /// Its alternate signal stack is too small for a frame with tiles
    SmallStack,
    /// A seccomp filter fails its request with EPERM
    Filtered,
    /// The same, and it exits on its own
    FilteredAndEnds,
    /// The same, and it does without tiles
    FallsBack,
    /// A seccomp filter kills it when it asks
    KilledByFilter,
    /// It never asks, and its handler exits
    Caught,
    /// No tiles are configured
    NotConfigured,
    /// There is no such palette
    NoPalette,
    /// Another thread's alternate signal stack is too small
    SmallStackOfAThread,
    /// The same, but it asks again once that thread is gone
    AsksAgain,
    /// A child inherits an alternate signal stack that is too small
    SmallStackOfAParent,
    /// A signal frame does not fit in what is left of its alternate signal stack
    SignalInAHandler,
    /// The same in a child, which inherits that stack
    SignalInAChildsHandler,
    /// It requests the guest permission after creating a vCPU
    VcpuFirst,
    /// It configures the last palette that CPUID reports
    LastPalette,
    /// It uses up all memory
    EatsMemory,
    /// Something that has nothing to do with tiles
    NullPointer,
}

fn main() -> anyhow::Result<()> {
    let ask = || xcomp::request(Feature::TILE_DATA);
    let how = Arguments::parse().how;
    match how {
        How::Not => ask()?,
        How::NoPermission | How::InAThread | How::NullPointer => {}
        How::ForGuests => xcomp::request_guest(Feature::TILE_DATA)?,
        How::Executed => {
            ask()?;
            return Err(Command::new("/proc/self/exe")
                .arg("no-permission")
                .exec()
                .into());
        }
        How::SmallStack => {
            let refused = altstack::with(8192, ask)?;
            ensure!(refused.is_err(), "8192 bytes are enough on this kernel");
            return altstack::with(8192, use_a_tile);
        }
        How::Caught => {
            extern "C" fn end(_: libc::c_int) {
                // SAFETY: _exit() is async-signal-safe, and ends the process at once.
                unsafe { libc::_exit(7) }
            }
            // SAFETY: the handler is async-signal-safe.
            unsafe { libc::signal(libc::SIGILL, end as *const () as libc::sighandler_t) };
        }
        How::KilledByFilter => {
            filter_requests(Fate::Killed)?;
            ask()?;
        }
        How::Filtered | How::FilteredAndEnds | How::FallsBack => {
            filter_requests(Fate::Errno(libc::EPERM))?;
            ensure!(ask().is_err(), "the filter does not stop the request");
            match how {
                How::FilteredAndEnds => bail!("no tiles"),
                How::FallsBack => return Ok(()),
                _ => {}
            }
        }
        How::SmallStackOfAThread | How::AsksAgain => {
            let refused = beside_a_small_stack(ask)?;
            ensure!(refused.is_err(), "4096 bytes are enough on this kernel");
            if how == How::AsksAgain {
                ask()?;
            }
        }
        How::SmallStackOfAParent => {
            return altstack::with(8192, || {
                child::passes(|| {
                    ensure!(ask().is_err(), "8192 bytes are enough on this kernel");
                    use_a_tile();
                    Ok(())
                })
            })?;
        }
        How::SignalInAHandler | How::SignalInAChildsHandler => {
            ask()?;
            return signal_in_a_handler(how == How::SignalInAChildsHandler);
        }
        How::VcpuFirst => return ask_behind_a_vcpu(),
        How::LastPalette => {
            ask()?;
            use_a_tile_of_the_last_palette();
            return Ok(());
        }
        How::EatsMemory => eat_memory(),
        How::NotConfigured => {
            ask()?;
            // SAFETY: raises #UD, which kills the process.
            unsafe { asm!("tilezero tmm0", options(nostack, nomem)) };
        }
        How::NoPalette => {
            ask()?;
            #[repr(align(64))]
            struct Config([u8; 64]);
            let mut config = Config([0; 64]);
            config.0[0] = 2;
            // SAFETY: reads at most the 64 bytes of `config`; raises #GP, which kills the process.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly))
            };
        }
    }
    match how {
        How::InAThread => {
            let user = thread::Builder::new()
                .name("worker".into())
                .spawn(use_a_tile)?;
            user.join().ok().context("the thread panicked")?;
        }
        // SAFETY: raises a page fault, which kills the process.
        How::NullPointer => unsafe { asm!("mov {0}, [0]", out(reg) _, options(nostack, readonly)) },
        _ => use_a_tile(),
    }
    Ok(())
}

fn use_a_tile() {
    Tiles::configure().zero::<0>();
}

/// From now on requests for tiles meet this fate.
fn filter_requests(fate: Fate) -> io::Result<()> {
    const REQUEST: u32 = 0x1023;
    forbid(libc::SYS_arch_prctl, REQUEST..=REQUEST, fate)
}

/// Runs `work` while another thread has an alternate signal stack that is too small.
fn beside_a_small_stack<T>(work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let (both_are_there, may_go) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let holder = thread::Builder::new().name("holder".into());
        let held = holder.spawn_scoped(scope, || {
            altstack::with(4096, || {
                both_are_there.wait();
                may_go.wait();
            })
        })?;
        both_are_there.wait();
        let result = work();
        may_go.wait();
        held.join().ok().context("the holder panicked")??;
        Ok(result)
    })
}

/// A signal arrives while another one's handler runs on the alternate stack, which has space for one frame.
fn signal_in_a_handler(of_a_child: bool) -> anyhow::Result<()> {
    extern "C" fn first(_: libc::c_int) {
        // SAFETY: raise() is async-signal-safe.
        unsafe { libc::raise(libc::SIGUSR2) };
    }
    extern "C" fn second(_: libc::c_int) {}
    for (signal, handler) in [
        (libc::SIGUSR1, first as extern "C" fn(_)),
        (libc::SIGUSR2, second),
    ] {
        // SAFETY: all zeros is a valid sigaction, and the handlers are async-signal-safe.
        let set = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut())
        };
        ensure!(set == 0, "sigaction: {}", io::Error::last_os_error());
    }
    let dies = || {
        use_a_tile();
        // SAFETY: sends this thread a signal that has a handler.
        unsafe { libc::raise(libc::SIGUSR1) };
        bail!("two frames fit on the stack")
    };
    let enough_for_one = altstack::largest_frame() + 1024;
    altstack::with(enough_for_one, || match of_a_child {
        true => child::passes(dies),
        false => dies(),
    })?
}

/// Asks for guest permission after creating the first virtual CPU.
fn ask_behind_a_vcpu() -> anyhow::Result<()> {
    let kvm = kvm_ioctls::Kvm::new().context("/dev/kvm")?;
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    let _vcpu = vm.create_vcpu(0).context("KVM_CREATE_VCPU")?;
    Ok(xcomp::request_guest(Feature::TILE_DATA)?)
}

/// Acts like programs that ask the CPU for its tile shapes; palette 0 configures none.
fn use_a_tile_of_the_last_palette() {
    // SAFETY: every x86-64 processor has CPUID; LDTILECFG reads the 64 bytes of `config`.
    unsafe {
        let last = std::arch::x86_64::__cpuid_count(0x1d, 0).eax;
        let mut config = [0_u8; 64];
        if last != 0 {
            config[0] = last as u8;
            config[16] = 64;
            config[48] = 16;
        }
        asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        asm!("tilezero tmm0", options(nostack, nomem));
    }
}

/// Allocates memory until none is left.
fn eat_memory() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
    }
}
