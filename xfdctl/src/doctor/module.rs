// SPDX-License-Identifier: GPL-2.0
//! The module xfd, if it is there: whether it handles first uses, and if not, why.

use super::finding::Finding;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const ABOUT: &str = "module";
const NAME: &str = "xfd";

/// All about it.
pub fn look() -> Vec<Finding> {
    let root = Path::new("/");
    let log = read_log();
    let mut findings = vec![judge(root, log.as_deref())];
    findings.extend(signed_only(root));
    findings
}

/// `log`: the kernel's, if it can be read.
fn judge(root: &Path, log: Option<&str>) -> Finding {
    let text =
        |path: &str| fs::read_to_string(root.join(path)).map(|text| text.trim().to_owned()).unwrap_or_default();
    if !root.join("sys/module").join(NAME).is_dir() {
        return absent(root, &text("proc/sys/kernel/osrelease"), log);
    }
    let version = match text("sys/module/xfd/version") {
        none if none.is_empty() => String::new(),
        version => format!(" {version}"),
    };
    if text("sys/kernel/livepatch/xfd/transition") == "1" {
        return Finding::note(
            ABOUT,
            format!(
                "xfd{version} is loaded, and taking over or giving back: a task stands where it cannot be moved yet"
            ),
        );
    }
    if text("sys/kernel/livepatch/xfd/enabled") == "1" {
        return Finding::ok(ABOUT, format!("xfd{version} handles first uses"));
    }
    match replaced_by(root) {
        Some(other) => Finding::wrong(
            ABOUT,
            format!("xfd{version} is loaded, but the cumulative livepatch {other} has replaced it: the kernel's own code serves"),
            "rmmod xfd, and load it again after the other",
        ),
        None => Finding::note(ABOUT, format!("xfd{version} is loaded and disabled: the kernel's own code serves first uses")),
    }
}

fn absent(root: &Path, release: &str, log: Option<&str>) -> Finding {
    let refused = log.and_then(|log| {
        let last = log.lines().rev().find(|line| line.starts_with("xfd: "))?;
        last.strip_prefix("xfd: not loaded: ")
    });
    if let Some(why) = refused {
        return Finding::wrong(
            ABOUT,
            format!("xfd was not loaded: {why}"),
            "see the reason; the kernel's own code serves meanwhile",
        );
    }
    let installed = releases_with_module(root);
    if installed.iter().any(|has| has == release) {
        return Finding::note(
            ABOUT,
            "xfd is installed and not loaded (modprobe xfd): the kernel's own code serves first uses",
        );
    }
    if !installed.is_empty() {
        let what = format!(
            "xfd is installed for {}, and {release} runs: the kernel's own code serves first uses",
            installed.join(", ")
        );
        return Finding { cure: Some("build it for this kernel (make host)".into()), ..Finding::note(ABOUT, what) };
    }
    Finding::note(ABOUT, "xfd is not here: the kernel's own code serves first uses")
}

/// The kernels below /lib/modules that have the module, anywhere.
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

/// Another livepatch that replaces all before it, and is enabled.
fn replaced_by(root: &Path) -> Option<String> {
    let patches = fs::read_dir(root.join("sys/kernel/livepatch")).ok()?;
    patches.filter_map(Result::ok).find_map(|patch| {
        let is = |file: &str| fs::read_to_string(patch.path().join(file)).is_ok_and(|text| text.trim() == "1");
        let name = patch.file_name().to_string_lossy().into_owned();
        (name != NAME && is("enabled") && is("replace")).then_some(name)
    })
}

/// Said if this kernel loads signed modules only.
fn signed_only(root: &Path) -> Option<Finding> {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let lockdown = text("sys/kernel/security/lockdown");
    let locked = !lockdown.is_empty() && !lockdown.contains("[none]");
    let enforced = text("sys/module/module/parameters/sig_enforce").trim() == "Y";
    let loaded = root.join("sys/module").join(NAME).is_dir();
    ((locked || enforced) && !loaded).then(|| {
        Finding::note(
            "lockdown",
            "this kernel loads signed modules only: xfd needs a signature by a key that it trusts (XFD_SIGN_KEY; mokutil --import)",
        )
    })
}

/// The kernel's log without its prefixes, one message a line; `None` if it may not be read.
fn read_log() -> Option<String> {
    let mut device: File =
        fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
    let mut log = String::new();
    let mut record = vec![0; 8192];
    loop {
        match device.read(&mut record) {
            Ok(0) => return Some(log),
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                let message = text.split_once(';').map_or("", |(_, message)| message);
                log.push_str(message.lines().next().unwrap_or_default());
                log.push('\n');
            }
            // Older ones were overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Some(log),
            Err(_) => return None,
        }
    }
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
        let finding = judge(root(files).path(), Some(log));
        (finding.state, finding.what)
    }

    const LOADED: (&str, &str) = ("sys/module/xfd/initstate", "live\n");
    const DEP: &str = "kernel/fs/ext4.ko.xz:\nupdates/xfd.ko.xz:\n";

    #[test]
    fn not_loaded() {
        assert_eq!(of(&[], "").0, State::Note);
        assert_eq!(of(&[("lib/modules/7.3.4/modules.dep", DEP)], "").0, State::Note);
        let (state, what) = of(&[("lib/modules/7.2.1/modules.dep", DEP)], "");
        assert_eq!((state, what.contains("for 7.2.1, and 7.3.4 runs")), (State::Note, true));
        assert_eq!(of(&[("lib/modules/7.2.1/modules.dep", "x/not_xfd.ko:\nx/xfdx.ko:\n")], "").0, State::Note);
    }

    #[test]
    fn the_reason_of_a_refusal_is_the_kernels() {
        let log = "a\nxfd: not loaded: this CPU has no XFD\nb\n";
        let (state, what) = of(&[], log);
        assert_eq!((state, what.as_str()), (State::Wrong, "xfd was not loaded: this CPU has no XFD"));
        // It was loaded since, and removed.
        assert_eq!(of(&[], &format!("{log}xfd: first uses are handled here\n")).0, State::Note);
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
        assert_eq!(of(&[LOADED, enabled, other[0], other[1]], "").0, State::Ok);
    }

    #[test]
    fn signed_modules_only() {
        let locked = ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        assert!(signed_only(root(&[locked]).path()).is_some());
        assert!(signed_only(root(&[locked, LOADED]).path()).is_none());
        assert!(signed_only(root(&[("sys/kernel/security/lockdown", "[none] integrity\n")]).path()).is_none());
        assert!(signed_only(root(&[("sys/module/module/parameters/sig_enforce", "Y\n")]).path()).is_some());
    }
}
