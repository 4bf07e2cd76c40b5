// SPDX-License-Identifier: GPL-2.0
//! The #NM of a first use, entered through entry.c.

mod nm_handler;
