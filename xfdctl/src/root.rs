// SPDX-License-Identifier: GPL-2.0
//! Where `/proc` and `/sys` are: a test has its own.

use clap::Args;
use std::path::PathBuf;

/// The option of it, for commands that read nothing else.
#[derive(Args)]
pub struct Root {
    /// The folder that has `proc` and `sys`.
    #[arg(long = "root", hide = true, value_name = "FOLDER", default_value = "/")]
    pub folder: PathBuf,
}
