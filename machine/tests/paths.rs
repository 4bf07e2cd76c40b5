// SPDX-License-Identifier: GPL-2.0
//! Tests that make and .ci/run work in a checkout whose path has odd characters, or refuse it at once, and name missing
//! programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn project() -> PathBuf {
    // Relative to cargo's working directory, because two checkouts may share a target folder.
    std::env::current_dir().unwrap().parent().unwrap().to_path_buf()
}

/// The files of a checkout that `make` itself reads, below a folder called `name`, with a cargo that prints its
/// arguments.
struct Checkout {
    _dir: tempfile::TempDir,
    path: PathBuf,
    bin: PathBuf,
}

impl Checkout {
    fn new(name: &str) -> Checkout {
        let dir = tempfile::tempdir().unwrap();
        let (path, bin) = (dir.path().join(name), dir.path().join("bin"));
        fs::create_dir_all(path.join("machine")).unwrap();
        fs::create_dir(&bin).unwrap();
        for file in ["Makefile", "machine/ready.sh"] {
            fs::copy(project().join(file), path.join(file)).unwrap();
        }
        let checkout = Checkout { _dir: dir, path, bin };
        checkout.program("cargo", "printf '%s\\n' \"$CARGO_TARGET_DIR\" \"$@\"");
        checkout.program("cc", "");
        checkout
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn make(&self, args: &[&str], cache: Option<&Path>) -> Output {
        let mut make = Command::new("make");
        make.arg("-s").args(args).current_dir(&self.path).env_remove("XFD_CACHE").env_remove("CARGO_TARGET_DIR");
        make.env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()));
        make.envs(cache.map(|cache| ("XFD_CACHE", cache))).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cargo_gets_its_folder_whatever_its_name() {
    for name in ["plain", "a b", "it's $HOME", "$(x) \"y\"", "ümläut", "a#b;c*"] {
        let checkout = Checkout::new(name);
        let output = checkout.make(&["demo"], None);
        let want = format!("{}\nrun\n--release\n", checkout.path.join(".cache/cargo").display());
        assert!(text(&output.stdout).starts_with(&want), "{output:?}");
        let cache = checkout.path.join("an other $cache");
        let output = checkout.make(&["host-load"], Some(&cache));
        assert!(text(&output.stdout).starts_with(&format!("{}/cargo\nrun\n", cache.display())), "{output:?}");
        let output = checkout.make(&["fuzz"], Some(Path::new("relative to it")));
        let want = format!("{}/relative to it/tools/cargo-fuzz@", checkout.path.display());
        assert!(text(&output.stdout).contains(&want), "{output:?}");
    }
}

#[test]
fn the_ci_script_passes_its_arguments_on() {
    let checkout = Checkout::new("a b");
    fs::create_dir(checkout.path.join(".ci")).unwrap();
    fs::copy(project().join(".ci/run"), checkout.path.join(".ci/run")).unwrap();
    // So that it installs nothing.
    checkout.program("dpkg-query", "echo installed");
    let run = |args: &[&str]| {
        let mut script = Command::new(checkout.path.join(".ci/run"));
        script.args(args).current_dir("/").env_remove("XFD_CACHE").env_remove("CARGO_TARGET_DIR");
        script.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        let output = script.env("PATH", format!("{}:/usr/bin:/bin", checkout.bin.display())).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stdout);
        said.lines().skip_while(|line| *line != "--").skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run(&[]), ["check"]);
    let args = ["--junit", "it's $HOME/a b.xml", "--filter", "#$(x)\\"];
    assert_eq!(run(&args), [&["check"], &args[..]].concat());
}

#[test]
fn a_folder_that_rust_cannot_use_is_refused() {
    for name in ["a:b", "a%b"] {
        let checkout = Checkout::new(name);
        let output = checkout.make(&["demo"], None);
        assert!(text(&output.stderr).contains("set XFD_CACHE to another one"), "{output:?}");
        assert!(!output.status.success() && output.stdout.is_empty() && !checkout.path.join(".cache").exists());
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(checkout.make(&["demo"], Some(elsewhere.path())).status.success());
    }
}

