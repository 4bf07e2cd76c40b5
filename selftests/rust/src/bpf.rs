// SPDX-License-Identifier: GPL-2.0
//! A BPF program on a kernel function's entry, attached by bpf(2). It does nothing; the kernel counts its runs.
#![expect(unsafe_code, reason = "bpf()")]

use anyhow::Context;
use btf_rs::{Backend, Btf, Type};
use std::fs;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The kernel's own BTF.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

// include/uapi/linux/bpf.h
const PROG_LOAD: u32 = 5;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const TRACING: u32 = 26;
const TRACE_FENTRY: u32 = 24;
/// r0 = 0; exit
const INSNS: [u64; 2] = [0xb7, 0x95];

/// `union bpf_attr` for BPF_PROG_LOAD, as far as needed.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
}

/// `union bpf_attr` for BPF_RAW_TRACEPOINT_OPEN.
#[repr(C)]
#[derive(Default)]
struct Open {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

/// An attached program, until this is dropped.
pub struct Fentry {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Fentry {
    /// How often it has run. The kernel counts only while kernel.bpf_stats_enabled is 1.
    ///
    /// # Errors
    ///
    /// /proc does not show the count.
    pub fn runs(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let info = fs::read_to_string(&path).with_context(|| path.clone())?;
        let count = info.lines().find_map(|line| line.strip_prefix("run_cnt:"));
        let count = count.with_context(|| format!("{path} has no run_cnt"))?;
        Ok(count.trim().parse()?)
    }
}

/// The kernel's functions, from its BTF.
pub struct Functions(Btf);

impl Functions {
    /// The running kernel's functions.
    ///
    /// # Errors
    ///
    /// The kernel has no BTF.
    pub fn of_the_kernel() -> anyhow::Result<Self> {
        let types = Btf::from_file_with_backend(TYPES, Backend::Mmap).context(TYPES)?;
        Ok(Functions(types))
    }

    /// Attaches a program to the entry of `function`; the inner error is the kernel refusing it.
    ///
    /// # Errors
    ///
    /// The function does not exist, or BPF is not available.
    pub fn enter(&self, function: &str) -> anyhow::Result<Result<Fentry>> {
        let ids = self
            .0
            .resolve_ids_by_name(function)
            .with_context(|| format!("{TYPES} has no {function}"))?;
        let is_function = |id: &u32| matches!(self.0.resolve_type_by_id(*id), Ok(Type::Func(_)));
        let id = ids
            .into_iter()
            .find(is_function)
            .with_context(|| format!("{function} is not a function"))?;
        let load = Load {
            prog_type: TRACING,
            insn_cnt: INSNS.len() as u32,
            insns: INSNS.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            expected_attach_type: TRACE_FENTRY,
            attach_btf_id: id,
            ..Load::default()
        };
        // SAFETY: the structure is the one the command reads, and everything it points to is static.
        let program = unsafe { bpf(PROG_LOAD, &load) }
            .with_context(|| format!("a program for {function}"))?;
        let open = Open {
            prog_fd: program.as_raw_fd() as u32,
            ..Open::default()
        };
        // SAFETY: the structure is the one the command reads, and it has no pointers.
        let link = unsafe { bpf(RAW_TRACEPOINT_OPEN, &open) };
        Ok(link.map(|link| Fentry {
            program,
            _link: link,
        }))
    }
}

/// # Safety
///
/// `attributes` must be the structure that `command` reads.
unsafe fn bpf<T>(command: u32, attributes: &T) -> Result<OwnedFd> {
    // SAFETY: the caller passes the command's structure, and these commands only read it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const *attributes,
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: a new file descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}
