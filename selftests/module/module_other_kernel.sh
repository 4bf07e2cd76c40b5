#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A module built for another kernel: copies of the real one with a name replaced by another of
# the same length.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
COPY=$WORK/xfd.ko

# changed OLD NEW: creates the copy.
changed() {
	sed "s/$1/$2/g" "$MODULE" >"$COPY"
	same "size" "$(wc -c <"$MODULE")" "$(wc -c <"$COPY")" || return
	! cmp -s "$MODULE" "$COPY" || { echo "the module does not contain $1"; return 1; }
}

# refused ERRNO PATTERN: insmod of the copy fails with ERRNO, and logs one line, which matches.
refused() {
	log_mark
	if error=$(insmod "$COPY" 2>&1); then
		unload
		echo "insmod did not fail"
		return 1
	fi
	same errno "$1" "${error##*: }" || return
	lines=$(log_of_module | uniq)
	echo "$lines" | grep -qx "$2" || { printf 'expected: %s\nkernel log:\n%s\n' "$2" "$lines"; return 1; }
	same "lines in the log" 1 "$(echo "$lines" | wc -l)" || return
	nothing_remains
}

# kmod's modprobe and insmod say the same.
other_version() {
	release=$(uname -r)
	changed "vermagic=$release" "vermagic=$(echo "$release" | tr '[0-9]' 9)" &&
		refused "$1" "xfd: version magic '.*' should be '$release .*'"
}

# packaging/xfd-module, with the copy of the test before.
loader_says_so() {
	! "$HERE/load" "$COPY" >"$WORK/out" 2>&1 && cat "$WORK/out" && same "lines" 1 "$(wc -l <"$WORK/out")" &&
		grep -q "^xfd: not loaded: the module was built for another kernel (version magic .* should be .*); xfdctl doctor" "$WORK/out"
}

without_livepatch() {
	changed klp_enable_patch klp_enable_patcX &&
		refused "$1" "xfd: Unknown symbol klp_enable_patcX (err -2)"
}

without_a_function() {
	changed get_sigframe_size get_sigframe_sizX && refused "$1" \
		"xfd: not loaded: this kernel has no symbol get_sigframe_sizX; build the module for this kernel, with CONFIG_KALLSYMS_ALL"
}

# A data symbol, which kallsyms lists only with KALLSYMS_ALL.
without_data() {
	changed fpu_user_cfg fpu_user_cfX && refused "$1" \
		"xfd: not loaded: this kernel has no symbol fpu_user_cfX; build the module for this kernel, with CONFIG_KALLSYMS_ALL"
}

# No other function with a name of that length calls the handler.
other_stub() {
	stub=asm_exc_device_not_available
	other=$(awk -v n=${#stub} '$2 ~ /[tT]/ && length($3) == n && $3 !~ /[.]/ && $3 !~ /_exc_/ { print $3; exit }' /proc/kallsyms)
	changed $stub "$other" && refused "$1" \
		"xfd: not loaded: no single call of exc_device_not_available in $other; another module may have taken it, or this kernel is not supported"
}

# busybox's messages for ENOEXEC and ENOENT.
ENOEXEC="invalid module format"
ENOENT="unknown symbol in module, or unknown parameter"

plan 7
check "another_version" other_version "$ENOEXEC"
check "loader_says_so" loader_says_so
check "a_kernel_without_livepatch" without_livepatch "$ENOENT"
check "a_kernel_without_a_function" without_a_function "$ENOENT"
check "a_kernel_without_data_symbols" without_data "$ENOENT"
check "another_stub" other_stub "$ENOEXEC"
check "the_kernel_serves" kernel_serves
finish
