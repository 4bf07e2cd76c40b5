# SPDX-License-Identifier: GPL-2.0
# make demo        show everything in an emulated AMX machine (sets up everything first)
# make check       run all tests; ends in `N passed, N failed, N skipped`
# make check-debug run tests on a kernel with KASAN and lockdep (takes half an hour to build, once)
# make check-debug-rt  the same with PREEMPT_RT, which is another kernel
# make check-debug-kcsan  run the boots with several CPUs on a kernel with KCSAN, which is a third kernel
# make table       compare the stock kernel, the module and this processor, side by side
# make bench       measure what AMX costs in the kernel, with the C code and with the module, in one boot
# make check-long  run the long boots (20 minutes and more)
# make check-every disturb each path at each of its instructions (hours)
# make check-kernels  run some boots and the table on each kernel in machine/recipe.toml (10 minutes each)
# make check-kvm   run the boots of `make check` that use virtual machines
# make coverage    report which lines of rust/xstate its tests reach; fails below 95 %
# make mutants     mutate rust/xstate and rust/xcomp; fails if no test notices a mutant
# make fuzz        search for a history that breaks an invariant of rust/xstate, for SECONDS (60)
# make             build the module for the kernel tree KDIR (default: the running kernel)
# make host        build the module for the running Debian kernel, and print the command that loads it
# make host-load   the same, and load it
# make install load unload status      on a host with AMX
# make deb         build Debian packages for the running kernel, into .cache/deb
# make deb-all     the same for each kernel in machine/recipe.toml
# make docs        build Documentation/ as HTML, into .cache/docs; a warning is an error
# make dist        make the release tarball of the current commit, reproducibly
# With XFD_KERNEL=NAME, any of these uses that kernel of machine/recipe.toml instead of the default.

KDIR ?= /lib/modules/$(shell uname -r)/build
# The module to load. `machine prepare module` prints the path of the one for the emulated machine.
KO ?= $(CURDIR)/xfd.ko
LIVEPATCH := /sys/kernel/livepatch/xfd
COUNTERS := /sys/kernel/debug/xfd

# Recipes take folders from the environment, in quotes: a path may have blanks, and make would split it.
CACHE := $(or $(value XFD_CACHE),$(CURDIR)/.cache)
CACHE := $(if $(findstring ^/,^$(CACHE)),,$(CURDIR)/)$(CACHE)
export CARGO_TARGET_DIR := $(CACHE)/cargo
# The first build takes a while, so show its progress.
MACHINE = @machine/ready.sh && cargo run $$([ ! -x "$$CARGO_TARGET_DIR/release/machine" ] || echo --quiet) \
	--release --locked --manifest-path machine/Cargo.toml --

modules: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules

install: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules_install

clean: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m clean

# Refuse a kernel tree that cannot build the module.
need-kdir:
	@case $$PWD in *[[:space:]:%\$$\'\"\\#]*) \
	echo "xfd: the kernel's make cannot build in this folder: $$PWD has a blank, a colon or the like in its path" >&2; exit 2;; esac
	@test -f "$(KDIR)/Makefile" || { \
	echo "xfd: no kernel tree at $(KDIR): install the headers of your kernel, or set KDIR" >&2; exit 2; }
	@test -f "$(KDIR)/rust/libkernel.rmeta" || { \
	echo "xfd: $(KDIR) has no Rust metadata (Debian's headers have none): prepare the tree as Documentation/machine.rst says" >&2; exit 2; }

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
	@grep -H . $(COUNTERS)/* 2>/dev/null | sed 's|.*/||; s|:|: |'

demo check check-debug check-kernels table bench host deb docs:
	$(MACHINE) $@

deb-all:
	$(MACHINE) deb --all

host-load:
	$(MACHINE) host --load

check-debug-rt:
	$(MACHINE) check-debug --rt

check-debug-kcsan:
	$(MACHINE) check-debug --kcsan

check-long:
	$(MACHINE) check --long

check-kvm:
	$(MACHINE) check --kvm

check-every:
	$(MACHINE) check --long --filter every

# Cargo subcommands, built once at these versions
export TOOLS := $(CACHE)/tools
TARPAULIN := cargo-tarpaulin@0.37.5
FUZZ := cargo-fuzz@0.13.2
# Later versions need a newer compiler than the one in Debian 13.
MUTANTS := cargo-mutants@26.0.0

# The folder of a tool's program.
bin = "$$TOOLS"/$(1)/bin
install = @machine/ready.sh && { [ -x $(call bin,$(1))/$(firstword $(subst @, ,$(1))) ] || \
	cargo install --locked --root "$$TOOLS"/$(1) $(1) || { \
	echo "xfd: $(1) cannot be installed: see cargo's message above; nothing was changed" >&2; exit 5; }; }

coverage:
	$(call install,$(TARPAULIN))
	$(call bin,$(TARPAULIN))/cargo-tarpaulin tarpaulin --locked --manifest-path rust/xstate/Cargo.toml \
		--target-dir "$$TOOLS"/target --exclude-files 'tests/*' --exclude-files 'fuzz/*' --out Stdout --fail-under 95

# .cargo/mutants.toml of each crate says which files are mutated, and which mutants are equivalent. The results
# are in .cache/mutants/CRATE. Each copy that is built has its own target folder.
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

.PHONY: docs deb deb-all dist modules install clean need-kdir load unload status host host-load demo check check-debug check-kernels check-debug-rt check-debug-kcsan table bench check-long check-kvm check-every coverage mutants fuzz
