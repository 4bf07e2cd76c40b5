// SPDX-License-Identifier: GPL-2.0
//! The xfd module: whether it handles first uses, and if not, why.

use super::finding::Finding;
use super::signature;
use crate::module::counters::Counters;
use crate::module::{self, Module, DEBUGFS, NAME};
use crate::proc;
use std::fs;
use std::path::Path;

const ABOUT: &str = "module";

/// Checks the module. `gives_tiles` says whether the machine grants tiles. `log` is the kernel log, if it is readable.
pub fn check(log: Option<&str>, gives_tiles: bool) -> Vec<Finding> {
    let root = Path::new("/");
    let mut findings = vec![judge(root, log, gives_tiles)];
    if gives_tiles && !module::is_loaded(root) {
        findings.extend(signature::check(root, log));
    }
    findings
}

fn judge(root: &Path, log: Option<&str>, gives_tiles: bool) -> Finding {
    let Some(module) = Module::read(root) else {
        return absent(root, &proc::kernel_release(root), log);
    };
    if module::is_built_in(root) {
        return built_in(root, &module, log, gives_tiles);
    }
    let version = module.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    if module.transition {
        return Finding::note(
            ABOUT,
            format!(
                "xfd{version} is loaded and in transition, taking over or giving back: it waits for a task that \
                 cannot be moved yet (/proc/PID/patch_state)"
            ),
        );
    }
    if module.enabled {
        let what = format!("xfd{version} handles first uses of tiles");
        return in_charge(&what, module::counters(root).ok().flatten(), "xfdctl status");
    }
    match replaced_by(root) {
        Some(other) => Finding::wrong(
            ABOUT,
            format!(
                "xfd{version} is loaded but only partly in charge: the cumulative livepatch {other} has replaced its \
                 functions, so exec and virtual CPUs go to the kernel's own code"
            ),
            "load it again, which does not disturb the other one: rmmod xfd, then modprobe xfd",
        ),
        None => Finding::note(
            ABOUT,
            format!(
                "xfd{version} is loaded but disabled: the kernel's own code handles first uses; rmmod xfd, then \
                 modprobe xfd, puts it in charge"
            ),
        ),
    }
}

/// `place` is where the counters are shown.
fn in_charge(what: &str, counters: Option<Counters>, place: &str) -> Finding {
    let Some(counters) = counters else { return Finding::ok(ABOUT, what) };
    let [served, denied, repeated] = ["first_uses", "denied", "repeated"].map(|name| counters.get(name));
    if repeated > 0 {
        return Finding::wrong(
            ABOUT,
            format!("{what}, and {repeated} came from threads that already had a buffer: a bug in xfd"),
            format!("report it, with the numbers of {place} and the kernel log"),
        );
    }
    Finding::ok(ABOUT, format!("{what}: {served} so far, and {denied} denied ({place})"))
}

/// The same code as a part of the kernel. Its parameter decides who is in charge, unless it refused when the kernel
/// booted: then the log has the reason, and the parameter no effect.
fn built_in(root: &Path, module: &Module, log: Option<&str>, gives_tiles: bool) -> Finding {
    const REFUSED: &str = "xfd: the C code stays in charge: ";
    if let Some(why) = log.and_then(|log| log.lines().find_map(|line| line.strip_prefix(REFUSED))) {
        return Finding::wrong(
            ABOUT,
            format!("xfd is built into this kernel, but the kernel's C code handles first uses: {why}"),
            "report it, with the kernel log, to whoever built the kernel, unless it only lacked memory",
        );
    }
    if !gives_tiles {
        return Finding::note(ABOUT, "xfd is built into this kernel, and has no tiles to handle: see above");
    }
    if module.parameters.get("enable").is_some_and(|enable| enable == "N") {
        return Finding::note(
            ABOUT,
            "xfd is built into this kernel but switched off: the kernel's C code handles first uses; echo Y \
             >/sys/module/xfd/parameters/enable, as root, switches it on at once",
        );
    }
    let what = "xfd is built into this kernel and handles first uses of tiles";
    in_charge(what, module::debug_counters(root), DEBUGFS)
}

