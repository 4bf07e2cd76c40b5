# SPDX-License-Identifier: GPL-2.0
# make demo        the whole thing in an emulated AMX machine (sets up everything first)
# make check       all tests; ends in `N passed, N failed, N skipped`
# make check-debug tests on a kernel with KASAN and lockdep (half an hour to build, once)
# make check-debug-rt the same with PREEMPT_RT, another kernel
# make check-debug-kcsan the boots with several CPUs on a kernel that looks for data races, a third one
# make table       the answers of the stock kernel, the module and this processor, side by side
# make bench       what AMX costs in the kernel, by the C code and by the module, counted in one boot
# make check-long  the boots that take long (20 minutes and more)
# make check-every each path disturbed at each of its instructions (hours)
# make check-kernels some boots and the table on each kernel of machine/recipe.toml (10 minutes each)
# make check-kvm   of check the boots with virtual machines in the machine
# make coverage    lines of rust/xstate that its tests reach; fails below 95 %
# make mutants     changes rust/xstate and rust/xcomp one place at a time; fails if no test notices one
# make fuzz        looks for a history that breaks an invariant of rust/xstate, for SECONDS (60)
# make             the module for the kernel of KDIR (default: the running one)
# make host        the module for the kernel that runs here, in Debian's packages; says the line that loads it
# make host-load   the same, and loads it
# make install load unload status      on a host with AMX
# make deb         Debian packages for the kernel that runs here, into .cache/deb; deb-all for each of machine/recipe.toml
# make dist        the release's tarball from what is committed; the same commit makes the same bytes
# XFD_KERNEL=NAME before any of them takes that kernel of machine/recipe.toml, not the default.

KDIR ?= /lib/modules/$(shell uname -r)/build
# The module that load takes; the emulated machine's is `machine prepare module`'s answer.
KO ?= $(CURDIR)/xfd.ko
LIVEPATCH := /sys/kernel/livepatch/xfd
COUNTERS := /sys/kernel/debug/xfd

# Recipes take folders from the environment, in quotes: a path may have blanks, and make would split it.
CACHE := $(or $(value XFD_CACHE),$(CURDIR)/.cache)
CACHE := $(if $(findstring ^/,^$(CACHE)),,$(CURDIR)/)$(CACHE)
export CARGO_TARGET_DIR := $(CACHE)/cargo
# The first build takes a while, and shows it.
MACHINE = @machine/ready.sh && cargo run $$([ ! -x "$$CARGO_TARGET_DIR/release/machine" ] || echo --quiet) \
	--release --locked --manifest-path machine/Cargo.toml --

modules: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules

install: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules_install

clean: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m clean

# Nothing is done with a tree that cannot build the module.
need-kdir:
	@case $$PWD in *[[:space:]:%\$$\'\"\\#]*) \
	echo "xfd: the kernel's make cannot build in this folder: $$PWD has a blank, a colon or the like in its path" >&2; exit 2;; esac
	@test -f "$(KDIR)/Makefile" || { \
	echo "xfd: no kernel tree at $(KDIR): install the headers of your kernel, or say KDIR=" >&2; exit 2; }
	@test -f "$(KDIR)/rust/libkernel.rmeta" || { \
	echo "xfd: $(KDIR) has no Rust metadata (Debian's headers have none): prepare the tree as Documentation/machine.rst says" >&2; exit 2; }

# What xfd.service does, too.
load: export FILE := $(KO)
load:
	@test -f "$$FILE" || { echo "xfd: no $$FILE: run make first, or say KO=" >&2; exit 2; }
	@packaging/xfd-module load "$$FILE"

unload:
	@packaging/xfd-module unload

status:
	@if [ ! -d /sys/module/xfd ]; then echo "xfd: not loaded"; \
	elif [ ! -d $(LIVEPATCH) ]; then echo "xfd: loaded, disabled (make unload removes it)"; \
	else echo "xfd: enabled $$(cat $(LIVEPATCH)/enabled), in transition $$(cat $(LIVEPATCH)/transition)"; fi
	@grep -H . $(COUNTERS)/* 2>/dev/null | sed 's|.*/||; s|:|: |'

demo check check-debug check-kernels table bench host deb:
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

# Tools of cargo's own kind: built once, at these versions.
export TOOLS := $(CACHE)/tools
TARPAULIN := cargo-tarpaulin@0.37.5
FUZZ := cargo-fuzz@0.13.2
# Later ones need a newer compiler than Debian 13 has.
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

# What is looked at, and what is the same as the code, is in each crate's .cargo/mutants.toml. The results stay in
# .cache/mutants/CRATE. The copies that it builds have folders of their own.
mutants:
	$(call install,$(MUTANTS))
	@for crate in xstate xcomp; do \
		mkdir -p "$${TOOLS%/tools}"/mutants/$$crate && \
		env -u CARGO_TARGET_DIR $(call bin,$(MUTANTS))/cargo-mutants mutants --jobs 2 --no-shuffle --dir rust/$$crate \
			--output "$${TOOLS%/tools}"/mutants/$$crate -- --locked || exit; \
	done

# Without a sanitizer, which would need another compiler: rust/xstate has no unsafe code.
SECONDS ?= 60
fuzz:
	$(call install,$(FUZZ))
	@command -v c++ >/dev/null || { echo "xfd: no c++ for libFuzzer: install g++" >&2; exit 5; }
	cd rust/xstate && $(call bin,$(FUZZ))/cargo-fuzz run --sanitizer none --target-dir "$$TOOLS"/target history -- \
		-max_total_time=$(SECONDS) -max_len=200

dist:
	@packaging/dist.sh "$${TOOLS%/tools}"/dist

.PHONY: deb deb-all dist modules install clean need-kdir load unload status host host-load demo check check-debug check-kernels check-debug-rt check-debug-kcsan table bench check-long check-kvm check-every coverage mutants fuzz
