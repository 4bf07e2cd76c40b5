// SPDX-License-Identifier: GPL-2.0
//! Tests what a release needs: the same version everywhere, and a reproducible tarball.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn project() -> PathBuf {
    // Relative to cargo's working directory, because two checkouts may share a target folder.
    std::env::current_dir().unwrap().parent().unwrap().to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

const PACKAGES: [&str; 5] = ["machine", "rust/xcomp", "rust/xstate", "selftests/rust", "xfdctl"];

/// Every dependency builds with the Rust version that README asks for.
#[test]
fn dependencies_build_with_the_oldest_rust() {
    let version = |text: &str| -> Vec<u32> { text.split('.').take(2).map(|part| part.parse().unwrap()).collect() };
    for package in PACKAGES {
        let args = ["metadata", "--format-version", "1", "--locked", "--manifest-path"];
        let manifest = project().join(package).join("Cargo.toml");
        let output = Command::new(env!("CARGO")).args(args).arg(&manifest).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let needs = |of: &serde_json::Value| of["rust_version"].as_str().map(version);
        let oldest = packages.iter().find(|of| of["manifest_path"] == manifest.to_str().unwrap()).and_then(needs);
        let oldest = oldest.unwrap_or_else(|| panic!("{package} has no rust-version"));
        assert!(packages.len() > 3, "{package} has dependencies");
        let newer: Vec<_> =
            packages.iter().filter(|of| needs(of) > Some(oldest.clone())).map(|of| &of["id"]).collect();
        assert!(newer.is_empty(), "{package}: these need a newer Rust than {oldest:?}: {newer:?}");
    }
}

#[test]
fn the_version_is_the_same_everywhere() {
    let version = read("VERSION");
    let version = version.strip_suffix('\n').unwrap();
    for package in PACKAGES {
        let text = read(Path::new(package).join("Cargo.toml"));
        let found = text.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
        assert_eq!(found, format!("\"{version}\""), "{package}");
    }
    let changelog = read("CHANGELOG.md");
    let mut headings = changelog.lines().filter_map(|line| line.strip_prefix("## [")?.split(']').next());
    assert_eq!(headings.find(|heading| *heading != "Unreleased"), Some(version));
}

/// A checkout with the files that `make dist` needs, and a symbolic link.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Checkout {
        let checkout = Checkout(tempfile::tempdir().unwrap());
        fs::create_dir(checkout.path("packaging")).unwrap();
        for file in ["packaging/dist.sh", "VERSION", "CHANGELOG.md"] {
            fs::copy(project().join(file), checkout.path(file)).unwrap();
        }
        std::os::unix::fs::symlink("VERSION", checkout.path("link")).unwrap();
        checkout.git(&["init", "-q"]);
        checkout.git(&["add", "-A"]);
        checkout.git(&["commit", "-q", "-m", "all"]);
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, args: &[&str]) {
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
        let status = Command::new("git").arg("-C").arg(self.0.path()).args(who).args(args).status();
        assert!(status.unwrap().success(), "git {args:?}");
    }

    fn dist(&self, to: &Path, umask: &str) -> Output {
        let run = format!("umask {umask}; exec packaging/dist.sh \"$1\"");
        Command::new("sh").args(["-c", &run, "dist"]).arg(to).current_dir(self.0.path()).output().unwrap()
    }
}

/// The one line with which it refuses, without creating anything.
fn refusal(checkout: &Checkout) -> String {
    let to = tempfile::tempdir().unwrap();
    let output = checkout.dist(to.path(), "022");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    said
}

fn tarball(to: &Path) -> Vec<u8> {
    let files: Vec<_> = fs::read_dir(to).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [one] = files.as_slice() else { panic!("{files:?}") };
    fs::read(one).unwrap()
}

#[test]
fn the_same_commit_gives_the_same_tarball() {
    let first = Checkout::new();
    let clone = tempfile::tempdir().unwrap();
    let from = first.0.path().to_str().unwrap();
    first.git(&["clone", "-q", from, clone.path().to_str().unwrap()]);
    let second = Checkout(clone);
    second.git(&["config", "tar.umask", "user"]);

    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(first.dist(a.path(), "022").status.success());
    assert!(second.dist(b.path(), "077").status.success());
    let (a, b) = (tarball(a.path()), tarball(b.path()));
    assert!(!a.is_empty() && a == b);
}

#[test]
fn anything_but_a_clean_checkout_is_refused() {
    let checkout = Checkout::new();
    fs::write(checkout.path("new"), "").unwrap();
    assert!(refusal(&checkout).contains("uncommitted"));
    fs::remove_file(checkout.path("new")).unwrap();
    fs::write(checkout.path("VERSION"), "99.0.0\n").unwrap();
    assert!(refusal(&checkout).contains("uncommitted"));
    checkout.git(&["add", "-A"]);
    checkout.git(&["commit", "-q", "-m", "new"]);
    assert!(refusal(&checkout).contains("no release 99.0.0"));
    fs::remove_dir_all(checkout.path(".git")).unwrap();
    assert!(refusal(&checkout).contains("not a git repository"));
}
