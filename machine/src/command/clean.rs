// SPDX-License-Identifier: GPL-2.0
//! `machine clean`: removes components, lists them, or checks them for damage.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{bail, Result};

use crate::boot::verdict;
use crate::piece::project::Project;
use crate::workshop::cache::Stored;
use crate::workshop::manifest::{damage, How, Which};
use crate::workshop::{bytes, Usage};

/// The names the user gives to kinds of components, and the prefixes of the stored names they stand for.
const FAMILIES: [(&str, &[&str]); 9] = [
    ("toolchain", &["toolroot-"]),
    ("kernel", &["kernel-"]),
    ("emulator", &["emulator"]),
    ("module", &["module-", "build/module-", "build/module-faults-"]),
    ("programs", &["programs-", "software", "tracers", "build/cargo-guest"]),
    ("packages", &["packages-", "installed-"]),
    ("images", &["image-"]),
    ("states", &["state-"]),
    ("logs", &["log"]),
];

/// Whether `asked` means `stored`: `asked` is its family, or its name.
fn is_meant(stored: &str, asked: &str) -> bool {
    let prefixes = FAMILIES.iter().find(|(family, _)| *family == asked).map_or(&[][..], |(_, prefixes)| *prefixes);
    let begins = |prefix: &&str| match prefix.ends_with('-') {
        true => stored.starts_with(*prefix),
        false => stored == *prefix || stored.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with('-')),
    };
    stored == asked || prefixes.iter().any(begins)
}

/// The part of `stored` that was asked for, or all of it if nothing was.
///
/// # Errors
///
/// There is no component of that name.
fn chosen(stored: Vec<Stored>, asked: &[String]) -> Result<Vec<Stored>> {
    for name in asked {
        let known = FAMILIES.iter().any(|(family, _)| family == name);
        if !known && !stored.iter().any(|stored| is_meant(&stored.name, name)) {
            let families: Vec<_> = FAMILIES.iter().map(|(family, _)| *family).collect();
            bail!(Usage(format!(
                "there is no component {name}; it can be {}, or a name from --list",
                families.join(", ")
            )));
        }
    }
    Ok(stored
        .into_iter()
        .filter(|stored| asked.is_empty() || asked.iter().any(|name| is_meant(&stored.name, name)))
        .collect())
}

/// Removes the components that were asked for.
pub fn clean(project: &Project, asked: &[String]) -> Result<u8> {
    let chosen = chosen(project.cache.stored()?, asked)?;
    let alone = project.cache.alone()?;
    let mut total = 0;
    for stored in chosen {
        let size = size(&stored.path);
        alone.remove(&stored)?;
        if size > 0 {
            println!("{:>9}  {}", bytes(size), stored.name);
        }
        total += size;
    }
    println!("{:>9}  freed in {}", bytes(total), project.cache.root().display());
    Ok(verdict::PASS)
}

/// Lists the components that were asked for.
pub fn list(project: &Project, asked: &[String]) -> Result<u8> {
    let mut total = 0;
    println!("{:>9}  {:<16}  component", "size", "made (UTC)");
    for stored in chosen(project.cache.stored()?, asked)? {
        let size = size(&stored.path);
        println!("{:>9}  {:<16}  {}", bytes(size), date(stored.made), stored.name);
        total += size;
    }
    println!("{:>9}  {:<16}  in {}", bytes(total), "", project.cache.root().display());
    Ok(verdict::PASS)
}

/// Reads all files of the components, and removes the damaged ones.
///
/// # Returns
///
/// 0 if none was damaged.
pub fn verify(project: &Project, asked: &[String]) -> Result<u8> {
    let chosen = chosen(project.cache.stored()?, asked)?;
    let alone = project.cache.alone()?;
    let mut status = verdict::PASS;
    for stored in chosen.iter().filter(|stored| stored.name != "log" && !stored.name.starts_with("build/")) {
        let found = match damage(&stored.path, Which::Usual, How::Content)? {
            None => damage(&stored.path, Which::Late, How::Content)?,
            found => found,
        };
        match found {
            None => println!("{}: intact", stored.name),
            Some(damage) => {
                println!("{}: damaged, removed: {damage}", stored.name);
                alone.remove(stored)?;
                status = verdict::FAIL;
            }
        }
    }
    Ok(status)
}

/// The space that a folder takes on the disk; what cannot be read counts as nothing.
fn size(path: &Path) -> u64 {
    let (mut total, mut seen, mut todo) = (0, HashSet::new(), vec![path.to_path_buf()]);
    while let Some(path) = todo.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.nlink() == 1 || metadata.is_dir() || seen.insert((metadata.dev(), metadata.ino())) {
            total += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    total
}

/// `2026-11-26 18:34`
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if days < length {
            break;
        }
        days -= length;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02}", days + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    #[test]
    fn the_name_of_a_piece_tells_its_family() {
        let of = |piece: &str| {
            let families = FAMILIES.iter().filter(|(family, _)| is_meant(piece, family));
            families.map(|(family, _)| *family).collect::<Vec<_>>()
        };
        for (piece, family) in [
            ("toolroot-trixie-debug", "toolchain"),
            ("kernel-7.3-cloud", "kernel"),
            ("emulator", "emulator"),
            ("emulator-debugger", "emulator"),
            ("module-7.3-cloud-alone", "module"),
            ("build/module-faults-7.3", "module"),
            ("programs-kernel-7.3-cloud", "programs"),
            ("software", "programs"),
            ("tracers", "programs"),
            ("build/cargo-guest", "programs"),
            ("packages-1.0.0+next", "packages"),
            ("installed-7.3", "packages"),
            ("image-run", "images"),
            ("state-run-2", "states"),
            ("log", "logs"),
        ] {
            assert_eq!(of(piece), [family], "{piece}");
        }
        assert!(of("build/host").is_empty() && of("cargo").is_empty());
        assert!(is_meant("kernel-7.3", "kernel-7.3") && !is_meant("kernel-7.3-rt", "kernel-7.3"));
    }

    #[test]
    fn an_unknown_name_is_wrong_usage() {
        let stored = || {
            let one = |name: &str| Stored { name: name.into(), path: PathBuf::new(), made: UNIX_EPOCH };
            vec![one("kernel-7.3"), one("image-run"), one("build/host")]
        };
        let names = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|name| (*name).to_owned()).collect();
            chosen(stored(), &asked).map(|chosen| chosen.into_iter().map(|s| s.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), 3);
        assert_eq!(names(&["images", "kernel-7.3"]).unwrap(), ["kernel-7.3", "image-run"]);
        assert!(names(&["states"]).unwrap().is_empty());
        let error = names(&["kernel", "kernal"]).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("kernal"), "{error}");
    }

    #[test]
    fn sizes_and_dates_are_readable() {
        assert_eq!([0, 999, 2_500_000, 1_949_000_000].map(bytes), ["0 kB", "1 kB", "2 MB", "1.9 GB"]);
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00");
        assert_eq!(at(1_709_164_800), "2024-02-29 00:00");
        assert_eq!(at(1_767_225_599), "2025-12-31 23:59");
    }

    #[test]
    fn a_file_with_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), vec![1; 100_000]).unwrap();
        let one = size(dir.path());
        fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_eq!(size(dir.path()), one);
        assert!(one >= 100_000);
    }
}
