// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that sleeps and needs no tiles loses its enlarged buffer, gets it back when it wakes, and notices
 * nothing. Tiles in use are kept, as is the buffer of a thread that computes.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "idler.h"
#include "machine.h"

static bool computes(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 4);
	atomic_store(&worker->ready, true);
	spin_with_registers(&worker->stop, &before, &after);
	return !memcmp(&before, &after, sizeof(before));
}

/* Whether the thread still has its configuration and can load tiles again. */
static bool uses_tiles_again(void)
{
	struct tilecfg want = tilecfg_full(), got;

	sttilecfg(&got);
	if (memcmp(&want, &got, sizeof(got)))
		return false;
	tiles_load(&tiles);
	return tiles_hold(&tiles);
}

static bool sleeps_without_tiles(struct worker *worker)
{
	tiles_configure();	/* this releases their data */
	return sleeps(worker) && uses_tiles_again();
}

static bool computes_without_tiles(struct worker *worker)
{
	tiles_configure();
	return computes(worker) && uses_tiles_again();
}

static bool sleeps_with_tiles(struct worker *worker)
{
	return sleeps(worker) && tiles_hold(&tiles);
}

static bool computes_with_tiles(struct worker *worker)
{
	return computes(worker) && tiles_hold(&tiles);
}

TEST_F(reclaim, of_a_thread_that_sleeps)
{
	struct worker worker = { .run = sleeps_without_tiles };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

/* However often it happens, there must be no further first use. */
TEST_F(reclaim, again_and_again)
{
	struct worker worker = { .run = sleeps_without_tiles };
	long recycled = xfd_module() ? counter("recycled") : 0;

	for (int i = 1; i <= 5; i++) {
		atomic_store(&worker.ready, false);
		ASSERT_TRUE(worker_start(&worker));
		EXPECT_RECLAIMED(i);
		EXPECT_RIGHT(worker);
		EXPECT_USES(i);
		EXPECT_REGROWN(i);
	}
	/* Buffers that are given back are not first uses. */
	EXPECT_IN_MODULE(EXPECT_GE, 5, counter("recycled") - recycled);
}

/* Buffers reclaimed from threads that sleep without tiles show that passes have run. */
TEST_F(reclaim, not_of_others)
{
	struct worker sleeping = { .run = sleeps_with_tiles }, computing = { .run = computes_with_tiles };
	struct worker released = { .run = computes_without_tiles };
	struct worker passes = { .run = sleeps_without_tiles };
	int sleeper[2];

	ASSERT_EQ(0, pipe(sleeper));
	sleeping.from = sleeper[0];
	ASSERT_TRUE(worker_start(&sleeping));
	ASSERT_TRUE(worker_start(&computing));
	ASSERT_TRUE(worker_start(&released));
	for (int i = 1; i <= 3; i++) {
		atomic_store(&passes.ready, false);
		ASSERT_TRUE(worker_start(&passes));
		EXPECT_RECLAIMED(i);
		EXPECT_RIGHT(passes);
	}
	if (xfd_module())
		EXPECT_EQ(self->reclaimed + 3, counter("reclaimed"));
	ASSERT_EQ(1, write(sleeper[1], "", 1));
	EXPECT_RIGHT(sleeping);
	released.stop = computing.stop = 1;
	ASSERT_EQ(0, pthread_join(released.thread, NULL));
	ASSERT_EQ(0, pthread_join(computing.thread, NULL));
	EXPECT_TRUE(released.right);
	EXPECT_TRUE(computing.right);
	EXPECT_USES(3 + 3);
}

static bool is_real_time(void)
{
	struct sched_param lowest = { .sched_priority = 1 };

	return !sched_setscheduler(0, SCHED_FIFO, &lowest);
}

static bool locks_its_memory(void)
{
	return !mlockall(MCL_CURRENT | MCL_FUTURE);
}

static bool flushes_io(void)
{
	return !prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/*
 * A process that sleeps without live tiles until it reads a byte. When it is about to, it writes one: 0 if it got what
 * it asked for, else the errno.
 */
static pid_t process_that(bool (*asks)(void), int says, int from)
{
	pid_t pid = fork();
	char byte;

	if (pid)
		return pid;
	byte = asks() ? 0 : errno;
	use_tiles();
	tiles_configure();
	if (write(says, &byte, 1) != 1 || read(from, &byte, 1) != 1)
		_exit(2);
	_exit(uses_tiles_again() ? 0 : 1);
}

/* Whoever asked never to wait for memory does not have to when it wakes. */
TEST_F(reclaim, not_of_one_that_must_not_wait_for_memory)
{
	static bool (*const asks[])(void) = { is_real_time, locks_its_memory, flushes_io };
	int says[2], from[2], status, refused = 0;
	pid_t pids[ARRAY_SIZE(asks)];
	char byte = 0;

	ASSERT_EQ(0, pipe(says));
	ASSERT_EQ(0, pipe(from));
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		pids[i] = process_that(asks[i], says[1], from[0]);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		ASSERT_EQ(1, read(says[0], &byte, 1));
		if (byte)
			refused = byte;
	}
	LET_PASSES_COME();
	ASSERT_EQ(ARRAY_SIZE(asks), write(from[1], "all", ARRAY_SIZE(asks)));
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		ASSERT_EQ(0, status);
	}
	if (in_the_machine())
		ASSERT_EQ(0, refused);
	if (refused)
		SKIP(return, "needs CAP_SYS_NICE, CAP_IPC_LOCK and CAP_SYS_RESOURCE: %s", strerror(refused));
}

static bool forks_after_sleep(struct worker *worker)
{
	int status;
	pid_t pid;

	tilerelease();
	if (!sleeps(worker))
		return false;
	pid = fork();
	if (!pid) {
		use_tiles();
		_exit(tiles_hold(&tiles) ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

/* A child forked after the parent's buffer was reclaimed is like any other. */
TEST_F(reclaim, then_fork)
{
	struct worker worker = { .run = forks_after_sleep };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

/* A process that sleeps without its buffer, and is then killed or executes another program. */
static pid_t sleeper(bool execs)
{
	char *argv[] = { "true", NULL }, byte;
	pid_t pid = fork();

	if (pid)
		return pid;
	use_tiles();
	tilerelease();
	if (read(wake[0], &byte, 1) != 1 || !execs)
		_exit(1);
	if (fexecve(open("/proc/self/exe", O_RDONLY), argv, (char *[]) { "XFD_RECLAIM_ENDS=1", NULL }))
		_exit(2);
	_exit(3);
}

__attribute__((constructor)) static void executed(void)
{
	if (getenv("XFD_RECLAIM_ENDS"))
		_exit(0);
}

TEST_F(reclaim, then_killed)
{
	for (int i = 1; i <= 10; i++) {
		pid_t pid = sleeper(false);
		int status;

		EXPECT_RECLAIMED(i);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
	}
	EXPECT_USES(10);
}

TEST_F(reclaim, then_exec)
{
	for (int i = 1; i <= 5; i++) {
		pid_t pid = sleeper(true);
		int status;

		EXPECT_RECLAIMED(i);
		ASSERT_EQ(1, write(wake[1], "", 1));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_USES(5);
}

TEST_HARNESS_MAIN
