// SPDX-License-Identifier: GPL-2.0
//! The command line: commands, options and their help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command::report::Output;
use crate::piece::image::words;

/// Prepares, boots and tests an emulated machine with AMX
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit status:\n  \
    0  all tests passed\n  \
    1  a test failed\n  \
    2  wrong usage\n  \
    3  the kernel reported a WARN, BUG, Oops or panic, or the emulator stopped on its own\n  \
    4  the machine hung: no output, or not finished within the time limit\n  \
    5  a component could not be prepared, or the machine did not start\n\
    `run` and `shell` exit with the program's own status (128 + N if signal N killed it), and with 203, 204 or \
    205 instead of 3, 4 or 5.\n\n\
    Environment:\n  \
    XFD_KERNEL   same as --kernel\n  \
    XFD_CACHE    folder for everything that is generated (default: .cache in the checkout)\n  \
    XFD_MIRROR   Debian mirror (default: the one this host uses)\n  \
    XFD_EXPIRED  accept expired package lists, as of a snapshot; signatures are still checked\n  \
    XFD_SIGN_KEY, XFD_SIGN_CERT  key and certificate that sign the modules of `host` and `deb`\n  \
    DEBFULLNAME, DEBEMAIL  the maintainer of the packages of `deb`"
)]
pub struct Cli {
    /// Kernel to use: a name from machine/recipe.toml, or `newest` for the newest series in the archive [default: the
    /// first one in machine/recipe.toml that the archive has]
    #[arg(long, global = true, env = "XFD_KERNEL", hide_env = true, value_name = "NAME")]
    pub kernel: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Subcommand)]
