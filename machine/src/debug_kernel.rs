// SPDX-License-Identifier: GPL-2.0
//! The debug kernel: the source of the stock kernel with all that finds mistakes, as small as the suite allows.
//! clang builds it: Rust and KASAN do not go together with gcc.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};

use crate::cache::Cache;
use crate::child::Log;
use crate::kconfig::{self, Config};
use crate::kernel::{self, Kernel, INSIDE};
use crate::key::Key;
use crate::progress::Step;
use crate::recipe;
use crate::toolroot::Toolroot;

const FETCH: &str = include_str!("../steps/debug-fetch.sh");
const BUILD: &str = include_str!("../steps/debug-build.sh");

/// Builds the kernel, unless it is there: the version of `stock`, configured by `fragment`.
///
/// # Errors
///
/// The archive no longer has the source; an option of the fragment cannot be had; no network; no space.
pub fn prepare(
    cache: &Cache,
    root: &Toolroot,
    stock: &Kernel,
    recipe: &recipe::DebugKernel,
    fragment: &Path,
) -> Result<Kernel> {
    let key = Key::new()
        .add("toolroot", root.key())
        .add("steps", [FETCH, BUILD].concat())
        .add("stock", stock.release())
        .add("llvm", &recipe.llvm)
        .file("fragment", fragment)?
        .finish();
    let piece = cache.piece("kernel-debug", &key, |dir| make(cache, root, stock, recipe, fragment, dir))?;
    Kernel::of(piece, key, "-debug", vec![format!("LLVM={}", recipe.llvm)])
}

fn make(
    cache: &Cache,
    root: &Toolroot,
    stock: &Kernel,
    recipe: &recipe::DebugKernel,
    fragment: &Path,
    dir: &Path,
) -> Result<()> {
    let step = Step::start("debug kernel", "downloading and unpacking the source");
    let log = Log::create(cache.log("kernel-debug"))?;
    root.update_apt(cache, &log)?;
    let (source, version) = kernel::source_of(root, &log, stock.release())?;
    fs::copy(fragment, dir.join("fragment"))?;
    let mut fetch = root.inside().write(dir, INSIDE).script(FETCH, &[&source, &version, &recipe.llvm]);
    log.run("fetching the kernel's source", &mut fetch)?;

    let read = |path: &Path| -> Result<Config> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(kconfig::parse(&text))
    };
    let lost = kconfig::lost(&read(fragment)?, &read(&dir.join("tree/.config"))?);
    if !lost.is_empty() {
        bail!("the debug kernel cannot have these options of {}: {}", fragment.display(), lost.join(", "));
    }
    step.now(&format!("building {source} {version} with KASAN and lockdep (half an hour)"));
    let jobs = crate::jobs().to_string();
    let mut build = root.inside().write(dir, INSIDE).script(BUILD, &[&recipe.llvm, &jobs]);
    log.run("building the debug kernel", &mut build)?;
    step.done();
    Ok(())
}
