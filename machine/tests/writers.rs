// SPDX-License-Identifier: GPL-2.0
//! Checks that one file of the module writes the MSRs of XFD, and that one file decides when. A write elsewhere would
//! not need the proof of who owns the registers (rust/xfd/buffer/registers.rs).

mod sources;

use sources::sources;
use std::fs;
use std::path::Path;

/// The files that have `word` in their code, and how often. Comments do not count.
fn with(word: &str) -> Vec<(String, usize)> {
    let root = Path::new("../rust/xfd");
    let mut found = Vec::new();
    for file in [root, Path::new("../samples"), Path::new("../include")].into_iter().flat_map(sources) {
        let is_source = file.extension().is_some_and(|of| ["rs", "c", "h", "S"].iter().any(|known| of == *known));
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let is_comment =
            |line: &&str| ["//", "/*", "* ", "*/"].iter().any(|start| line.trim_start().starts_with(start));
        let code = text.lines().filter(|line| !is_comment(line));
        let times = code.map(|line| line.split("//").next().unwrap_or(line).matches(word).count()).sum();
        if is_source && times > 0 {
            found.push((file.strip_prefix(root).unwrap_or(&file).display().to_string(), times));
        }
    }
    found.sort();
    found
}

/// The same as `with`, as it is written below.
fn files(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(file, times)| ((*file).to_owned(), *times)).collect()
}

#[test]
fn one_file_writes_the_msrs() {
    assert_eq!(with("wrmsr"), files(&[("cpu/msr.rs", 1)]));
    // Its definition and its only caller, which needs an `Owned`.
    assert_eq!(with("write_xfd("), files(&[("buffer/registers.rs", 1), ("cpu/msr.rs", 1)]));
    assert_eq!(with("clear_xfd_err("), files(&[("cpu/msr.rs", 1), ("first_use/nm_handler.rs", 1)]));
}

#[test]
fn one_file_writes_the_copy() {
    assert_eq!(with("xfd_state.set("), files(&[("buffer/registers.rs", 2)]));
    let others: Vec<_> = with("xfd_state").into_iter().map(|(file, _)| file).collect();
    // kernel.rs finds its address; sync_xfd_state() is called after a resume.
    assert_eq!(others, ["buffer/registers.rs", "buffer/resume.rs", "seam/kernel.rs"]);
    // The kernel's own writers are not called.
    assert_eq!(with("xfd_set_state"), []);
    assert_eq!(with("xfd_update_state"), []);
}
