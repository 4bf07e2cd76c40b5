# SPDX-License-Identifier: GPL-2.0
# In the emulated AMX machine (the first run sets it up: 10 minutes, 4 GB):
#   make demo             the first use of AMX, shown
#   make run P="PROG ARGS"  run a program of yours with the module loaded
#   make shell            look around in it (both take OPTIONS="--cpus 2 --gdb")
#   make check            all tests; check-kvm only those with virtual machines
#   make check-long       the boots that take 20 minutes and more
#   make check-every      disturb each path at each instruction (hours)
#   make check-kernels    some boots on each kernel of machine/recipe.toml
#   make check-debug      with KASAN, lockdep; -rt: PREEMPT_RT; -kcsan: data races
#   make table            answers of stock kernel, module and this CPU, compared
#   make bench            what AMX costs in the kernel, C code and module
# On this host:
#   make host host-load   build the module for the running kernel; and load it
#   make deb deb-all      Debian packages for it, or for all kernels: .cache/deb
#   make load unload status  (root) the module of KO=, or what make built
#   make modules install clean  with the kernel tree of KDIR=
# For developers:
#   make coverage mutants fuzz  of rust/xstate and rust/xcomp; SECONDS= of fuzz
#   make dist             the release tarball of what is committed
# XFD_KERNEL=NAME picks another kernel of machine/recipe.toml for any of them.

KDIR ?= /lib/modules/$(shell uname -r)/build
# The module that load takes; the emulated machine's is `machine prepare module`'s answer.
KO ?= $(CURDIR)/xfd.ko
LIVEPATCH := /sys/kernel/livepatch/xfd
COUNTERS := /sys/kernel/debug/xfd

export CARGO_TARGET_DIR := $(or $(XFD_CACHE),$(CURDIR)/.cache)/cargo
# The first build takes a while, and shows it.
MACHINE = $(need-cargo) cargo run $(if $(wildcard $(CARGO_TARGET_DIR)/release/machine),--quiet) --release --locked --manifest-path machine/Cargo.toml --

.DEFAULT_GOAL := modules

# The comment at the top.
help:
	@sed -n '/^#/!q; /SPDX/!s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

need-cargo = @command -v cargo >/dev/null || { \
	echo "xfd: no cargo: install Rust 1.85 or later (Debian 13: apt install cargo; else rustup)" >&2; \
	exit 5; };

# The options of `machine run` and `machine shell`: `machine run --help`.
OPTIONS ?= --module

modules: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules

install: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m modules_install

clean: need-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m clean

# Nothing is done with a tree that cannot build the module.
need-kdir:
	@test -f $(KDIR)/Makefile || { \
	echo "xfd: no kernel tree at $(KDIR): install the headers of your kernel, or say KDIR=" >&2; exit 2; }
	@test -f $(KDIR)/rust/libkernel.rmeta || { \
	echo "xfd: $(KDIR) has no Rust metadata (Debian's headers have none): prepare the tree as Documentation/machine.rst says" >&2; exit 2; }

# What xfd.service does, too.
load:
	@test -f $(KO) || { echo "xfd: no $(KO): run make first, or say KO=" >&2; exit 2; }
	@packaging/xfd-module load $(KO)

unload:
	@packaging/xfd-module unload

status:
	@if [ ! -d /sys/module/xfd ]; then echo "xfd: not loaded"; \
	elif [ ! -d $(LIVEPATCH) ]; then echo "xfd: loaded, disabled (make unload removes it)"; \
	else echo "xfd: enabled $$(cat $(LIVEPATCH)/enabled), in transition $$(cat $(LIVEPATCH)/transition)"; fi
	@grep -H . $(COUNTERS)/* 2>/dev/null | sed 's|.*/||; s|:|: |'

demo check check-debug check-kernels table bench host deb:
	$(MACHINE) $@

run:
	$(if $(strip $(P)),,@echo 'xfd: no program: make run P="PROGRAM ARGS"' >&2; exit 2)
	$(MACHINE) run $(OPTIONS) $(P)

shell:
	$(MACHINE) shell $(OPTIONS)

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
TOOLS := $(abspath $(CARGO_TARGET_DIR)/../tools)
TARPAULIN := cargo-tarpaulin@0.37.5
FUZZ := cargo-fuzz@0.13.2
# Later ones need a newer compiler than Debian 13 has.
MUTANTS := cargo-mutants@26.0.0

$(TOOLS)/%:
	$(need-cargo) cargo install --locked --root $(TOOLS)/$* $* || { \
	echo "xfd: $* cannot be installed: see cargo's message above; nothing was changed" >&2; exit 5; }

coverage: $(TOOLS)/$(TARPAULIN)
	$</bin/cargo-tarpaulin tarpaulin --locked --manifest-path rust/xstate/Cargo.toml --target-dir $(TOOLS)/target \
		--exclude-files 'tests/*' --exclude-files 'fuzz/*' --out Stdout --fail-under 95

# What is looked at, and what is the same as the code, is in each crate's .cargo/mutants.toml. The results stay in
# .cache/mutants/CRATE. The copies that it builds have folders of their own.
mutants: $(TOOLS)/$(MUTANTS)
	@for crate in xstate xcomp; do \
		mkdir -p $(TOOLS)/../mutants/$$crate && \
		env -u CARGO_TARGET_DIR $</bin/cargo-mutants mutants --jobs 2 --no-shuffle --dir rust/$$crate \
			--output $(TOOLS)/../mutants/$$crate -- --locked || exit; \
	done

# Without a sanitizer, which would need another compiler: rust/xstate has no unsafe code.
SECONDS ?= 60
fuzz: $(TOOLS)/$(FUZZ)
	@command -v c++ >/dev/null || { echo "xfd: no c++ for libFuzzer: install g++" >&2; exit 5; }
	cd rust/xstate && $(abspath $<)/bin/cargo-fuzz run --sanitizer none --target-dir $(TOOLS)/target history -- \
		-max_total_time=$(SECONDS) -max_len=200

dist:
	@packaging/dist.sh $(abspath $(CARGO_TARGET_DIR)/../dist)

.PHONY: help run shell demo check check-kvm check-long check-every check-kernels check-debug check-debug-rt check-debug-kcsan
.PHONY: table bench host host-load deb deb-all load unload status modules install clean need-kdir coverage mutants fuzz dist
