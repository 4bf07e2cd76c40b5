// SPDX-License-Identifier: GPL-2.0
//! Builds the agent that runs jobs in the guest; the runner's end of its channel is `boot/channel.rs`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;

const FLAGS: [&str; 5] = ["-O2", "-Wall", "-Werror", "-static", "-s"];
const SOURCE: &str = "agent.c";
const NAME: &str = "agent";

/// The built agent.
pub struct Agent {
    piece: Piece,
}

impl Agent {
    /// Builds the agent from `machine/guest`, unless it is up to date.
    ///
    /// # Errors
    ///
    /// It does not build.
    pub fn prepare(cache: &Cache, root: &Toolroot, guest: &Path) -> Result<Agent> {
        let key = Key::new().add("toolroot", root.key()).add("flags", FLAGS.join(" "));
        let key = key.file(SOURCE, &guest.join(SOURCE))?.finish();
        let piece = cache.piece(NAME, &key, |dir| {
            let log = Log::create(cache.log(NAME))?;
            let inside = root.inside().write(dir, "/xfd/build").read(guest, "/xfd/guest");
            let (to, from) = (format!("/xfd/build/{NAME}"), format!("/xfd/guest/{SOURCE}"));
            log.run("building the agent", inside.command("gcc").args(FLAGS).args(["-o", &to, &from]))
        })?;
        Ok(Agent { piece })
    }

    /// The path of the program.
    pub fn program(&self) -> PathBuf {
        self.piece.path().join(NAME)
    }
}
