# SPDX-License-Identifier: GPL-2.0
# In the emulated AMX machine (the first run sets it up: 10 minutes, 4 GB):
#   make demo             the first use of AMX, shown
#   make run P="PROG ARGS"  run your program with the module loaded
#   make shell            a shell in it; both accept OPTIONS="--module --cpus 2"
#   make check            all but the long tests; check-kvm: only those with KVM
#   make check-long       the long boots, and the DKMS build
#   make check-every      disturb each path at every instruction (hours)
#   make check-kernels    some boots on each kernel of machine/recipe.toml
#   make check-upstream check-builtin  kernels with our C fixes, or our code
#   make check-debug      with KASAN, lockdep; -rt: PREEMPT_RT; -kcsan: data races
#   make table            compare answers of stock kernel, module and this CPU
#   make bench bench-builtin  cost of AMX: C code and module; code built in
# On this host:
#   make host host-load   build the module for the running kernel; also load it
#   make deb deb-all      Debian packages for it, or for all kernels: .cache/deb
#   make load unload status  (root) the module in KO=, or the one make built
#   make modules install clean  with the kernel tree in KDIR=
# For developers:
#   make coverage mutants fuzz  for rust/xstate and rust/xcomp; SECONDS= for fuzz
#   make docs             Documentation/ as HTML; a warning is an error
#   make dist             the release tarball of the last commit
# XFD_KERNEL=NAME: another kernel of machine/recipe.toml, for all that use one

KDIR ?= /lib/modules/$(shell uname -r)/build
# The module to load. `machine prepare module` prints the path of the one built for the emulated machine.
KO ?= $(CURDIR)/xfd.ko
LIVEPATCH := /sys/kernel/livepatch/xfd

# Recipes take folders from the environment, quoted: a path may contain blanks, at which make would split it.
CACHE := $(or $(value XFD_CACHE),$(CURDIR)/.cache)
CACHE := $(if $(findstring ^/,^$(CACHE)),,$(CURDIR)/)$(CACHE)
export CARGO_TARGET_DIR := $(CACHE)/cargo
# The first build takes a while, so show its progress.
MACHINE = @unset MAKEFLAGS MFLAGS MAKELEVEL; machine/ready.sh && \
	cargo run $$([ ! -x "$$CARGO_TARGET_DIR/release/machine" ] || echo --quiet) \
	--release --locked --manifest-path machine/Cargo.toml --

.DEFAULT_GOAL := modules

# The comment at the top.
help:
	@sed -n '/^#/!q; /SPDX/!s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

# Options for the machine command of the same name, and a program to run: only from make's own command line. What a
# recipe runs may call make again, so MACHINE removes make's variables from its environment. `make run` and `make shell`
# load the module by default.
OPTIONS :=
P :=
run shell: OPTIONS := --module

modules: need-kdir need-options
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m $(if $(RUSTC),RUSTC='$(RUSTC)') modules

install: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules_install

