// SPDX-License-Identifier: GPL-2.0
//! Brings a program or script of the host into the guest: checks whether it can run there, and finds what it needs.
//!
//! The guest gets libraries and interpreters at the same paths as on the host, so that they find their own files;
//! except where the guest mounts something itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::piece::programs::elfdeps::{interpreter, libraries, needed};
use crate::workshop::progress::note;
use crate::workshop::{bytes, Usage};

/// Interpreters that are busybox in the guest.
const IN_THE_GUEST: [&str; 5] = ["/bin/sh", "/usr/bin/sh", "/bin/ash", "/bin/busybox", "/usr/bin/busybox"];
/// Where the guest mounts file systems of its own.
const HIDDEN: [&str; 5] = ["/tmp", "/run", "/dev", "/proc", "/sys"];
/// Where files go that these would hide.
const ELSEWHERE: &str = "job/host";
/// An interpreter may be a script itself, but the kernel limits the depth.
const DEPTH: usize = 4;
/// Parts of Python's standard library that programs can do without. Third-party packages may be gigabytes: use --with
/// for them.
const NOT_OF_PYTHON: [&str; 10] = [
    "site-packages",
    "dist-packages",
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
];
/// Prints a Python's executable and where its standard library is.
const ASK_PYTHON: &str = "import os, sys, sysconfig\n\
                          print(os.path.realpath(sys.executable))\n\
                          for name in 'stdlib', 'platstdlib': print(sysconfig.get_path(name))\n\
                          print(sysconfig.get_config_var('DESTSHARED') or '')\n";

/// How a program is started in the guest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The command, without the program's own arguments.
    pub words: Vec<String>,
    /// The folders of its libraries.
    pub library_path: Vec<String>,
}

/// Finds a program of the host by a path or a name in PATH; `None` if it is neither, and may be the name of a test.
///
/// # Errors
///
/// [`Usage`]: the path is not that of a program, or the guest cannot run it.
pub fn find(name: &str) -> Result<Option<PathBuf>> {
    let path = Path::new(name);
    let found = match name.contains('/') || path.is_file() {
        true => Some(path.to_path_buf()),
        false => in_path(name),
    };
    if let Some(path) = &found {
        resolve(path, "", DEPTH).map_err(|error| Usage(format!("{error:#}")))?;
    }
    Ok(found)
}

/// Copies `program` into the guest at `at`, a path without a leading slash, with everything that it needs.
///
/// # Errors
///
/// Those of [`find`]; a file cannot be read.
pub fn bring(program: &Path, at: &str, files: &mut Initramfs) -> Result<Start> {
    let mut plan = resolve(program, at, DEPTH).map_err(|error| Usage(format!("{error:#}")))?;
    if let Some(python) = plan.python.take() {
        let size = python.plan(&mut plan)?;
        note(&format!("{}: also copying its standard library, {}", python.program.display(), bytes(size)));
    }
    let mut library_path = Vec::new();
    for library in &plan.libraries {
        let at = place(library)?;
        let folder = at.rsplit_once('/').map_or_else(|| "/".to_owned(), |(folder, _)| format!("/{folder}"));
        if !library_path.contains(&folder) {
            library_path.push(folder);
        }
        files.file(&at, library)?;
    }
    for (at, host) in &plan.files {
        files.file(at, host)?;
    }
    Ok(Start { words: plan.words, library_path })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(is_program)
}

/// What to copy for a program, and how to start it.
#[derive(Debug, Default)]
struct Plan {
    words: Vec<String>,
    /// Path in the guest -> file of the host.
    files: BTreeMap<String, PathBuf>,
    libraries: BTreeSet<PathBuf>,
    python: Option<Python>,
}

#[derive(Debug)]
struct Python {
    program: PathBuf,
    /// The folders of the standard library.
    folders: Vec<PathBuf>,
}

