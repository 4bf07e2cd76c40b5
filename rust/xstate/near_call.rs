// SPDX-License-Identifier: GPL-2.0
//! Near calls and jumps in the text of a function, by what they lead to.
//!
//! Instructions are not decoded: five bytes that read as a call or jump with exactly the right distance are one.
//! `tests/near_calls.rs` has the text of several kernels.

const CALL: u8 = 0xe8;
const JMP: u8 = 0xe9;

/// Bytes of a near call or jump (SDM vol. 2, CALL rel32 and JMP rel32).
pub const LENGTH: usize = 5;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NearCall {
    /// Where it is.
    pub address: usize,
    opcode: u8,
}

impl NearCall {
    /// The instruction of the same kind, at the same place, that leads to `target`; `None` if that is too far.
    pub fn leading_to(self, target: usize) -> Option<[u8; LENGTH]> {
        let distance = target.wrapping_sub(self.address.wrapping_add(LENGTH)) as isize;
        let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
        Some([self.opcode, a, b, c, d])
    }
}

/// The near calls and jumps to `target` in `text`, which is at `start`.
pub fn find_all(text: &[u8], start: usize, target: usize) -> impl Iterator<Item = NearCall> + '_ {
    text.windows(LENGTH)
        .enumerate()
        .filter_map(move |(i, bytes)| {
            let &opcode @ (CALL | JMP) = bytes.first()? else {
                return None;
            };
            let call = NearCall {
                address: start.wrapping_add(i),
                opcode,
            };
            (call.leading_to(target)? == bytes).then_some(call)
        })
}
