// SPDX-License-Identifier: GPL-2.0
//! The folder that contains `/proc` and `/sys`. Tests bring their own.

use clap::Args;
use std::path::PathBuf;

/// The option for it, for commands that read nothing else.
#[derive(Args)]
pub struct Root {
    /// The folder that contains `proc` and `sys`.
    #[arg(long = "root", hide = true, value_name = "FOLDER", default_value = "/")]
    pub folder: PathBuf,
}
