// SPDX-License-Identifier: GPL-2.0
//! Checks that the built-in kernel links: Rust exports each function that the hooks of `upstream/linux-rust` declare. The
//! module does not need all of these exports, and `make check-builtin` takes a while.

mod sources;

use sources::sources;
use std::fs;
use std::path::Path;

/// The functions that the header in the patch declares.
fn declared() -> Vec<String> {
    let patches = sources(Path::new("../upstream/linux-rust")).into_iter();
    let patches = patches.filter(|file| file.extension().is_some_and(|of| of == "patch"));
    let text: String = patches.map(|file| fs::read_to_string(file).unwrap()).collect();
    let prototypes =
        text.lines().filter(|line| line.starts_with("+") && line.ends_with(");") && !line.contains('\t'));
    let name = |line: &str| Some(line.split_once("(")?.0.rsplit_once(' ')?.1.trim_start_matches('*').to_owned());
    prototypes.filter_map(name).filter(|name| name.starts_with("xfd_")).collect()
}

/// The functions that Rust exports.
fn exported() -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(Path::new("../rust/xfd")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let mut lines = text.lines();
        while lines.by_ref().any(|line| line == "#[no_mangle]") {
            let function = lines.by_ref().find_map(|line| line.split_once("fn "));
            found.extend(function.and_then(|(_, rest)| rest.split('(').next()).map(str::to_owned));
        }
    }
    found
}

#[test]
fn rust_exports_what_the_hooks_call() {
    let (declared, exported) = (declared(), exported());
    assert!(declared.len() > 6, "{declared:?}");
    let missing: Vec<_> = declared.iter().filter(|name| !exported.contains(name)).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
}