fn resolve(path: &Path, at: &str, depth: usize) -> Result<Plan> {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!("there is no program {shown}"),
        Err(e) => return Err(e).with_context(|| format!("cannot read {shown}")),
    };
    match () {
        () if metadata.is_dir() => bail!("{shown} is a folder, not a program"),
        () if !metadata.is_file() => bail!("{shown} is not a file"),
        () if metadata.len() == 0 => bail!("{shown} is empty"),
        () if metadata.permissions().mode() & 0o111 == 0 => bail!("{shown} is not executable: chmod +x {shown}"),
        () if depth == 0 => bail!("{shown}: too many interpreters that are scripts themselves"),
        () => {}
    }
    let content = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    if is_python(path) {
        return Python::ask(path)?.start();
    }
    let mut plan = Plan::default();
    plan.files.insert(at.to_owned(), path.to_path_buf());
    let Some(script) = content.strip_prefix(b"#!") else {
        plan.libraries.extend(needed(path)?);
        if let Some(linker) = interpreter(&content)?.filter(|linker| is_hidden(linker)) {
            bail!("{shown} needs {}, where the guest has a file system of its own", linker.display());
        }
        plan.words.push(format!("/{at}"));
        return Ok(plan);
    };
    let line = script.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Line { assignments, interpreter, arguments } =
        Line::parse(&line).with_context(|| format!("{shown}: its first line, #!{}", line.trim_end()))?;
    let Some(interpreter) = interpreter else {
        bail!("{shown}: its first line names no interpreter");
    };
    if !assignments.is_empty() {
        plan.words.push("env".into());
        plan.words.extend(assignments);
    }
    match interpreter {
        Interpreter::Guest(name) => plan.words.push(name),
        Interpreter::Host(host) => {
            if !host.exists() {
                bail!("{shown}: its interpreter {} is not on this host", host.display());
            }
            let below =
                resolve(&host, &place(&host)?, depth - 1).with_context(|| format!("{shown}: its interpreter"))?;
            plan.words.extend(below.words);
            plan.files.extend(below.files);
            plan.libraries.extend(below.libraries);
            plan.python = below.python;
        }
    }
    plan.words.extend(arguments);
    plan.words.push(format!("/{at}"));
    Ok(plan)
}

/// The first line of a script.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// `NAME=VALUE` for env.
    assignments: Vec<String>,
    interpreter: Option<Interpreter>,
    arguments: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Interpreter {
    /// An applet of busybox.
    Guest(String),
    Host(PathBuf),
}

