// SPDX-License-Identifier: GPL-2.0
/*
 * A tracer attaches to a process that slept without its buffer, or that is stopped. It sees the same state as
 * before, and can write tiles.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "idler.h"
#include "released.h"

static union xsave before, after;

/* Waits until the process sleeps, which it does in only one place (/proc/PID/wchan may be unreadable). */
static void wait_until_asleep(pid_t pid)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	while (state != 'S') {
		FILE *file = fopen(path, "r");

		if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		if (file)
			fclose(file);
		sched_yield();
	}
}

/* The tracer reads the state and detaches; the process sleeps; the tracer reads again and writes tiles. */
static void look_sleep_give(struct __test_metadata *_metadata, FIXTURE_DATA(reclaim) *self, bool seize)
{
	struct tracee tracee = { .pid = released_start() };
	long size = xsave_size(xcomp_mask(XCOMP_SUPP));

	wait_until_asleep(tracee.pid);
	ASSERT_TRUE(attach(tracee.pid, seize));
	EXPECT_EQ(size, xstate_get(&tracee, &before));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, tracee.pid, 0, 0));
	self->reclaimed = xfd_module() ? counter("reclaimed") : 0;
	EXPECT_RECLAIMED(1);
	ASSERT_TRUE(attach(tracee.pid, seize));
	EXPECT_EQ(size, xstate_get(&tracee, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	put_tiles(&after);
	EXPECT_EQ(size, xstate_set(&tracee, &after));
	EXPECT_EQ(size, xstate_get(&tracee, &before));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, tracee.pid, 0, 0));
	EXPECT_GOES_ON(tracee.pid);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

TEST_F(reclaim, a_tracer_seizes)
{
	look_sleep_give(_metadata, self, true);
}

TEST_F(reclaim, a_tracer_attaches)
{
	look_sleep_give(_metadata, self, false);
}

/* The tracer can later write back what it read while the tiles were live. */
TEST_F(reclaim, tiles_of_a_tracer_come_back)
{
	pid_t pid = fork();
	struct tracee tracee = { .pid = pid };
	int status;
	char byte;

	if (!pid) {
		use_tiles();
		raise(SIGSTOP);
		tilerelease();
		_exit(read(wake[0], &byte, 1) == 1 && tiles_hold(&tiles) ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_LT(0, xstate_get(&tracee, &before));
	EXPECT_EQ(0, memcmp(tiles_in(&before), &tiles, sizeof(tiles)));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	ASSERT_EQ(0, kill(pid, SIGCONT));
	wait_until_asleep(pid);
	EXPECT_RECLAIMED(1);
	ASSERT_TRUE(attach(pid, true));
	EXPECT_LT(0, xstate_set(&tracee, &before));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	EXPECT_GOES_ON(pid);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

/*
 * A process stopped by a signal goes straight into a ptrace stop, without handling other pending work. Buffers
 * reclaimed from other sleeping threads show that passes have run.
 */
TEST_F(reclaim, of_a_stopped_process)
{
	struct worker passes = { .run = sleeps_released };
	pid_t pid = fork();
	struct tracee tracee = { .pid = pid };
	int status;

	if (!pid) {
		use_tiles();
		tilerelease();
		raise(SIGSTOP);
		_exit(tiles_hold(&tiles) ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	for (int i = 1; i <= 3; i++) {
		atomic_store(&passes.ready, false);
		ASSERT_TRUE(worker_start(&passes));
		EXPECT_RECLAIMED(i);
		EXPECT_RIGHT(passes);
	}
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_LT(0, xstate_get(&tracee, &after));
	put_tiles(&after);
	EXPECT_LT(0, xstate_set(&tracee, &after));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	ASSERT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_USES(1 + 3);
}

/* Only its child's exit wakes the process, which stops for the tracer inside the system call. */
TEST_F(reclaim, of_a_process_that_waits_in_vfork)
{
	pid_t pid = fork();
	struct tracee tracee = { .pid = pid };
	int status;
	char byte;

	if (!pid) {
		use_tiles();
		tilerelease();
		if (!vfork())
			_exit(read(wake[0], &byte, 1) != 1);
		_exit(tiles_hold(&tiles) ? 0 : 1);
	}
	EXPECT_RECLAIMED(1);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEVFORKDONE));
	ASSERT_EQ(1, write(wake[1], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_VFORK_DONE << 8, status >> 8);
	ASSERT_LT(0, xstate_get(&tracee, &after));
	put_tiles(&after);
	EXPECT_LT(0, xstate_set(&tracee, &after));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

TEST_HARNESS_MAIN
