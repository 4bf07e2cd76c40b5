// SPDX-License-Identifier: GPL-2.0
//! Whether this kernel loads only signed modules, and whether it has refused one.

use super::finding::Finding;
use std::fs;
use std::path::Path;

const ABOUT: &str = "lockdown";
const CURE: &str =
    "sign xfd.ko with a key that this kernel trusts (make host with XFD_SIGN_KEY= and XFD_SIGN_CERT=; \
                    mokutil --import enrolls a key), or boot without Secure Boot, lockdown= and module.sig_enforce; \
                    until then the kernel's own code handles first uses";

/// Checks both, on a machine where the module is not loaded. `log` is the kernel log, if it is readable.
pub fn check(root: &Path, log: Option<&str>) -> Option<Finding> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let enforced = text("sys/module/module/parameters/sig_enforce").trim() == "Y";
    let log = log.unwrap_or_default();
    let lockdown =
        lockdown(&text("sys/kernel/security/lockdown"), log).map(|level| format!("the kernel is locked down{level}"));
    let enforced = enforced.then(|| "module.sig_enforce is set".to_owned());
    let why: Vec<_> = lockdown.into_iter().chain(enforced).collect();
    if why.is_empty() {
        return None;
    }
    let why = format!("{}, so it loads only signed modules", why.join(" and "));
    // The log does not say which module it was.
    if let Some(line) = log.lines().rev().find(|line| is_refusal(line)) {
        let what = format!("{why}; it has refused a module, which may have been xfd (kernel log: {line})");
        return Some(Finding::wrong(ABOUT, what, CURE));
    }
    let what = format!("{why}; xfd needs a signature to be loaded");
    Some(Finding { cure: Some(CURE.into()), ..Finding::note(ABOUT, what) })
}

/// The message from security/lockdown for an unsigned module, or from kernel/module/signing.c for a bad signature.
fn is_refusal(line: &str) -> bool {
    line.contains("unsigned module loading is restricted")
        || line.contains("Loading of ") && line.ends_with(" is rejected")
}

/// The lockdown level, if the kernel is locked down. The file has it in brackets; without the file, the log is used.
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
        check(root.path(), Some(log))
    }

    const LOCKDOWN: &str = "sys/kernel/security/lockdown";

    const ENFORCED: &str = "sys/module/module/parameters/sig_enforce";

    #[test]
    fn the_reason_is_named() {
        let what = |path, text, log| of(path, text, log).unwrap().what;
        assert!(what(LOCKDOWN, "none [integrity] confidentiality\n", "").contains("locked down (integrity), so"));
        assert!(what("x", "", "Kernel is locked down from command line; see\n").contains("locked down, so"));
        assert!(what(ENFORCED, "Y\n", "").starts_with("module.sig_enforce is set, so"));
        assert!(what(ENFORCED, "Y\n", "Kernel is locked down\n")
            .contains("locked down and module.sig_enforce is set, so"));
        assert!(of(LOCKDOWN, "[none] integrity confidentiality\n", "").is_none());
        assert!(of(ENFORCED, "N\n", "").is_none());
    }

    #[test]
    fn a_refusal_is_wrong() {
        let locked = "none integrity [confidentiality]\n";
        let refused = "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7\n";
        let unknown_key = "module: Loading of module with unavailable key is rejected\n";
        assert_eq!(of(LOCKDOWN, locked, "").unwrap().state, State::Note);
        assert_eq!(of(LOCKDOWN, locked, refused).unwrap().state, State::Wrong);
        assert!(of(ENFORCED, "Y\n", unknown_key).unwrap().what.contains("with unavailable key"));
        assert!(of(LOCKDOWN, "[none] integrity\n", refused).is_none());
    }
}
