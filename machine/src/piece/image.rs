// SPDX-License-Identifier: GPL-2.0
//! Builds the boot image: an ISO with GRUB, kernel, initramfs and kernel command line. Also fills in the emulator's
//! configuration.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Result};

use crate::piece::initramfs::Initramfs;
use crate::piece::kernel::Kernel;
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;

const STEP: &str = include_str!("../../steps/image.sh");

/// Only warnings and worse go to the console, which is slow; the kernel log has everything. An Oops ends the boot.
const CMDLINE: &str = "console=ttyS0,115200 loglevel=5 oops=panic panic=0";

/// The longest `cmdline` in bytes. The kernel reads 2047 bytes, including [`CMDLINE`] and what GRUB adds.
const LONGEST: usize = 1900;

/// A boot image.
pub struct Image {
    piece: Piece,
}

impl Image {
    /// Builds the image called `name`, unless it is up to date. `cmdline` is added to the kernel's command line.
    pub fn prepare(
        cache: &Cache,
        root: &Toolroot,
        kernel: &Kernel,
        name: &str,
        files: &Initramfs,
        cmdline: &str,
    ) -> Result<Image> {
        let menu = menu(cmdline)?;
        let key = Key::new()
            .add("toolroot", root.key())
            .add("step", STEP)
            .add("kernel", kernel.key())
            .add("files", files.key())
            .add("menu", &menu)
            .finish();
        let piece = cache.piece(&format!("image-{name}"), &key, |dir| {
            let boot = dir.join("iso/boot");
            fs::create_dir_all(boot.join("grub"))?;
            fs::copy(kernel.image(), boot.join("vmlinuz"))?;
            files.write(&boot.join("initramfs"))?;
            fs::write(boot.join("grub/grub.cfg"), &menu)?;
            let log = Log::create(cache.log(&format!("image-{name}")))?;
            log.run("grub-mkrescue", &mut root.inside().write(dir, "/xfd/image").script(STEP, &[]))
        })?;
        Ok(Image { piece })
    }

    /// The ISO.
    pub fn iso(&self) -> PathBuf {
        self.piece.path().join("boot.iso")
    }
}

fn menu(cmdline: &str) -> Result<String> {
    let words: Vec<_> = words(cmdline)?.iter().map(|word| format!("'{word}'")).collect();
    let words = words.join(" ");
    Ok(format!("set timeout=0\nlinux /boot/vmlinuz {CMDLINE} {words}\ninitrd /boot/initramfs\nboot\n"))
}

/// Splits a kernel command line as the kernel does: at white space outside double quotes. GRUB puts double quotes
/// around a word with a space again.
///
/// # Errors
///
/// It cannot be passed on unchanged: it has a control character, an unclosed quote, more bytes than the kernel reads,
/// or a character that GRUB would put a backslash before.
pub fn words(cmdline: &str) -> Result<Vec<String>> {
    if let Some(c) = cmdline.chars().find(|&c| c.is_control() && c != '\t') {
        anyhow::bail!("the kernel's command line cannot contain the character {c:?}");
    }
    if let Some(c) = cmdline.chars().find(|&c| c == '\\' || c == '\'') {
        anyhow::bail!(
            "GRUB cannot pass on the character {c} in the kernel's command line; use double quotes to quote"
        );
    }
    ensure!(cmdline.matches('"').count() % 2 == 0, "the kernel's command line has a double quote that is not closed");
    ensure!(cmdline.len() <= LONGEST, "the kernel's command line is longer than {LONGEST} bytes");
    let mut quoted = false;
    let words = cmdline.split(|c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    });
    Ok(words.map(|word| word.replace('"', "")).filter(|word| !word.is_empty()).collect())
}

/// Fills in the template of the emulator's configuration.
///
/// # Errors
///
/// The template has an unknown placeholder.
pub fn bochsrc(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let unknown = text.lines().filter(|l| !l.starts_with('#')).find(|l| l.split('@').count() > 2);
    match unknown {
        Some(line) => anyhow::bail!("bochsrc.in has a placeholder that the runner does not know: {line}"),
        None => Ok(text),
    }
}

/// Reads the template from the emulator's folder.
pub fn template(bochs: &Path) -> Result<String> {
    let path = bochs.join("bochsrc.in");
    fs::read_to_string(&path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_placeholders_must_be_known() {
        let template = "# @NAME@ is replaced\ncpu: count=@CPUS@\n";
        assert_eq!(bochsrc(template, &[("CPUS", "2")]).unwrap(), "# @NAME@ is replaced\ncpu: count=2\n");
        assert!(bochsrc("x: @OTHER@\n", &[("CPUS", "2")]).is_err());
    }

    #[test]
    fn the_menu_boots_at_once_with_the_extra_arguments() {
        let menu = menu("nokprobes").unwrap();
        assert!(menu.starts_with("set timeout=0\n") && menu.contains(" 'nokprobes'\n"), "{menu}");
    }

    #[test]
    fn words_are_split_as_by_the_kernel_and_survive_grub() {
        let words = |cmdline| words(cmdline).unwrap();
        assert_eq!(words(" a=1;  $b `c`\t{d} "), ["a=1;", "$b", "`c`", "{d}"]);
        assert_eq!(words(r#"dyndbg="file x +p" y"#), ["dyndbg=file x +p", "y"]);
        assert_eq!(words(r#""e=f  g" """#), ["e=f  g"]);
        assert!(words("").is_empty());
        // Single quotes in GRUB's script work as in the shell.
        let odd = r#"a=1;x $HOME "`b` && c" {d} #e <f >g |h !i *"#;
        let menu = menu(odd).unwrap();
        let line = menu.lines().find_map(|line| line.strip_prefix("linux ")).unwrap();
        let script = format!("printf '%s\\n' {line}");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let given: Vec<_> = output.lines().skip(1 + CMDLINE.split(' ').count()).collect();
        assert_eq!(given, ["a=1;x", "$HOME", "`b` && c", "{d}", "#e", "<f", ">g", "|h", "!i", "*"]);
    }

    #[test]
    fn a_command_line_that_would_be_changed_is_refused() {
        for cmdline in ["a\nb", "a\0b", "it's", "a\\b", "a=\"b", "a\u{1b}", &"a ".repeat(1000)] {
            let error = menu(cmdline).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
