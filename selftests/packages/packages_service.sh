#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A system booted by systemd with our packages installed and the service enabled. The service loads the module, reloads
# its parameters, upgrades it under AMX load, unloads it when stopped or removed, and ignores a kernel without one.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

RELEASE=$(uname -r)
CONF=/etc/modprobe.d/xfd.conf

is_active() { same "the unit" active "$(systemctl is-active xfd)"; }
is_inactive() { same "the unit" inactive "$(systemctl is-active xfd)"; }
# The service's log from its last run.
journal() { journalctl -q -b -u xfd -o cat "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID xfd)"; }
journal_has() { journal | grep -qF "$1" || { echo "not in the journal: $1"; journalctl -q -b -u xfd -o cat; return 1; }; }

booted_with_it() { is_active && is_settled && journal_has "xfd: loaded: "; }
stops() { systemctl stop xfd && is_inactive && ! is_loaded && nothing_remains; }
starts() { systemctl start xfd && is_active && is_settled; }
with_amx() {
	amx_start || return
	"$@"
	outcome=$?
	amx_stop && return $outcome
}

parameter_is() { same "$1" "$2" "$(cat "/sys/module/xfd/parameters/$1")"; }
reloads() {
	echo "options xfd pool=3 reclaim_ms=777" >>$CONF
	systemctl reload xfd && parameter_is pool 3 && parameter_is reclaim_ms 777
}
refuses_bad_parameters() {
	echo "options xfd pool=5 reclaim_ms=888 pool=many" >>$CONF
	systemctl reload xfd && return 1
	sed -i '/many/d' $CONF
	journalctl -q -b -u xfd -o cat | grep -qF "xfd: cannot set pool to many; nothing was changed" && is_active &&
		parameter_is pool 3 && parameter_is reclaim_ms 777
}
# Only the later version has this parameter.
is_the_later() { [ -e /sys/module/xfd/parameters/eager ]; }
upgrades() {
	is_the_later && return 1
	dpkg --force-confold -i /packages/*.deb && is_the_later && is_active && is_settled && parameter_is pool 3
}

# The later version can make a load step fail. The journal has the kernel's reason.
says_why_it_was_refused() {
	echo "options xfd fail_step=3" >>$CONF
	systemctl start xfd && return 1
	sed -i '/fail_step/d' $CONF
	same "the unit" failed "$(systemctl is-active xfd)" && ! is_loaded && journal_has "xfd: not loaded: step Kernel failed as fail_step asks" &&
		starts && stops
}
refuses_another() {
	/usr/libexec/xfd/xfd-module load "/usr/lib/modules/$RELEASE/updates/xfd.ko" && return 1
	is_active && is_settled
}
# Starting the service with the module already loaded succeeds.
starts_with_the_module_there() {
	systemctl stop xfd && /usr/libexec/xfd/xfd-module load && starts && stops
}
# A process that holds the module: it serves on, and the next stop succeeds.
goes_on_while_held() {
	systemctl start xfd || return
	sleep 600 </proc/xfd/counters &
	holder=$!
	systemctl stop xfd
	kill $holder
	wait $holder 2>/dev/null
	journal_has "xfd: not unloaded, in use: sleep ($holder) has /proc/xfd/counters open; nothing was changed" &&
		same "enabled" 1 "$(cat $PATCH/enabled)" && starts && stops
}
# One that was disabled by hand is replaced.
starts_with_it_disabled() {
	/usr/libexec/xfd/xfd-module load && echo 0 >$PATCH/enabled && starts && same "enabled" 1 "$(cat $PATCH/enabled)" && stops
}
failed_units() { systemctl --failed --plain --no-legend | grep -v systemd-tpm; }
without_a_module() {
	mv "/usr/lib/modules/$RELEASE/updates/xfd.ko" /tmp && depmod "$RELEASE"
	systemctl start xfd && is_inactive && same "lines in the journal" 1 "$(journal | grep -c "xfd: no module for the kernel $RELEASE: ")" &&
		same "failed units" "" "$(failed_units)"
	outcome=$?
	mv /tmp/xfd.ko "/usr/lib/modules/$RELEASE/updates/" && depmod "$RELEASE" && return $outcome
}
removed() {
	starts && dpkg -r "xfd-modules-$RELEASE" && is_inactive && ! is_loaded && nothing_remains && kernel_serves
}

plan 18
check "booted_with_it" booted_with_it
check "module_serves" module_serves
check "reloads" reloads
check "refuses_bad_parameters" refuses_bad_parameters
check "upgrades_under_amx" with_amx upgrades
check "later_module_serves" module_serves
check "stops_under_amx" with_amx stops
check "kernel_serves" kernel_serves
check "says_why_it_was_refused" says_why_it_was_refused
check "starts_again_under_amx" with_amx starts
check "refuses_another" refuses_another
check "starts_with_the_module_there" starts_with_the_module_there
check "goes_on_while_held" goes_on_while_held
check "starts_with_it_disabled" starts_with_it_disabled
check "without_a_module" without_a_module
check "removed" removed
check "nothing_failed" same "failed units" "" "$(failed_units)"
check "no_splat" no_splat
finish