fn absent(root: &Path, release: &str, log: Option<&str>) -> Finding {
    if let Some((what, cure)) = log.and_then(last_refusal) {
        return Finding::wrong(ABOUT, what, cure);
    }
    let installed = releases_with_module(root);
    if installed.iter().any(|has| has == release) {
        return Finding::note(
            ABOUT,
            "xfd is installed but not loaded: the kernel's own code handles first uses; modprobe xfd loads it",
        );
    }
    if !installed.is_empty() {
        let what = format!(
            "xfd is installed for {}, but this kernel is {release}: its own code handles first uses",
            installed.join(", ")
        );
        return Finding { cure: Some(REBUILD.into()), ..Finding::note(ABOUT, what) };
    }
    Finding::note(ABOUT, "xfd is not installed, and not needed: the kernel's own code handles first uses of tiles")
}

const REBUILD: &str = "build and install it for the running kernel (make host)";

/// Why the module was not loaded, and what to do, if that is the last message about it in the log. It comes from the
/// module, with what to do after a semicolon, or from the kernel (kernel/module).
fn last_refusal(log: &str) -> Option<(String, String)> {
    // A module that taints the kernel is nevertheless loaded.
    let is_remark = |text: &str| text.contains("taint");
    let last = log.lines().rev().filter_map(|line| line.strip_prefix("xfd: ")).find(|text| !is_remark(text))?;
    if let Some(why) = last.strip_prefix("not loaded: ") {
        let (why, cure) = why.rsplit_once("; ").unwrap_or((why, "see the lines above this one in the kernel log"));
        return Some((format!("xfd was not loaded: {why}"), cure.into()));
    }
    let of_another_kernel = ["version magic", "disagrees about version", "Unknown symbol"];
    if !of_another_kernel.iter().any(|text| last.contains(text)) {
        return None;
    }
    Some((format!("xfd was not loaded; the kernel's reason: {last}"), REBUILD.into()))
}

/// The releases in `/lib/modules` that have the module.
fn releases_with_module(root: &Path) -> Vec<String> {
    let Ok(releases) = fs::read_dir(root.join("lib/modules")) else { return Vec::new() };
    let mut found: Vec<_> = releases
        .filter_map(|release| {
            let release = release.ok()?;
            let names = fs::read_to_string(release.path().join("modules.dep")).ok()?;
            let is_it = |line: &str| {
                let file = line.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
                file.split('.').next() == Some(NAME)
            };
            names.lines().any(is_it).then(|| release.file_name().to_string_lossy().into_owned())
        })
        .collect();
    found.sort();
    found
}

