// SPDX-License-Identifier: GPL-2.0
//! A process that stays in user mode on one CPU, so that its registers stay in that CPU, whatever the kernel does
//! there for others. It takes orders through shared memory.
#![expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]

use crate::shared_memory::{self, Shareable};
use crate::sys::{self, End};
use crate::tile::{self, content, Tiles};
use crate::{child, cpus};
use anyhow::{bail, Context};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use xcomp::Feature;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// Check its tiles, or use some without permission.
    Look = 1,
    /// Leave the CPU for a moment, and check.
    SleepAndLook,
}

/// What the two processes share; all zero at the start.
#[repr(C)]
struct Page {
    rounds: AtomicU64,
    order: AtomicU32,
    answer: AtomicU32,
}

// SAFETY: it consists of atomics, for which any value is valid.
unsafe impl Shareable for Page {}

const RIGHT: u32 = 1;
const WRONG: u32 = 2;

/// The process.
pub struct Spinner {
    page: &'static Page,
    pid: i32,
}

impl Spinner {
    /// Starts one on `cpu`, with permission and contents `number` in its tiles, or with neither.
    ///
    /// # Errors
    ///
    /// ENOMEM, EAGAIN.
    pub fn start(cpu: usize, number: Option<u64>) -> anyhow::Result<Self> {
        let page: &Page = shared_memory::anonymous().context("shared memory")?;
        let pid = child::begin(|| spin(page, cpu, number))?;
        let spinner = Spinner { page, pid };
        spinner.has_the_cpu()?;
        Ok(spinner)
    }

    /// Waits until it has run in user mode since this was called.
    ///
    /// # Errors
    ///
    /// It has exited.
    pub fn has_the_cpu(&self) -> anyhow::Result<()> {
        let before = self.page.rounds.load(SeqCst);
        while self.page.rounds.load(SeqCst) < before + 100 {
            if let Ok((_, end)) = sys::wait(self.pid, libc::WNOHANG) {
                bail!("the spinning process: {end:?}");
            }
            cpus::give_way();
        }
        Ok(())
    }

    /// Whether it found its tiles unchanged.
    ///
    /// # Errors
    ///
    /// It has exited.
    pub fn finds_its_tiles(&self, order: Order) -> anyhow::Result<bool> {
        self.page.answer.store(0, SeqCst);
        self.page.order.store(order as u32, SeqCst);
        while self.page.answer.load(SeqCst) == 0 {
            self.has_the_cpu()?;
        }
        Ok(self.page.answer.load(SeqCst) == RIGHT)
    }

    /// How it ends when it uses a tile without permission.
    ///
    /// # Errors
    ///
    /// ECHILD.
    pub fn ends_at_a_tile(self) -> anyhow::Result<End> {
        self.page.order.store(Order::Look as u32, SeqCst);
        let (_, end) = sys::wait(self.pid, 0)?;
        std::mem::forget(self);
        Ok(end)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        sys::signal_process(self.pid, libc::SIGKILL);
        let _ = sys::wait(self.pid, 0);
    }
}

/// Makes no system call unless ordered to, and does nothing that may need one.
fn spin(page: &Page, cpu: usize, number: Option<u64>) -> anyhow::Result<()> {
    cpus::pin_to(cpu)?;
    let mut tiles = Tiles::configure();
    if let Some(number) = number {
        xcomp::request(Feature::TILE_DATA)?;
        tiles.load_all(&content(number));
    }
    loop {
        page.rounds.fetch_add(1, SeqCst);
        let order = page.order.swap(0, SeqCst);
        if order == 0 {
            std::hint::spin_loop();
            continue;
        }
        if order == Order::SleepAndLook as u32 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let Some(number) = number else {
            tiles.zero::<0>();
            return Ok(());
        };
        let right = tile::expect(&tiles.store_all(), number).is_ok();
        page.answer.store(if right { RIGHT } else { WRONG }, SeqCst);
        tiles.load_all(&content(number));
    }
}
