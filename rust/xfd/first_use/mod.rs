// SPDX-License-Identifier: GPL-2.0
//! The #NM of a first use. entry.c is where it comes in.

mod nm_handler;
