// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::piece::image::words;

/// Prepares, boots and tests the emulated AMX machine
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status:\n  \
    0  passed\n  \
    1  a test failed\n  \
    2  wrong usage\n  \
    3  the kernel said WARN, BUG, Oops or panic, or the machine stopped by itself\n  \
    4  hang: nothing came, or it was not done, within the time given\n  \
    5  a piece could not be prepared, or the machine did not start\n\
    `run` and `shell` end with the status of the program (128 + N: by signal N), and with 203, 204 or 205 in \
    place of 3, 4 or 5.\n\n\
    Environment:\n  \
    XFD_KERNEL  the same as --kernel\n  \
    XFD_SIGN_KEY, XFD_SIGN_CERT  what signs the modules of `host` and `deb`\n  \
    XFD_CACHE   folder for everything generated (default: .cache in the checkout)\n  \
    XFD_EXPIRED package lists that have expired are taken (a snapshot); signatures are checked all the same\n  \
    XFD_MIRROR  Debian mirror (default: the host's own on Debian, else mmdebstrap's)"
)]
pub struct Cli {
    /// Which stock kernel of machine/recipe.toml, or `newest` for one that is newer than they are [default: the first
    /// that the archive has]
    #[arg(long, global = true, env = "XFD_KERNEL", hide_env = true, value_name = "NAME")]
    pub kernel: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Prepare the pieces, or one of them with what it needs and print its path; nothing is made twice
    Prepare { piece: Option<PieceName> },
    /// Run the module's make in the toolchain root against the prepared kernel tree
    Make {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a program or script in the machine, with its libraries
    Run(Run),
    /// An interactive shell in the machine
    Shell {
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// The host's tests, then the boots of machine/scenarios.toml
    Check {
        /// Only what has this in its name (crates are called host:NAME)
        #[arg(long)]
        filter: Option<String>,
        /// Only the boots that take long, which are not run otherwise
        #[arg(long)]
        long: bool,
        /// Only the boots with virtual machines in the machine
        #[arg(long, conflicts_with = "long")]
        kvm: bool,
    },
    /// The boots that are for it, on a kernel with KASAN, lockdep and more (builds it first: half an hour)
    CheckDebug {
        /// Only what has this in its name
        #[arg(long)]
        filter: Option<String>,
        /// The kernel with PREEMPT_RT and its boots
        #[arg(long)]
        rt: bool,
        /// The kernel with KCSAN, and the boots with more than one CPU
        #[arg(long, conflicts_with = "rt")]
        kcsan: bool,
    },
    /// Build the module for the kernel that runs on this host, and say the line that loads it
    Host {
        /// For this release (uname -r), not the one that runs
        #[arg(long)]
        release: Option<String>,
        /// Load it
        #[arg(long)]
        load: bool,
        /// Load it even if the kernel differs where the module stands on it, and nobody has read that
        #[arg(long, requires = "load")]
        unread: bool,
    },
    /// Build Debian packages: the module for the kernel that runs on this host, or that of --kernel; tools; source for DKMS
    Deb {
        /// For this release (uname -r), not the one that runs
        #[arg(long)]
        release: Option<String>,
        /// For each kernel of machine/recipe.toml
        #[arg(long, conflicts_with = "release")]
        all: bool,
    },
    /// On each kernel of machine/recipe.toml: what the module is built from, its boots and the table
    CheckKernels {
        /// Only kernels with this in their name
        #[arg(long)]
        filter: Option<String>,
    },
    /// What the suites answer on the stock kernel, with the module and on this processor, side by side
    Table,
    /// Count what AMX costs in the kernel, by the C code and by the module, in one boot
    Bench,
    /// Show the first use of AMX, handled by the module
    Demo,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PieceName {
    Toolchain,
    Kernel,
    Emulator,
    Module,
    Programs,
}

#[derive(Args)]
pub struct MachineArgs {
    /// Processors, 1 to 4
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub cpus: u8,
    /// Memory in MiB, 256 to 2048: the emulator has no more
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=2048))]
    pub memory: u32,
    /// Load the module before and unload it after
    #[arg(long)]
    pub module: bool,
    /// Words to add to the kernel's command line; double quotes keep a value with spaces together
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true, value_parser = cmdline)]
    pub cmdline: String,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    pub machine: MachineArgs,
    /// On a CPU with this feature: FRED, which the kernel then uses; a state component that no kernel knows; or AMX
    /// without a part of it, as some hypervisors show it
    #[arg(long = "feature", value_parser = ["fred", "component20", "no_palettes", "no_tile_state", "no_xfd"])]
    pub features: Vec<String>,
    /// Show the kernel console on stderr
    #[arg(long)]
    pub console: bool,
    /// Stop the machine after so many seconds (default: after 600 s without output)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Copy a file or folder into the program's working directory
    #[arg(long)]
    pub with: Vec<PathBuf>,
    /// A path, a name in PATH, or the name of a test program; and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub program: Vec<String>,
}

/// A command line that reaches the kernel as it is.
fn cmdline(text: &str) -> anyhow::Result<String> {
    words(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_programs_own_options_are_not_ours() {
        let cli = Cli::try_parse_from(["machine", "run", "--cpus", "2", "prog", "--cpus", "9", "-x"]).ok().unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!((run.machine.cpus, run.program), (2, ["prog", "--cpus", "9", "-x"].map(String::from).to_vec()));
    }

    #[test]
    fn what_cannot_boot_is_wrong_usage() {
        let odd = [
            ["--cpus", "5"],
            ["--memory", "2049"],
            ["--memory", "255"],
            ["--timeout", "0"],
            ["--cmdline", "a\nb"],
            ["--cmdline", "it's"],
        ];
        for args in odd {
            let e = Cli::try_parse_from(["machine", "run", args[0], args[1], "prog"]).err().unwrap();
            assert_eq!(e.exit_code(), i32::from(crate::boot::verdict::USAGE), "{args:?}");
            assert!(e.to_string().contains(args[0]), "{e}");
        }
        let good = ["machine", "run", "--memory", "2048", "--timeout", "1", "--cmdline", "-a;$b \"c d\"", "prog"];
        assert!(Cli::try_parse_from(good).is_ok());
    }
}