/// A prepared kernel tree at `path`, with a Makefile that shows where it would build.
fn kernel(path: &Path) {
    fs::create_dir_all(path.join("rust")).unwrap();
    fs::create_dir_all(path.join("include/config")).unwrap();
    fs::write(path.join("rust/libkernel.rmeta"), "").unwrap();
    fs::write(path.join("Makefile"), "RUSTC = rustc\nmodules:\n\t@echo kbuild $(M) $(RUSTC)\n").unwrap();
    fs::write(path.join("include/config/auto.conf"), CONFIG).unwrap();
}

/// What the module needs, and the compiler that [`Checkout`]s of these tests have.
const CONFIG: &str = "CONFIG_X86_64=y\nCONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_KPROBES=y\n\
    CONFIG_KALLSYMS_ALL=y\nCONFIG_HAVE_STATIC_CALL_INLINE=y\nCONFIG_PROC_FS=y\n\
    CONFIG_RUSTC_VERSION_TEXT=rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)\n";
const RUSTC: &str = "echo 'rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)'";

#[test]
fn the_kernels_make_is_not_started_where_it_cannot_build() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, odd) = (folder.path().join("tree"), folder.path().join("a tree"));
    kernel(&tree);
    kernel(&odd);
    let kdir = |path: &Path| format!("KDIR={}", path.display());
    let refused = |checkout: &str, tree: &Path| {
        let output = Checkout::new(checkout).make(&[&kdir(tree), "modules"], None);
        assert!(text(&output.stderr).contains("the kernel's make cannot build in this folder"), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    for name in ["a b", "a:b", "a$b", "a'b"] {
        refused(name, &tree);
    }
    refused("plain", &odd);
    let checkout = Checkout::new("plain");
    checkout.program("rustc", RUSTC);
    let output = checkout.make(&[&kdir(&tree), "modules"], None);
    assert!(text(&output.stdout).contains("kbuild /"), "{output:?}");
}

#[test]
fn a_kernel_that_cannot_have_the_module_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    kernel(folder.path());
    let checkout = Checkout::new("plain");
    checkout.program("rustc", RUSTC);
    checkout.program("rustc-1.84", "echo rustc 1.84.0");
    let kdir = format!("KDIR={}", folder.path().display());
    let says = |config: &str, args: &[&str]| {
        fs::write(folder.path().join("include/config/auto.conf"), config).unwrap();
        let output = checkout.make(&[&[kdir.as_str(), "modules"], args].concat(), None);
        assert_eq!(output.status.success(), output.stderr.is_empty(), "{output:?}");
        assert_eq!(output.stdout.is_empty(), !output.status.success(), "{output:?}");
        text(&output.stderr).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(says(CONFIG, &[]), "");
    let said = says(&CONFIG.replace("CONFIG_LIVEPATCH=y", "").replace("PROC_FS=y", "PROC_FS=m"), &[]);
    assert!(said.ends_with(" lacks CONFIG_LIVEPATCH CONFIG_PROC_FS: the module needs it"), "{said}");
    let said = says(&format!("{CONFIG}CONFIG_CFI=y\n"), &[]);
    assert!(said.contains("has CONFIG_CFI"), "{said}");
    let quoted = CONFIG.replace("TEXT=rustc", "TEXT=\"rustc").replace("tarball)", "tarball)\"");
    assert_eq!(says(&quoted, &[]), "");
    let said = says(CONFIG, &["RUSTC=rustc-1.84"]);
    assert!(said.contains("prepared with rustc 1.85.1") && said.contains("has rustc 1.84.0: set RUSTC"), "{said}");
    // The kernel's make gets the compiler that was checked, although its own overrides the environment.
    checkout.program("rustc-1.85", RUSTC);
    fs::write(folder.path().join("include/config/auto.conf"), CONFIG).unwrap();
    let mut make = Command::new("make");
    make.args(["-s", &kdir, "modules"]).current_dir(&checkout.path).env("RUSTC", "rustc-1.85");
    let output = make.env("PATH", format!("{}:/usr/bin:/bin", checkout.bin.display())).output().unwrap();
    assert!(text(&output.stdout).trim_end().ends_with(" rustc-1.85"), "{output:?}");
    let said = says(CONFIG, &["RUSTC=rustc-none"]);
    assert!(said.contains("has no rustc-none: set RUSTC"), "{said}");
}

#[test]
fn sudo_creates_nothing_in_another_users_checkout() {
    // Who runs make, who called sudo, and whose the checkout is.
    let run = |id: &str, sudo: Option<&str>, owner: &str| {
        let checkout = Checkout::new("plain");
        checkout.program("id", &format!("echo {id}"));
        checkout.program("stat", &format!("[ \"$2\" = %u ] && echo {owner} || echo jane"));
        let mut make = Command::new("make");
        make.args(["-s", "host-load"]).current_dir(&checkout.path).env_remove("XFD_CACHE").env_remove("SUDO_UID");
        make.env("PATH", format!("{}:/usr/bin:/bin", checkout.bin.display()));
        let output = make.envs(sudo.map(|uid| ("SUDO_UID", uid))).output().unwrap();
        assert_eq!(output.status.success(), checkout.path.join(".cache").exists(), "{output:?}");
        text(&output.stderr)
    };
    let said = run("0", Some("1000"), "1000");
    assert!(
        said.starts_with("xfd: root's files") && said.contains("jane") && said.contains("without sudo"),
        "{said}"
    );
    for (id, sudo, owner) in [("0", None, "1000"), ("0", Some("0"), "1000"), ("0", Some("1000"), "0")] {
        assert_eq!(run(id, sudo, owner), "", "{id} {sudo:?} {owner}");
    }
    // A user whom root became.
    assert_eq!(run("1000", Some("1001"), "1000"), "");
}

#[test]
fn clean_removes_only_what_kbuild_made() {
    let kernel = tempfile::tempdir().unwrap();
    fs::create_dir(kernel.path().join("rust")).unwrap();
    fs::write(kernel.path().join("rust/libkernel.rmeta"), "").unwrap();
    // As in the kernel's Makefile.
    let rule = [
        "export RCS_FIND_IGNORE := \\( -name .git \\) -prune -o",
        "clean:",
        "\t@cd $(M) && find . $(RCS_FIND_IGNORE) \\",
        "\t\t\\( -name '*.[aios]' -o -name '.*.cmd' \\) -type f -print | xargs rm -f\n",
    ]
    .join("\n");
    fs::write(kernel.path().join("Makefile"), rule).unwrap();
    let checkout = Checkout::new("plain");
    let put = |file: &&str| {
        fs::create_dir_all(checkout.path.join(file).parent().unwrap()).unwrap();
        fs::write(checkout.path.join(file), "").unwrap();
    };
    let made =
        ["xfd.o", ".xfd.o.cmd", "rust/xfd/xfd_main.o", "rust/xfd/seam/seam.o", "selftests/module/rival/rival.o"];
    let kept =
        [".cache/cargo/a.o", "my cache/a.o", "rust/xstate/target/a.o", "xfdctl/target/a.a", "upstream/linux/a.s"];
    made.iter().chain(&kept).for_each(put);
    let output = checkout.make(&[&format!("KDIR={}", kernel.path().display()), "clean"], None);
    assert!(output.status.success(), "{output:?}");
    let there = |file: &&str| checkout.path.join(file).exists();
    assert!(!made.iter().any(there) && kept.iter().all(there), "{output:?}");
}

#[test]
fn a_missing_program_is_named_in_one_line() {
    let checkout = Checkout::new("plain");
    let without = |missing: &str| {
        let bin = tempfile::tempdir().unwrap();
        for name in ["sh", "mkdir", "uname", "id", "stat", "cargo", "cc"].iter().filter(|name| **name != missing) {
            let own = checkout.bin.join(name);
            let real = if own.exists() { own } else { Path::new("/usr/bin").join(name) };
            std::os::unix::fs::symlink(real, bin.path().join(name)).unwrap();
        }
        let mut make = Command::new("/usr/bin/make");
        make.args(["-s", "demo"]).current_dir(&checkout.path).env_remove("XFD_CACHE");
        let output = make.env("PATH", bin.path()).output().unwrap();
        assert!(output.status.code() == Some(2) || missing.is_empty(), "{output:?}");
        text(&output.stderr).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(without(""), "");
    assert!(without("cc").contains("no C compiler") && without("cc").contains("apt install gcc"));
    assert!(without("cargo").contains("no cargo") && without("cargo").contains("apt install cargo"));
    fs::write(checkout.path.join("file"), "").unwrap();
    let output = checkout.make(&["demo"], Some(&checkout.path.join("file/cache")));
    assert!(text(&output.stderr).contains("set XFD_CACHE to a folder that can be written"), "{output:?}");
}
