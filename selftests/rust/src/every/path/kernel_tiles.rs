// SPDX-License-Identifier: GPL-2.0
//! Tiles in the kernel: samples/kernel_tiles multiplies in the context of a process with live tiles.

use super::{live, Path, Prepared, Start};
use crate::every::kind::Kinds;
use crate::machine;
use crate::tile::{expect, Tiles};
use anyhow::{ensure, Context};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::Write;

pub(super) const PATHS: &[Path] = &[
    Path::new(
        "kernel_tiles_begin",
        "xfd_kernel_tiles_begin() in a process with live tiles",
        Start::Function("xfd_kernel_tiles_begin"),
        |_, _| KernelTiles::prepare(),
    )
    .by(Kinds::USUAL)
    .needs(SAMPLE),
    Path::new(
        "kernel_tiles_end",
        "xfd_kernel_tiles_end()",
        Start::Function("xfd_kernel_tiles_end"),
        |_, _| KernelTiles::prepare(),
    )
    .by(Kinds::USUAL)
    .needs(SAMPLE),
];

const SAMPLE: &str = "/lib/kernel_tiles.ko";
const FILE: &str = "/proc/xfd_kernel_tiles";

/// Unloads the sample, if loaded, since it pins the module.
pub fn put_back() -> anyhow::Result<()> {
    match rustix::system::delete_module(c"kernel_tiles", libc::O_NONBLOCK) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context("removing kernel_tiles"),
    }
}

struct KernelTiles {
    tiles: Tiles,
    file: File,
    result: Option<std::io::Result<()>>,
}

impl KernelTiles {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        machine::load(SAMPLE, c"")?;
        let file = OpenOptions::new().write(true).open(FILE).context(FILE)?;
        Ok(Box::new(KernelTiles {
            tiles: live(19)?,
            file,
            result: None,
        }))
    }
}

impl Prepared for KernelTiles {
    fn take(&mut self) {
        self.result = Some(self.file.write_all(b"1"));
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        let product = self.result.take().context("not taken")?;
        ensure!(product.is_ok(), "the kernel's product: {product:?}");
        expect(&self.tiles.store_all(), 19)
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }
}
