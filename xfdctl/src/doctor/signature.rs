// SPDX-License-Identifier: GPL-2.0
//! Whether this kernel loads signed modules only, and whether it refused one.

use super::finding::Finding;
use std::fs;
use std::path::Path;

const ABOUT: &str = "lockdown";
const CURE: &str = "sign xfd.ko by a key that this kernel trusts (make host with XFD_SIGN_KEY= and XFD_SIGN_CERT=; mokutil --import \
                    enrols a key), or boot without Secure Boot, lockdown= and module.sig_enforce; until then the kernel's own \
                    code handles first uses";

/// Said if it does, where the module is not loaded. `log`: the kernel's, if it can be read.
pub fn look(root: &Path, log: Option<&str>) -> Option<Finding> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let enforced = text("sys/module/module/parameters/sig_enforce").trim() == "Y";
    let log = log.unwrap_or_default();
    let why = match lockdown(&text("sys/kernel/security/lockdown"), log) {
        Some(level) => format!("the kernel is locked down{level} and loads signed modules only"),
        None if enforced => "the kernel loads signed modules only (module.sig_enforce)".to_owned(),
        None => return None,
    };
    if log
        .lines()
        .any(|line| line.starts_with("Lockdown: ") && line.contains("unsigned module loading is restricted"))
    {
        let what = format!("{why}: it has refused one, which may have been xfd (kernel log: Lockdown)");
        return Some(Finding::wrong(ABOUT, what, CURE));
    }
    Some(Finding {
        cure: Some(CURE.into()),
        ..Finding::note(ABOUT, format!("{why}: xfd is not loaded without a signature"))
    })
}

/// How far the kernel is locked down, if it is: by the file, which has the level in brackets, or without it by the log.
fn lockdown(file: &str, log: &str) -> Option<String> {
    let level = file.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match level {
        Some("none") => None,
        Some(level) => Some(format!(" ({level})")),
        None => log.lines().any(|line| line.starts_with("Kernel is locked down")).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn of(path: &str, text: &str, log: &str) -> Option<Finding> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        look(root.path(), Some(log))
    }

    const LOCKDOWN: &str = "sys/kernel/security/lockdown";

    #[test]
    fn by_whom() {
        let what = |path, text, log| of(path, text, log).unwrap().what;
        assert!(what(LOCKDOWN, "none [integrity] confidentiality\n", "").contains("locked down (integrity)"));
        assert!(what("x", "", "Kernel is locked down from command line; see\n").contains("locked down and"));
        assert!(what("sys/module/module/parameters/sig_enforce", "Y\n", "").contains("sig_enforce"));
        assert!(of(LOCKDOWN, "[none] integrity confidentiality\n", "").is_none());
        assert!(of("sys/module/module/parameters/sig_enforce", "N\n", "").is_none());
    }

    #[test]
    fn what_was_refused_is_wrong() {
        let locked = "none integrity [confidentiality]\n";
        let refused = "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7\n";
        assert_eq!(of(LOCKDOWN, locked, "").unwrap().state, State::Note);
        assert_eq!(of(LOCKDOWN, locked, refused).unwrap().state, State::Wrong);
        assert!(of(LOCKDOWN, "[none] integrity\n", refused).is_none());
    }
}