# The kernel's rule looks for objects below this whole folder, also in .cache and in cargo's target folders. Show it
# only where kbuild builds: RCS_FIND_IGNORE is what its find leaves out.
BUILT := . ./rust ./rust/xfd ./rust/xfd/* ./samples ./samples/* ./selftests ./selftests/module ./selftests/module/*
clean: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m \
		RCS_FIND_IGNORE='-type d ! \( -false $(patsubst %,-o -path "%",$(BUILT)) \) -prune -o' clean

# Rejects a kernel tree that cannot build the module.
need-kdir: export TREE := $(KDIR)
need-kdir:
	@for folder in "$$PWD" "$$TREE"; do case $$folder in *[[:space:]:%\$$\'\"\\#]*) \
	echo "xfd: the kernel's make cannot build in this folder: $$folder has a blank, a colon or the like in its path" >&2; exit 2;; esac; done
	@test -f "$(KDIR)/Makefile" || { \
	echo "xfd: no kernel tree at $(KDIR): install the headers of your kernel, or set KDIR" >&2; exit 2; }
	@test -f "$(KDIR)/rust/libkernel.rmeta" || { \
	echo "xfd: $(KDIR) has no Rust metadata (Debian's headers have none): prepare the tree as Documentation/runner.rst says" >&2; exit 2; }

# Rejects a kernel without what Kconfig asks for, or that another rustc built: its metadata would be of no use.
OPTIONS_NEEDED := X86_64 RUST MODULES LIVEPATCH KPROBES KALLSYMS_ALL HAVE_STATIC_CALL_INLINE PROC_FS
need-options: need-kdir
	@set --; for option in $(OPTIONS_NEEDED); do \
	grep -qsx "CONFIG_$$option=y" "$(KDIR)/include/config/auto.conf" || set -- "$$@" "CONFIG_$$option"; done; \
	[ $$# = 0 ] || { echo "xfd: the kernel of $(KDIR) lacks $$*: the module needs it" >&2; exit 2; }
	@! grep -qsx "CONFIG_CFI=y" "$(KDIR)/include/config/auto.conf" || { \
	echo "xfd: the kernel of $(KDIR) has CONFIG_CFI: the module cannot replace functions there" >&2; exit 2; }
	@text='s/^CONFIG_RUSTC_VERSION_TEXT="\{0,1\}\([^"]*\)"\{0,1\}$$/\1/p'; \
	wanted=$$(sed -n "$$text" "$(KDIR)/include/config/auto.conf"); found=$$($(or $(RUSTC),rustc) --version 2>/dev/null); \
	[ "$$found" = "$$wanted" ] || { \
	echo "xfd: $(KDIR) was prepared with $$wanted, and this system has $${found:-no $(or $(RUSTC),rustc)}: set RUSTC" >&2; exit 2; }

# xfd.service does the same.
load: export FILE := $(KO)
load:
	@test -f "$$FILE" || { echo "xfd: no $$FILE: run make first, or set KO" >&2; exit 2; }
	@packaging/xfd-module load "$$FILE"

unload:
	@packaging/xfd-module unload

status:
	@if [ ! -d /sys/module/xfd ]; then echo "xfd: not loaded"; \
	elif [ ! -d $(LIVEPATCH) ]; then echo "xfd: loaded, disabled (make unload removes it)"; \
	else echo "xfd: enabled $$(cat $(LIVEPATCH)/enabled), in transition $$(cat $(LIVEPATCH)/transition)"; fi
	@cat /proc/xfd/counters 2>/dev/null || :

demo check check-builtin check-debug check-kernels check-upstream table bench host deb docs:
	$(MACHINE) $@ $(OPTIONS)

run:
	$(if $(strip $(P)),,@echo 'xfd: no program: make run P="PROGRAM ARGS"' >&2; exit 2)
	$(MACHINE) run $(OPTIONS) $(P)

shell:
	$(MACHINE) shell $(OPTIONS)

deb-all:
	$(MACHINE) deb --all $(OPTIONS)

host-load:
	$(MACHINE) host --load $(OPTIONS)

check-debug-rt:
	$(MACHINE) check-debug --rt $(OPTIONS)

check-debug-kcsan:
	$(MACHINE) check-debug --kcsan $(OPTIONS)

bench-builtin:
	$(MACHINE) bench --builtin $(OPTIONS)

check-long:
	$(MACHINE) check --long $(OPTIONS)

check-kvm:
	$(MACHINE) check --kvm $(OPTIONS)

check-every:
	$(MACHINE) check --long --filter every $(OPTIONS)

# Cargo subcommands, pinned to these versions and built once
export TOOLS := $(CACHE)/tools
TARPAULIN := cargo-tarpaulin@0.37.5
FUZZ := cargo-fuzz@0.13.2
# Later versions need a newer compiler than Debian 13's.
MUTANTS := cargo-mutants@26.0.0

# The folder containing a tool's executable.
bin = "$$TOOLS"/$(1)/bin
install = @machine/ready.sh && { [ -x $(call bin,$(1))/$(firstword $(subst @, ,$(1))) ] || \
	cargo install --locked --root "$$TOOLS"/$(1) $(1) || { \
	echo "xfd: $(1) cannot be installed: see cargo's message above; nothing was changed" >&2; exit 5; }; }

coverage:
	$(call install,$(TARPAULIN))
	$(call bin,$(TARPAULIN))/cargo-tarpaulin tarpaulin --locked --manifest-path rust/xstate/Cargo.toml \
		--target-dir "$$TOOLS"/target --exclude-files 'tests/*' --exclude-files 'fuzz/*' --out Stdout --fail-under 95

# Each crate's .cargo/mutants.toml says which files are mutated and which mutants are equivalent. The results are in
# .cache/mutants/CRATE. Each copy being built has its own target folder.
mutants:
	$(call install,$(MUTANTS))
	@for crate in xstate xcomp; do \
		mkdir -p "$${TOOLS%/tools}"/mutants/$$crate && \
		env -u CARGO_TARGET_DIR $(call bin,$(MUTANTS))/cargo-mutants mutants --jobs 2 --no-shuffle --dir rust/$$crate \
			--output "$${TOOLS%/tools}"/mutants/$$crate -- --locked || exit; \
	done

# This runs without a sanitizer, which would need a nightly compiler. rust/xstate has no unsafe code.
SECONDS ?= 60
fuzz:
	$(call install,$(FUZZ))
	@command -v c++ >/dev/null || { echo "xfd: no c++ for libFuzzer: install g++" >&2; exit 5; }
	cd rust/xstate && $(call bin,$(FUZZ))/cargo-fuzz run --sanitizer none --target-dir "$$TOOLS"/target history -- \
		-max_total_time=$(SECONDS) -max_len=200

dist:
	@packaging/dist.sh "$${TOOLS%/tools}"/dist

.PHONY: help run shell demo check check-builtin check-kvm check-long check-every check-kernels check-debug check-debug-rt check-debug-kcsan
.PHONY: check-upstream table bench bench-builtin host host-load deb deb-all load unload status modules install clean
.PHONY: need-kdir need-options
.PHONY: coverage mutants fuzz docs dist
