# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made, its source is there: KCSAN watches the FPU code and modules that are built outside
# the tree, and nothing else of the kernel. It looks at one access of many, and those of all the kernel are too many.
cd /xfd/kernel/tree
lib=scripts/Makefile.lib
# Shellcheck sees no variables of make.
# shellcheck disable=SC2016
sed -i 's/^\(\t$(KCSAN_SANITIZE_$(target-stem).o)$(KCSAN_SANITIZE)\)$(is-kernel-object)/\1$(if $(KBUILD_EXTMOD),$(is-kernel-object))/' $lib
# shellcheck disable=SC2016
grep -q '(KCSAN_SANITIZE)$(if $(KBUILD_EXTMOD)' $lib || {
	echo "$lib is not as it was: who is instrumented is decided elsewhere"
	exit 1
}
echo "KCSAN_SANITIZE := y" >>arch/x86/kernel/fpu/Makefile
