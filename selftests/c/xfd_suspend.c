// SPDX-License-Identifier: GPL-2.0
/*
 * Suspend and resume. fpu__resume_cpu() (7.2: arch/x86/kernel/fpu/xstate.c:989) writes IA32_XFD for
 * the task that requested the suspend, but not the per-CPU copy. If the copy holds another task's
 * value, the two disagree, and that task's next XRSTOR faults in the kernel.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "holder.h"
#include "machine.h"
#include "stock.h"

#include <dirent.h>

static int suspend_to_ram(void)
{
	if (!write_setting("/sys/power/mem_sleep", "deep"))
		return errno;
	return write_setting("/sys/power/state", "mem") ? 0 : errno;
}

/*
 * Half a hibernation: the image is created, there is no swap to write it to, and the system
 * continues. Processor state is saved and restored meanwhile (7.2: kernel/power/hibernate.c:356).
 */
static int make_an_image(void)
{
	if (write_setting("/sys/power/state", "disk"))
		return -1;
	return errno == ENODEV ? 0 : errno;
}

static bool swap_is_on(void)
{
	char first[256];
	FILE *swaps = fopen("/proc/swaps", "r");
	bool on = swaps && fgets(first, sizeof(first), swaps) && fgets(first, sizeof(first), swaps);

	if (swaps)
		fclose(swaps);
	return on;
}

/*
 * Moves all other user-space processes to these CPUs. If one ran on CPU 0 before the holder did, it
 * would write its own value to both the register and the copy, and hide the bug.
 */
static void everybody_else_to(const cpu_set_t *cpus)
{
	DIR *processes = opendir("/proc");
	struct dirent *process;

	while (processes && (process = readdir(processes))) {
		char path[300], text[8];

		snprintf(path, sizeof(path), "/proc/%s/exe", process->d_name);
		if (atoi(process->d_name) && readlink(path, text, sizeof(text)) > 0)
			sched_setaffinity(atoi(process->d_name), sizeof(*cpus), cpus);
	}
	if (processes)
		closedir(processes);
}

FIXTURE(suspend)
{
	cpu_set_t all, one;
};

FIXTURE_VARIANT(suspend)
{
	int (*how)(void);
};

FIXTURE_VARIANT_ADD(suspend, to_ram)
{
	.how = suspend_to_ram,
};

FIXTURE_VARIANT_ADD(suspend, to_an_image)
{
	.how = make_an_image,
};

FIXTURE_SETUP(suspend)
{
	REQUIRE_TILES();
	if (!in_the_machine())
		SKIP(return, "suspends: only in the emulated machine");
	if (swap_is_on())
		SKIP(return, "would really hibernate: there is swap");
	if (!access("/sys/kernel/debug/kcsan", F_OK))
		SKIP(return, "a kernel with KCSAN does not resume: __restore_processor_state() is instrumented, without %%gs");
	if (variant->how == make_an_image && access("/sys/power/disk", F_OK))
		SKIP(return, "the kernel lacks HIBERNATION");
	ASSERT_EQ(0, sched_getaffinity(getppid(), sizeof(self->all), &self->all));
	if (!pin_to(1))
		SKIP(return, "needs 2 CPUs");
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->one), &self->one));
	everybody_else_to(&self->one);
}

FIXTURE_TEARDOWN(suspend)
{
	everybody_else_to(&self->all);
}

TEST_F(suspend, by_a_task_without_tiles)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct holder holder;
	int end;

	/* The kernel may oops in the holder's context; let that kill only the holder. */
	ASSERT_TRUE(write_setting("/proc/sys/kernel/panic_on_oops", "0"));
	ASSERT_TRUE(holder_start(&holder, 0, 7, HOLD_SPINNING));
	EXPECT_EQ(0, msr_of(0, IA32_XFD));
	/* This task also moves to CPU 0 when CPU 1 goes offline; the holder must run there first. */
	ASSERT_EQ(0, sched_setscheduler(holder.pid, SCHED_FIFO, &first));
	EXPECT_EQ(0, variant->how());
	sched_setscheduler(holder.pid, SCHED_OTHER, &(struct sched_param) { 0 });
	ASSERT_TRUE(pin_to(1));
	holder_looks_again(&holder);
	if (holder_lives(&holder))
		EXPECT_EQ(0, msr_of(0, IA32_XFD));
	end = holder_end(&holder);
	if (end == -SIGSEGV && !bugs_are_mended())
		SKIP(return, "7.2's C code: #NM in the kernel's XRSTORS for a task with tiles");
	EXPECT_EQ(0, end);
	ASSERT_TRUE(pin_to(0));
	EXPECT_EQ(BIT_ULL(TILE_DATA), msr_of(0, IA32_XFD));
}

TEST_HARNESS_MAIN
