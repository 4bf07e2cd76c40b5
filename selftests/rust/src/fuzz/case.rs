// SPDX-License-Identifier: GPL-2.0
//! A case: what a process does to get the kernel's answers.

/// What a process does; the kernel's answers are the case's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Case {
    /// Permission calls, one after another.
    Calls(Vec<Call>),
    /// A signal handler changes its frame and returns.
    Frame(Start, Vec<Edit>),
    /// A tracer changes the XSAVE area and writes part of it back.
    Regset(Start, Size, Vec<Edit>),
    /// clone with these flags.
    Clone(Start, u64),
}

/// What the thread has done with tiles beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing, and it has no permission.
    None,
    /// Nothing, but it has permission.
    Permitted,
    /// Its tiles are live.
    Live,
    /// Its tiles were live, and have been released.
    Released,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// arch_prctl with an option that writes a mask, to this kind of address.
    Get(u32, Pointer),
    /// arch_prctl with any other option and argument.
    Prctl(u32, u64),
    /// sigaltstack with this many bytes.
    Altstack(u64),
    /// TILEZERO.
    Use,
}

/// Where a mask is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// To eight bytes.
    Good,
    /// To eight bytes, at an odd address.
    Odd,
    /// To address 0.
    Null,
    /// To a read-only page.
    ReadOnly,
    /// Points to the last four bytes of a mapping.
    End,
    /// Points into the kernel's half of the address space.
    Kernel,
    /// Points to a non-canonical address.
    NonCanonical,
}

/// A change to an area or a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// This many bytes, up to eight, at this offset.
    Bytes(u32, u8, u64),
    /// The frame's pointer to the area is replaced.
    Area(u64),
}

/// How many bytes are written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As many as were read, plus or minus this many.
    Read(i32),
    /// Exactly this many.
    Bytes(u32),
}
