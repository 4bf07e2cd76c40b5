# SPDX-License-Identifier: GPL-2.0
# Functions for boots with a debugger; init and `load` source this.

# Tells the runner the addresses of the sections of the module in this file. Its init sections have been freed by then.
tell_sections()
{
	# Read each file in one go.
	list=$(cd /sys/module/xfd/sections && grep . .[a-z]* | sed '/^\.init\./d; s/:/=/' | tr '\n' ' ')
	printf '\036sections %s %s\n' "${1##*/}" "$list" >/dev/ttyS1
}

# The emulator answers CPUID leaf 58464410H only after a debugger has attached and let the machine continue.
wait_for_debugger()
{
	insmod /lib/modules/cpuid.ko
	dd if=/dev/cpu/0/cpuid of=/dev/null bs=16 count=1 skip=$((0x5846441)) 2>/dev/null
}