/// An enabled livepatch that replaces all earlier ones.
fn replaced_by(root: &Path) -> Option<String> {
    let patches = fs::read_dir(root.join("sys/kernel/livepatch")).ok()?;
    patches.filter_map(Result::ok).find_map(|patch| {
        let is = |file: &str| fs::read_to_string(patch.path().join(file)).is_ok_and(|text| text.trim() == "1");
        let name = patch.file_name().to_string_lossy().into_owned();
        (name != NAME && is("enabled") && is("replace")).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use tempfile::TempDir;

    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let release = ("proc/sys/kernel/osrelease", "7.3.4");
        for (path, text) in files.iter().chain([&release]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn of(files: &[(&str, &str)], log: &str) -> (State, String) {
        let finding = judge(root(files).path(), Some(log), true);
        (finding.state, finding.what)
    }

    const LOADED: (&str, &str) = ("sys/module/xfd/initstate", "live\n");
    const DEP: &str = "kernel/fs/ext4.ko.xz:\nupdates/xfd.ko.xz:\n";

    #[test]
    fn not_loaded() {
        assert_eq!(of(&[], "").0, State::Note);
        assert_eq!(of(&[("lib/modules/7.3.4/modules.dep", DEP)], "").0, State::Note);
        let (state, what) = of(&[("lib/modules/7.2.1/modules.dep", DEP)], "");
        assert_eq!((state, what.contains("for 7.2.1, but this kernel is 7.3.4")), (State::Note, true));
        assert_eq!(of(&[("lib/modules/7.2.1/modules.dep", "x/not_xfd.ko:\nx/xfdx.ko:\n")], "").0, State::Note);
    }

    #[test]
    fn the_reason_comes_from_the_log() {
        let log = "a\nxfd: not loaded: this CPU has no XFD (x); it needs another\nb\n";
        let finding = judge(root(&[]).path(), Some(log), true);
        assert_eq!(finding, Finding::wrong(ABOUT, "xfd was not loaded: this CPU has no XFD (x)", "it needs another"));
        // It has since been loaded and removed.
        assert_eq!(of(&[], &format!("{log}xfd: first uses are handled here\n")).0, State::Note);
    }

    #[test]
    fn the_kernel_itself_refuses() {
        let cure = |text| {
            last_refusal(&format!("xfd: {text}\nxfd: loading out-of-tree module taints kernel.\n"))
                .map(|(_, cure)| cure)
        };
        assert_eq!(cure("version magic '7.2' should be '7.3'").as_deref(), Some(REBUILD));
        assert_eq!(cure("Unknown symbol klp_enable_patch (err -2)").as_deref(), Some(REBUILD));
        assert_eq!(cure("handles first uses"), None);
    }

    #[test]
    fn counters_are_reported() {
        let enabled = ("sys/kernel/livepatch/xfd/enabled", "1\n");
        let counted = |text| of(&[LOADED, enabled, ("proc/xfd/counters", text)], "");
        let (state, what) = counted("first_uses 5\ndenied 2\nrepeated 0\n");
        assert_eq!((state, what.contains("5 so far, and 2 denied")), (State::Ok, true), "{what}");
        assert_eq!(counted("first_uses 5\nrepeated 1\n").0, State::Wrong);
        assert_eq!(counted("what is this\n").0, State::Ok);
    }

    #[test]
    fn loaded() {
        let enabled = ("sys/kernel/livepatch/xfd/enabled", "1\n");
        let disabled = ("sys/kernel/livepatch/xfd/enabled", "0\n");
        let transition = ("sys/kernel/livepatch/xfd/transition", "1\n");
        let other = [("sys/kernel/livepatch/kpatch/enabled", "1\n"), ("sys/kernel/livepatch/kpatch/replace", "1\n")];
        assert_eq!(of(&[LOADED, enabled], "").0, State::Ok);
        assert_eq!(of(&[LOADED, enabled, transition], "").0, State::Note);
        assert_eq!(of(&[LOADED, disabled], "").0, State::Note);
        let (state, what) = of(&[LOADED, disabled, other[0], other[1]], "");
        assert_eq!((state, what.contains("livepatch kpatch")), (State::Wrong, true));
        assert_eq!(of(&[LOADED, other[0], other[1]], "").0, State::Wrong);
        assert_eq!(of(&[LOADED, enabled, other[0], other[1]], "").0, State::Ok);
    }

    #[test]
    fn built_into_the_kernel() {
        let enabled = ("sys/module/xfd/parameters/enable", "Y\n");
        let what = "xfd is built into this kernel and handles first uses of tiles";
        assert_eq!(of(&[enabled], ""), (State::Ok, what.into()));
        let debugfs = |repeated| {
            let path = |name| format!("sys/kernel/debug/xfd/{name}");
            let files = [(path("first_uses"), "5\n"), (path("denied"), "2\n"), (path("repeated"), repeated)];
            let files = files.iter().map(|(path, text)| (path.as_str(), *text)).chain([enabled]);
            of(&files.collect::<Vec<_>>(), "")
        };
        assert_eq!(debugfs("0\n"), (State::Ok, format!("{what}: 5 so far, and 2 denied (/sys/kernel/debug/xfd)")));
        assert_eq!(debugfs("1\n").0, State::Wrong);
        let (state, off) = of(&[("sys/module/xfd/parameters/enable", "N\n")], "");
        assert_eq!((state, off.contains("switched off") && off.contains("echo Y")), (State::Note, true), "{off}");
        let refused = "xfd: the C code stays in charge: no memory for the pool; boot with more\n";
        assert_eq!(of(&[enabled], refused).0, State::Wrong);
        let no_tiles = judge(root(&[enabled]).path(), None, false);
        assert_eq!((no_tiles.state, no_tiles.what.contains("see above")), (State::Note, true));
        // A module with such a parameter is a module.
        let (state, loaded) = of(&[LOADED, enabled], "");
        assert_eq!((state, loaded.contains("loaded but disabled")), (State::Note, true), "{loaded}");
    }
}
