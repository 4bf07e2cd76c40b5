// SPDX-License-Identifier: GPL-2.0
//! The kernel log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

/// Reads the kernel log, one message per line without prefixes; `None` if that is not permitted.
pub fn read() -> Option<String> {
    let mut device: File =
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
    let mut log = String::new();
    let mut record = vec![0; 8192];
    loop {
        match device.read(&mut record) {
            Ok(0) => return Some(log),
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                let message = text.split_once(';').map_or("", |(_, message)| message);
                log.push_str(message.lines().next().unwrap_or_default());
                log.push('\n');
            }
            // Messages were overwritten in the meantime.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(log),
            Err(_) => return None,
        }
    }
}
