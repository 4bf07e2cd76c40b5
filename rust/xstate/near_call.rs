// SPDX-License-Identifier: GPL-2.0
//! Finds near calls and jumps to a given target in a function's text.
//!
//! The search does not decode instructions. It accepts any five bytes that read as a call or a jump
//! with exactly the right displacement. `tests/near_calls.rs` runs it on the text of several
//! kernels.

const CALL: u8 = 0xe8;
const JMP: u8 = 0xe9;

/// Length in bytes of a near call or jump (SDM vol. 2, CALL rel32 and JMP rel32).
pub const LENGTH: usize = 5;

/// A near call or jump.
///
/// ```
/// use xstate::near_call::find_all;
///
/// // nop; call +0x10
/// let text = [0x90, 0xe8, 0x10, 0, 0, 0];
/// let call = find_all(&text, 0x1000, 0x1016).next().unwrap();
/// assert_eq!(call.address, 0x1001);
/// assert_eq!(call.leading_to(0x1006), Some([0xe8, 0, 0, 0, 0]));
/// assert_eq!(call.leading_to(1 << 40), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NearCall {
    /// The address of the instruction.
    pub address: usize,
    opcode: u8,
}

impl NearCall {
    /// The same kind of instruction, at the same address, but with `target` as its target. `None`
    /// if `target` is out of reach.
    pub fn leading_to(self, target: usize) -> Option<[u8; LENGTH]> {
        let distance = target.wrapping_sub(self.address.wrapping_add(LENGTH)) as isize;
        let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
        Some([self.opcode, a, b, c, d])
    }
}

/// The near calls and jumps to `target` in `text`, whose first byte is at the address `start`.
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