pub enum Command {
    /// Boot the machine and show the first use of AMX
    Demo,
    /// Run a program or script of this host in the machine
    ///
    /// The program's shared libraries are copied into the machine. The exit status is the program's.
    Run(Run),
    /// Open an interactive shell in the machine
    ///
    /// The test programs are in /tests; `load` and `unload` load and unload the module. `exit` leaves the shell; Ctrl-]
    /// switches the machine off at once.
    Shell {
        #[command(flatten)]
        machine: MachineArgs,
        /// Copy a file or folder of this host to /root, or to DEST; may be repeated
        #[arg(long, value_name = "SRC[:DEST]")]
        with: Vec<String>,
    },
    /// Run the tests: first those on this host, then the boots of machine/scenarios.toml
    Check {
        /// Only boots with TEXT in their name (host tests are called host:CRATE)
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// Only the boots that take a long time, which are not run otherwise
        #[arg(long)]
        long: bool,
        /// Only the boots that run virtual machines inside the machine
        #[arg(long, conflicts_with = "long")]
        kvm: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Run the boots meant for a debug kernel with KASAN, lockdep and more (its first build takes half an hour)
    CheckDebug {
        /// Only boots with TEXT in their name
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// Use the debug kernel with PREEMPT_RT
        #[arg(long)]
        rt: bool,
        /// Use the debug kernel with KCSAN; runs only boots with several CPUs
        #[arg(long, conflicts_with = "rt")]
        kcsan: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Run the boots meant for a kernel into which the subsystem is built (its first build takes 20 minutes)
    CheckBuiltin {
        /// Only boots with TEXT in their name
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Run some of the boots on each kernel of machine/recipe.toml, and compare the answers
    CheckKernels {
        /// Only kernels with TEXT in their name
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Build the stock kernel's source with the patches of upstream/linux, and compare its answers with the stock
    /// kernel's (the first build takes 10 minutes)
    CheckUpstream {
        /// Only boots with TEXT in their name
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Compare the test suites' answers on the stock kernel, with the module, and on this host's processor
    Table,
    /// Measure what AMX costs in the kernel, with the C code and with the module
    Bench {
        /// On a kernel into which the subsystem is built, instead of the stock kernel with the module
        #[arg(long)]
        builtin: bool,
    },
    /// Prepare everything, or one component and what it needs, and print where it is
    Prepare { component: Option<PieceName> },
    /// Run the module's make in the toolchain root, against the prepared kernel tree
    Make {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the module for this host's running kernel, and print the command that loads it
    Host {
        /// Build for this release (`uname -r`) instead of the running kernel's
        #[arg(long)]
        release: Option<String>,
        /// Load the module
        #[arg(long)]
        load: bool,
        /// Load the module even if it relies on functions of this kernel that nobody has reviewed
        #[arg(long, requires = "load")]
        unread: bool,
    },
    /// Build Debian packages of the module (for the running kernel, or that of --kernel), the tools and the DKMS source
    Deb {
        /// Build for this release (`uname -r`) instead of the running kernel's
        #[arg(long)]
        release: Option<String>,
        /// Build for every kernel of machine/recipe.toml
        #[arg(long, conflicts_with = "release")]
        all: bool,
    },
    /// Build Documentation/ with Sphinx, into the folder `docs` of the cache; warnings are errors
    Docs,
    /// Remove what was prepared, or only these components, and print how much space that freed; the next command
    /// prepares what it needs again
    Clean {
        /// toolchain, kernel, emulator, module, programs, packages, images, states, logs, or a name of --list
        #[arg(value_name = "COMPONENT")]
        pieces: Vec<String>,
        /// Only list the components with their sizes
        #[arg(long)]
        list: bool,
        /// Read the content of all components, and remove only the damaged ones
        #[arg(long, conflicts_with = "list")]
        verify: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PieceName {
    /// The Debian system with the compilers
    Toolchain,
    /// The stock kernel and its prepared source tree
    Kernel,
    /// Bochs with our patches
    Emulator,
    /// xfd.ko, and the modules that only tests load
    Module,
    /// The test programs
    Programs,
}

#[derive(Args, Clone)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Number of CPUs, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub cpus: u8,
    /// Memory in MiB, 256 to 2048 (the emulator's limit)
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=2048))]
    pub memory: u32,
    /// Load the module at the start, and unload it at the end
    #[arg(long)]
    pub module: bool,
    /// Words to append to the kernel's command line; double quotes keep a value with spaces together
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true,
        value_parser = cmdline
    )]
    pub cmdline: String,
    /// Let gdb debug the kernel and the module, and print the command that attaches it. `run` waits for gdb before the
    /// program starts
    #[arg(long)]
    pub gdb: bool,
}

#[derive(Args, Clone)]
pub struct Run {
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Give the CPU a feature: `fred`, which the kernel then uses; `component20`, a state component that no kernel
    /// knows; or AMX with a part missing, as some hypervisors offer it; may be repeated
    #[arg(
        long = "feature",
        value_name = "FEATURE",
        help_heading = "Machine",
        value_parser = ["fred", "component20", "no_palettes", "no_tile_state", "no_xfd"]
    )]
    pub features: Vec<String>,
    /// Show the kernel's console on stderr
    #[arg(long, help_heading = "Program")]
    pub console: bool,
    /// Stop the machine after SECONDS [default: after 600 s without output]
    #[arg(long, value_name = "SECONDS", help_heading = "Program", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Boot, instead of continuing from a saved machine
    #[arg(long, help_heading = "Machine")]
    pub boot: bool,
    /// Copy a file or folder to the program's working directory, or to DEST; may be repeated
    #[arg(long, help_heading = "Program", value_name = "SRC[:DEST]")]
    pub with: Vec<String>,
    /// Set an environment variable, or pass on its value from this host; may be repeated
    #[arg(long = "env", help_heading = "Program", value_name = "NAME[=VALUE]")]
    pub environment: Vec<String>,
    /// Copy the files that the program wrote to its working directory into this folder
    #[arg(long, help_heading = "Program", value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// A path, a command in PATH, or the name of a test program, followed by its arguments
    #[arg(help_heading = "Arguments", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub program: Vec<String>,
}

/// Refuses a kernel command line that could not be passed on unchanged.
fn cmdline(text: &str) -> anyhow::Result<String> {
    words(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_after_the_program_belong_to_it() {
        let cli = Cli::try_parse_from(["machine", "run", "--cpus", "2", "prog", "--cpus", "9", "-x"]).ok().unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!((run.machine.cpus, run.program), (2, ["prog", "--cpus", "9", "-x"].map(String::from).to_vec()));
    }

    #[test]
    fn impossible_machines_are_wrong_usage() {
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
