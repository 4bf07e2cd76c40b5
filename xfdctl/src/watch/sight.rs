// SPDX-License-Identifier: GPL-2.0
//! Whose threads `/proc/xfd/tasks` shows to this process.

use serde::Serialize;
use std::fs;
use std::path::Path;

/// `CAP_SYS_PTRACE` in a capability mask.
const PTRACE: u64 = 1 << 19;
/// The inodes of the initial namespaces (`PROC_USER_INIT_INO`, `PROC_PID_INIT_INO`).
const INITIAL: [(&str, &str); 2] = [("user", "user:[4026531837]"), ("pid", "pid:[4026531836]")];

/// The threads visible to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// All threads.
    All,
    /// The threads of its own user.
    Own,
    /// The threads in its container.
    Namespace,
}

impl Sight {
    /// What this process can see.
    pub fn read(root: &Path) -> Self {
        let own = root.join("proc/self");
        let status = fs::read_to_string(own.join("status")).unwrap_or_default();
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
        if u64::from_str_radix(capabilities.trim(), 16).unwrap_or(0) & PTRACE == 0 {
            return Self::Own;
        }
        let is_initial = |(name, initial): (&str, &str)| {
            fs::read_link(own.join("ns").join(name)).is_ok_and(|link| link.as_os_str() == initial)
        };
        if INITIAL.into_iter().all(is_initial) {
            Self::All
        } else {
            Self::Namespace
        }
    }

    /// A line to print if that does not include all threads.
    pub fn remark(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Own => Some("Only your own threads are shown: root (CAP_SYS_PTRACE) sees all."),
            Self::Namespace => Some("Only threads of this container are shown: root of the host sees all."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn of(capabilities: &str, user: &str, pid: &str) -> Sight {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("proc/self");
        fs::create_dir_all(own.join("ns")).unwrap();
        fs::write(own.join("status"), format!("Name:\ta\nCapEff:\t{capabilities}\n")).unwrap();
        symlink(user, own.join("ns/user")).unwrap();
        symlink(pid, own.join("ns/pid")).unwrap();
        Sight::read(root.path())
    }

    #[test]
    fn who_sees_what() {
        let [(_, user), (_, pid)] = INITIAL;
        assert_eq!(of("000001ffffffffff", user, pid), Sight::All);
        assert_eq!(of("0000000000080000", user, pid), Sight::All);
        assert_eq!(of("0000000000000000", user, pid), Sight::Own);
        assert_eq!(of("000001fffff7ffff", user, pid), Sight::Own);
        assert_eq!(of("000001ffffffffff", "user:[4026532000]", pid), Sight::Namespace);
        assert_eq!(of("000001ffffffffff", user, "pid:[4026532000]"), Sight::Namespace);
        assert_eq!(Sight::read(Path::new("/nowhere")), Sight::Own);
    }
}
