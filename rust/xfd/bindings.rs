// SPDX-License-Identifier: GPL-2.0
//! The kernel's types and functions: the kernel crate's bindings, plus those that bindgen generates
//! from seam/bindings_helper.h during the build.
#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

pub(crate) use kernel::bindings::*;
use kernel::ffi;

include!(env!("XFD_BINDINGS"));