impl Line {
    /// Parses what follows `#!`.
    fn parse(line: &str) -> Result<Line> {
        if line.ends_with('\r') {
            bail!("it ends with a carriage return, as on Windows; remove these with sed -i 's/\\r$//'");
        }
        let line = line.trim();
        let (name, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        if name.is_empty() {
            return Ok(Line { assignments: Vec::new(), interpreter: None, arguments: Vec::new() });
        }
        if name.rsplit('/').next() != Some("env") {
            // The kernel passes the rest of the line as one argument.
            let arguments = Some(rest).filter(|rest| !rest.is_empty()).map(str::to_owned).into_iter().collect();
            return Ok(Line { assignments: Vec::new(), interpreter: Some(of_path(Path::new(name))), arguments });
        }
        let mut words = rest.trim_start_matches("-S").split_whitespace().map(str::to_owned).peekable();
        let mut assignments = Vec::new();
        while let Some(word) = words.next_if(|word| word.contains('=')) {
            assignments.push(word);
        }
        let Some(word) = words.next() else { bail!("env is not given a program") };
        if word.starts_with('-') {
            bail!("the option {word} of env is not supported here");
        }
        let interpreter = match word.contains('/') {
            true => of_path(Path::new(&word)),
            false if ["sh", "ash", "busybox"].contains(&word.as_str()) => Interpreter::Guest(word),
            false => match in_path(&word) {
                Some(path) => Interpreter::Host(path),
                None => bail!("its interpreter {word} is not in this host's PATH"),
            },
        };
        Ok(Line { assignments, interpreter: Some(interpreter), arguments: words.collect() })
    }
}

fn of_path(path: &Path) -> Interpreter {
    match IN_THE_GUEST.iter().any(|known| path == Path::new(known)) {
        true => Interpreter::Guest(path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        false => Interpreter::Host(path.to_path_buf()),
    }
}

fn is_hidden(path: &Path) -> bool {
    HIDDEN.iter().any(|hidden| path.starts_with(hidden))
}

/// The path in the guest for a file of the host, without a leading slash.
fn place(host: &Path) -> Result<String> {
    let mut path = std::path::absolute(host)?;
    if path.components().any(|part| part == Component::ParentDir) {
        let (folder, name) = (path.parent().context("it has no folder")?, path.file_name().unwrap_or_default());
        path = folder.canonicalize()?.join(name);
    }
    let plain: PathBuf = path.components().collect();
    let below = plain.to_string_lossy().trim_start_matches('/').to_owned();
    Ok(if is_hidden(&plain) { format!("{ELSEWHERE}/{below}") } else { below })
}

/// Whether it is called `python`, `python3`, `python3.13` or the like.
fn is_python(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("python").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

impl Python {
    /// Asks a Python where it is: the one in PATH may be a script that chooses another.
    fn ask(path: &Path) -> Result<Python> {
        let output = Command::new(path).args(["-I", "-S", "-c", ASK_PYTHON]).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().filter(|line| line.starts_with('/')).map(PathBuf::from);
        let (Some(program), true) = (lines.next(), output.status.success()) else {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} does not say where it is: {}",
                path.display(),
                said.lines().last().unwrap_or("it printed nothing")
            );
        };
        let mut folders: Vec<_> = lines.filter(|folder| folder.is_dir()).collect();
        folders.sort();
        folders.dedup();
        // Keep those that are not inside another one.
        let all = folders.clone();
        folders.retain(|folder| !all.iter().any(|other| other != folder && folder.starts_with(other)));
        if folders.is_empty() {
            bail!("{}: its standard library is not on this host", program.display());
        }
        Ok(Python { program, folders })
    }

    fn start(self) -> Result<Plan> {
        let at = place(&self.program)?;
        let mut plan = Plan { words: vec![format!("/{at}")], ..Plan::default() };
        plan.libraries.extend(needed(&self.program)?);
        plan.files.insert(at, self.program.clone());
        plan.python = Some(self);
        Ok(plan)
    }

    /// Adds the standard library to `plan`, with what its extension modules need, and returns its size. Leaves out
    /// modules whose libraries this host does not have.
    fn plan(&self, plan: &mut Plan) -> Result<u64> {
        let linker = interpreter(&fs::read(&self.program)?)?;
        let mut size = 0;
        let mut todo = self.folders.clone();
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                let entry = entry?;
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                let Ok(metadata) = path.metadata() else { continue };
                if metadata.is_dir() {
                    if !NOT_OF_PYTHON.contains(&name.as_str()) && !name.starts_with("config-") {
                        todo.push(path);
                    }
                    continue;
                }
                if name.contains(".so") {
                    match linker.as_ref().map(|linker| libraries(&path, linker)) {
                        Some(Ok(found)) => plan.libraries.extend(found),
                        _ => continue,
                    }
                }
                size += metadata.len();
                plan.files.insert(place(&path)?, path);
            }
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> String {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn refused(name: &str) -> String {
        let error = find(name).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn anything_but_a_program_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut other = vec![0u8; 64];
        other[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (other[16], other[18], other[20], other[52]) = (2, 183, 1, 64);
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        for (name, says) in [
            (dir.to_str().unwrap().to_owned(), "is a folder"),
            (dir.join("none").to_str().unwrap().to_owned(), "there is no program"),
            (dir.join("none/below").to_str().unwrap().to_owned(), "there is no program"),
            ("/dev/null".into(), "is not a file"),
            (file(dir, "empty", "", 0o755), "is empty"),
            (file(dir, "plain", "#!/bin/sh\n", 0o644), "is not executable: chmod +x"),
            (file(dir, "text", "just text\n", 0o755), "neither an ELF program nor a script"),
            (file(dir, "arm", other, 0o755), "not a program for x86"),
            (file(dir, "half", &own[..1 << 16], 0o755), "is truncated"),
            (file(dir, "cut", &own[..10], 0o755), "cannot run in the machine"),
            (file(dir, "a", "#!/no/such/interpreter -x\n", 0o755), "/no/such/interpreter is not on this host"),
            (file(dir, "b", "#!/usr/bin/env no-such-xfd\n", 0o755), "no-such-xfd is not in this host's PATH"),
            (file(dir, "c", "#!/bin/sh\r\n", 0o755), "carriage return"),
            (file(dir, "d", "#!\n", 0o755), "names no interpreter"),
            (file(dir, "e", "#!/usr/bin/env -i sh\n", 0o755), "option -i"),
            (file(dir, "f", "#!/usr/bin/env\n", 0o755), "env is not given a program"),
            (file(dir, "g", format!("#!{}/plain\n", dir.display()), 0o755), "is not executable"),
            (file(dir, "h", format!("#!{}/h\n", dir.display()), 0o755), "too many interpreters"),
        ] {
            let text = refused(&name);
            assert!(text.contains(says), "{text}");
        }
        assert_eq!(find("no-such-program-xfd").unwrap(), None);
    }

    #[test]
    fn a_program_is_a_path_or_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let script = file(dir.path(), "s", "#!/bin/sh\n", 0o755);
        assert_eq!(find(&script).unwrap(), Some(script.into()));
        assert!(find("true").unwrap().unwrap().ends_with("bin/true"));
    }

    fn start(path: &str) -> (Start, Initramfs) {
        let mut files = Initramfs::default();
        let start = bring(Path::new(path), "job/bin/s", &mut files).unwrap();
        (start, files)
    }

    #[test]
    fn a_script_is_started_by_its_interpreter() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let words = |first: &str| start(&file(dir, "s", format!("{first}\necho\n"), 0o755)).0.words;
        assert_eq!(words("#!/bin/sh -e"), ["sh", "-e", "/job/bin/s"]);
        assert_eq!(words("#! /usr/bin/env sh"), ["sh", "/job/bin/s"]);
        assert_eq!(
            words("#!/usr/bin/env -S A=b B=c sh -e -x"),
            ["env", "A=b", "B=c", "sh", "-e", "-x", "/job/bin/s"]
        );
        assert_eq!(words("#!/bin/bash -e -x"), ["/bin/bash", "-e -x", "/job/bin/s"]);
        let bash = in_path("bash").unwrap();
        assert_eq!(words("#!/usr/bin/env bash"), [bash.to_str().unwrap(), "/job/bin/s"]);
        let (start, files) = start(&file(dir, "s", "#!/bin/bash\n", 0o755));
        assert!(files.has("bin/bash") && files.has("job/bin/s") && !start.library_path.is_empty());
    }

    #[test]
    fn nothing_is_put_where_guest_mounts_hide_it() {
        assert_eq!(place(Path::new("/usr/lib/x.so")).unwrap(), "usr/lib/x.so");
        assert_eq!(place(Path::new("/tmp/a/x.so")).unwrap(), "job/host/tmp/a/x.so");
        assert_eq!(place(Path::new("/run/x.so")).unwrap(), "job/host/run/x.so");
        assert_eq!(place(Path::new("/tmpfiles/x.so")).unwrap(), "tmpfiles/x.so");
        assert_eq!(place(Path::new("/usr/bin/../bin/x")).unwrap().split('/').filter(|part| *part == "..").count(), 0);
        // An interpreter in a temporary folder, like this test's.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let bash = fs::read("/bin/bash").unwrap();
        let bash = file(dir.path(), "bash", bash, 0o755);
        let (start, files) = start(&file(dir.path(), "s", format!("#!{bash}\n"), 0o755));
        assert_eq!(start.words, [format!("/job/host{bash}"), "/job/bin/s".into()]);
        assert!(files.has(&format!("job/host{bash}")));
    }

    #[test]
    fn python_comes_with_its_standard_library() {
        assert!(["python", "python3", "python3.13"].iter().all(|name| is_python(Path::new(name))));
        assert!(!["pythonic", "ipython", "python3-config"].iter().any(|name| is_python(Path::new(name))));
        // A script that tells where the real Python is.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["bin", "lib/python3/json", "lib/python3/site-packages", "lib/python3/lib-dynload"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for name in ["lib/python3/os.py", "lib/python3/json/x.py", "lib/python3/site-packages/torch.py"] {
            fs::write(at(name), "0123456789").unwrap();
        }
        fs::write(at("lib/python3/lib-dynload/_none.so"), "no library").unwrap();
        let real = file(&at("bin"), "python3.0", fs::read("/bin/bash").unwrap(), 0o755);
        let said =
            format!("{real}\n{0}/lib/python3\n{0}/lib/python3\n{0}/lib/python3/lib-dynload", dir.path().display());
        let shim = file(&at("bin"), "python3", format!("#!/bin/sh\necho \"{said}\"\n"), 0o755);
        let (start, files) = start(&file(dir.path(), "s", format!("#!{shim} -u\n"), 0o755));
        assert_eq!(start.words, [format!("/job/host{real}"), "-u".into(), "/job/bin/s".into()]);
        let has = |name: &str| files.has(&format!("job/host{}", at(name).display()));
        assert!(has("lib/python3/os.py") && has("lib/python3/json/x.py"));
        assert!(!has("lib/python3/site-packages/torch.py") && !has("lib/python3/lib-dynload/_none.so"));
        let broken = file(dir.path(), "python", "#!/bin/sh\necho no such version >&2; exit 1\n", 0o755);
        assert!(refused(&broken).contains("no such version"));
    }
}
