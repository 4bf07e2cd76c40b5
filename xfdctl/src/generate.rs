// SPDX-License-Identifier: GPL-2.0
//! A package's man pages and completions, generated from the command-line definition.

use crate::cli::Arguments;
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

/// Writes man pages and completions to `folder`; returns the exit status.
///
/// # Errors
///
/// Fails if a file cannot be written.
pub fn all(folder: &Path) -> anyhow::Result<u8> {
    let cannot = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut command = Arguments::command();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "xfdctl", folder).with_context(cannot)?;
    }
    clap_mangen::generate_to(command, folder).with_context(cannot)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_completions() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(all(&folder.path().join("new")).unwrap(), 0);
        let text = |name: &str| std::fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        assert!(text("xfdctl.1").contains("xfdctl\\-doctor"));
        assert!(text("xfdctl-doctor.1").contains("Exit status: 0 if nothing is wrong"));
        for (watch, option) in [("status", "interval"), ("top", "sort"), ("metrics", "output")] {
            let page = text(&format!("xfdctl-{watch}.1"));
            assert!(page.contains(option) && page.contains("Exit status: 0") && !page.contains("root <"), "{page}");
            assert!(text("xfdctl.bash").contains(watch));
        }
        for (command, status) in [
            ("trace", "126 or 127 if it cannot be run"),
            ("record", "the record is complete"),
            ("report", "1 if it was cut short"),
        ] {
            assert!(text(&format!("xfdctl-{command}.1")).contains(status), "{command}");
            assert!(text("xfdctl.bash").contains(command) && text("_xfdctl").contains(command), "{command}");
        }
        assert!(text("xfdctl.bash").contains("doctor") && text("_xfdctl").contains("doctor"));
        assert!(text("xfdctl.fish").contains("doctor"));
    }
}
