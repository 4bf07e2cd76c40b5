// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU goes offline, comes back or idles while its registers hold, or last held, live tiles.
 * CVE-2024-35801: a CPU came back with IA32_XFD reset but the per-CPU copy unchanged, and the next
 * XRSTOR in the kernel raised #NM. 7.2 writes both (arch/x86/kernel/fpu/xstate.c:220).
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "holder.h"
#include "machine.h"

#define ONLINE "/sys/devices/system/cpu/cpu1/online"

FIXTURE(hotplug)
{
	struct holder holder;
};

FIXTURE_SETUP(hotplug)
{
	REQUIRE_TILES();
	if (!in_the_machine())
		SKIP(return, "takes a CPU offline: only in the emulated machine");
	if (access(ONLINE, W_OK))
		SKIP(return, "needs 2 CPUs");
	ASSERT_TRUE(pin_to(0));
}

FIXTURE_TEARDOWN(hotplug)
{
	write_setting(ONLINE, "1");
}

/* The task is the last in user mode on CPU 1 before the CPU goes offline, and the first after it comes back. */
TEST_F(hotplug, of_the_cpu_of_a_blocked_task)
{
	ASSERT_TRUE(holder_start(&self->holder, 1, 21, HOLD_BLOCKED));
	EXPECT_EQ(0, msr_of(1, IA32_XFD));
	ASSERT_TRUE(write_setting(ONLINE, "0"));
	ASSERT_TRUE(write_setting(ONLINE, "1"));
	EXPECT_EQ(BIT_ULL(TILE_DATA), msr_of(1, IA32_XFD));
	EXPECT_EQ(0, holder_end(&self->holder));
}

/* The task is pushed to CPU 0 with its tiles, and moves back. */
TEST_F(hotplug, of_the_cpu_of_a_running_task)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	ASSERT_TRUE(holder_start(&self->holder, 1, 22, HOLD_SPINNING));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(write_setting(ONLINE, "0"));
		holder_looks_again(&self->holder);
		ASSERT_TRUE(write_setting(ONLINE, "1"));
		ASSERT_EQ(0, sched_setaffinity(self->holder.pid, sizeof(one), &one));
		holder_looks_again(&self->holder);
		EXPECT_EQ(0, msr_of(1, IA32_XFD));
	}
	EXPECT_EQ(0, holder_end(&self->holder));
}

/* How often CPU @cpu entered idle state @state; -1 if there is no such state. */
static long idle_usage(int cpu, int state)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/usage", cpu, state);
	read_setting(path, text, sizeof(text));
	return *text ? atol(text) : -1;
}

/* Entries into all idle states except the first, which is a busy loop. */
static long idle_entries(int cpu, int states)
{
	long sum = 0;

	for (int state = 1; state < states; state++)
		sum += idle_usage(cpu, state);
	return sum;
}

/*
 * Live tiles keep a core out of its deepest idle states, so the idle driver first saves and
 * releases them (fpu_idle_fpregs(), arch/x86/kernel/fpu/core.c).
 */
TEST(idle_with_live_tiles)
{
	struct holder holder;
	int states = 0;
	long before;

	REQUIRE_TILES();
	while (idle_usage(0, states) >= 0)
		states++;
	if (states < 2)
		SKIP(return, "no idle states in /sys/devices/system/cpu/cpu0/cpuidle");
	/* CPU 0 is left to the holder; this thread waits on another one. */
	if (!pin_to(1))
		SKIP(return, "only one CPU: nowhere to watch from");
	ASSERT_TRUE(holder_start(&holder, 0, 23, HOLD_BLOCKED));
	before = idle_entries(0, states);
	for (int tries = 0; idle_entries(0, states) == before && tries < 10000; tries++)
		usleep(1000);
	EXPECT_NE(before, idle_entries(0, states));
	EXPECT_EQ(0, holder_end(&holder));
}

TEST_HARNESS_MAIN
