// SPDX-License-Identifier: GPL-2.0
//! The boot image: GRUB, kernel, initramfs and kernel command line on an ISO.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::piece::initramfs::Initramfs;
use crate::piece::kernel::Kernel;
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;

const STEP: &str = include_str!("../../steps/image.sh");

/// Warnings and worse go to the console, which is slow; the kernel log has all. An Oops ends the boot.
const CMDLINE: &str = "console=ttyS0,115200 loglevel=5 oops=panic panic=0";

/// A boot image.
pub struct Image {
    piece: Piece,
}

impl Image {
    /// Makes the image called `name`, unless it is there with the same content. `cmdline` is added to the
    /// kernel's command line.
    pub fn prepare(
        cache: &Cache,
        root: &Toolroot,
        kernel: &Kernel,
        name: &str,
        files: &Initramfs,
        cmdline: &str,
    ) -> Result<Image> {
        let key = Key::new()
            .add("toolroot", root.key())
            .add("step", STEP)
            .add("kernel", kernel.key())
            .add("files", files.key())
            .add("cmdline", [CMDLINE, " ", cmdline].concat())
            .finish();
        let piece = cache.piece(&format!("image-{name}"), &key, |dir| {
            let boot = dir.join("iso/boot");
            fs::create_dir_all(boot.join("grub"))?;
            fs::copy(kernel.image(), boot.join("vmlinuz"))?;
            files.write(&boot.join("initramfs"))?;
            fs::write(boot.join("grub/grub.cfg"), menu(cmdline))?;
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

fn menu(cmdline: &str) -> String {
    format!("set timeout=0\nlinux /boot/vmlinuz {CMDLINE} {cmdline}\ninitrd /boot/initramfs\nboot\n")
}

/// The emulator's configuration from its template.
///
/// # Errors
///
/// A placeholder of the template is not known.
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

/// The template in the emulator's folder.
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
        let menu = menu("nokprobes");
        assert!(menu.starts_with("set timeout=0\n") && menu.contains(" nokprobes\n"), "{menu}");
    }
}
