# SPDX-License-Identifier: GPL-2.0
# Builds the kernel's KVM selftests: kvm-selftests.sh JOBS TEST...
# Runs in the root; /xfd/kernel is the prepared tree, /xfd/out the component being built.
jobs=$1
shift
kernel=/xfd/kernel build=/xfd/out/build tests=$kernel/tools/testing/selftests/kvm
mkdir -p $build/scripts

# The steps of `make headers`, which cannot build outside a prepared tree.
gcc -O2 -I$kernel/tools/include -o $build/scripts/unifdef $kernel/scripts/unifdef.c
cd $build
for part in include/uapi arch/x86/include/uapi; do
	make -s -j"$jobs" -f $kernel/scripts/Makefile.headersinst \
		srctree=$kernel objtree=$kernel SRCARCH=x86 CONFIG_SHELL=sh obj=$part
done

goals=
for name; do
	if [ -e "$tests/x86/$name.c" ]; then
		goals="$goals $build/kvm/x86/$name"
	elif [ -e "$tests/$name.c" ]; then
		goals="$goals $build/kvm/$name"
	else
		echo "error: this kernel has no KVM selftest $name"
		exit 1
	fi
done
# The tree is read-only, so the compiler checks need another folder.
# shellcheck disable=SC2086
make -s -j"$jobs" -C $tests CC=gcc ARCH=x86 OUTPUT=$build/kvm TMPOUT=$build/trial LDFLAGS=-static \
	KHDR_INCLUDES="-isystem $build/usr/include" EXTRA_CFLAGS="-I$build/usr/include" $goals
# shellcheck disable=SC2086
mv $goals /xfd/out
rm -rf $build
