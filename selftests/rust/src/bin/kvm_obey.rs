// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU that obeys commands, one word per line, and prints `done WORD` after each:
//!
//! ```text
//! make     creates it, without CPUID
//! show     shows it tiles in its CPUID
//! arm      writes IA32_XFD, as a kernel does when it boots
//! enable   writes XCR0, and configures tiles
//! load     fills eight tiles; #NM is served as by a kernel
//! check    checks that they are unchanged
//! ```
//!
//! Exits when standard input ends, with status 0 if everything went well.

use anyhow::{bail, ensure, Context};
use std::io::{self, BufRead};
use xcomp::Feature;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, guest as does, layout, ENABLE, TILE_DATA, XFD};
use xfd_selftests::tile::content;

fn main() -> anyhow::Result<()> {
    let mut guest = None;
    for line in io::stdin().lock().lines() {
        let word = line?;
        obey(&word, &mut guest).with_context(|| word.clone())?;
        println!("done {word}");
    }
    Ok(())
}

fn obey(word: &str, guest: &mut Option<(Vm, Vcpu)>) -> anyhow::Result<()> {
    if word == "make" {
        *guest = Some(made()?);
        return Ok(());
    }
    let (_, vcpu) = guest.as_mut().context("there is no virtual CPU yet")?;
    match word {
        "show" => {
            vcpu.fd.set_cpuid2(&kvm::supported_cpuid(&kvm::open()?)?)?;
            vcpu.set_up()?;
        }
        "arm" => {
            vcpu.values(&[does::serve_nm(true), does::wrmsr(XFD, TILE_DATA)])?;
        }
        "enable" => {
            vcpu.values(&ENABLE)?;
        }
        "load" => {
            vcpu.set_tiles(&content(1))?;
            vcpu.values(&[does::load()])?;
        }
        "check" => {
            vcpu.values(&[does::check()])?;
            ensure!(vcpu.number(layout::WRONG)? == 0, "wrong tiles");
        }
        _ => bail!("no such command"),
    }
    Ok(())
}

/// A vCPU with permission, and no CPUID yet.
fn made() -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let vm = Vm::new(&kvm::open()?)?;
    let vcpu = vm.bare_vcpu(0)?;
    Ok((vm, vcpu))
}
