// SPDX-License-Identifier: GPL-2.0
//! Tells the tests whether promtool is installed. A test that needs it is otherwise skipped.

use std::path::Path;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(has_promtool)");
    println!("cargo:rerun-if-env-changed=PATH");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let promtool = std::env::split_paths(&folders).map(|folder| folder.join("promtool")).find(|path| path.is_file());
    // Build again if it is removed, or installed where Debian's package puts it.
    println!("cargo:rerun-if-changed={}", promtool.as_deref().unwrap_or(Path::new("/usr/bin")).display());
    if promtool.is_some() {
        println!("cargo:rustc-cfg=has_promtool");
    }
}
