// SPDX-License-Identifier: GPL-2.0
//! `machine prepare`: builds the components.

use std::path::Path;

use anyhow::Result;

use crate::boot::machine::Machine;
use crate::boot::verdict;
use crate::command::cli::PieceName;
use crate::piece::module;
use crate::piece::project::Project;

/// Prepares everything, or one component; prints where that one is.
pub fn prepare(project: &Project, piece: Option<PieceName>) -> Result<u8> {
    let Some(piece) = piece else {
        let machine = Machine::prepare(project)?;
        machine.module_and_programs(true)?;
        return Ok(verdict::PASS);
    };
    let root = project.toolroot()?;
    let paths = match piece {
        PieceName::Toolchain => vec![root.file("/")],
        PieceName::Emulator => vec![project.emulator(&root)?.program()],
        PieceName::Kernel => vec![project.kernel()?.tree()],
        PieceName::Module => {
            let kernel = project.kernel()?;
            vec![project.module(&kernel).module()?.path().join(module::MODULE)]
        }
        PieceName::Programs => {
            let kernel = project.kernel()?;
            let programs = project.programs(&root, &kernel)?;
            programs.names().filter_map(|name| programs.get(name)).map(Path::to_path_buf).collect()
        }
    };
    for path in paths {
        println!("{}", path.display());
    }
    Ok(verdict::PASS)
}
