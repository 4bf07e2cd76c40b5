// SPDX-License-Identifier: GPL-2.0
/*
 * Threads whose buffers were reclaimed wake while no page is free, for a moment. With the C code they still have
 * their buffers, so this must not be the end of anybody: they wait.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "idler.h"
#include "knobs.h"
#include "machine.h"

#define THREADS 8
#define VM "/proc/sys/vm/"

static atomic_int awake;
static atomic_bool over;

static bool sleeps_once(struct worker *worker)
{
	bool right;

	tilerelease();
	right = sleeps(worker);
	atomic_fetch_add(&awake, 1);
	/* To end, a thread may need a page. */
	while (!atomic_load(&over))
		sched_yield();
	return right;
}

static long oom_kills(void)
{
	FILE *file = fopen("/proc/vmstat", "r");
	char name[64];
	long value, kills = -1;

	while (file && fscanf(file, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, "oom_kill"))
			kills = value;
	if (file)
		fclose(file);
	return kills;
}

/* The OOM killer would choose this process, and none that the machine needs. */
static bool be_chosen(void)
{
	return number_set("/proc/self/", "oom_score_adj", 1000);
}

/* Waits until nothing is left in the pipe. */
static void wait_until_read(int pipe)
{
	int left;

	do {
		sched_yield();
	} while (!ioctl(pipe, FIONREAD, &left) && left);
}

/* Sets the reserve back when this process closes the pipe, or dies. */
static pid_t guardian(int fd, const char *reserve, int pipe[2])
{
	pid_t pid = fork();
	char byte;

	if (pid)
		return pid;
	close(pipe[1]);
	if (!number_set("/proc/self/", "oom_score_adj", -1000) || mlockall(MCL_CURRENT))
		_exit(1);
	if (read(pipe[0], &byte, 1) != 1)
		_exit(2);
	_exit(read(pipe[0], &byte, 1) || pwrite(fd, reserve, strlen(reserve), 0) != strlen(reserve));
}

TEST_F(reclaim, a_moment_without_memory)
{
	struct worker workers[THREADS] = { };
	char enough[32], all[THREADS] = { };
	long pool = 0, kills = oom_kills(), reserve = number_in(VM, "min_free_kbytes");
	int fd, woken, status, watched[2];
	pid_t pid;

	REQUIRE_KNOBS();
	if (!in_the_machine())
		SKIP(return, "it makes memory short for the whole system: only in the emulated machine");
	ASSERT_LT(0, reserve);
	ASSERT_TRUE(be_chosen());
	if (xfd_module()) {
		pool = parameter("pool");
		ASSERT_TRUE(parameter_set("pool", 0));
	}
	/* From then on the pipe has a page of its own. */
	ASSERT_EQ(sizeof(all), write(wake[1], all, sizeof(all)));
	ASSERT_EQ(sizeof(all), read(wake[0], all, sizeof(all)));
	for (int i = 0; i < THREADS; i++) {
		workers[i].run = sleeps_once;
		ASSERT_TRUE(worker_start(&workers[i]));
	}
	EXPECT_RECLAIMED(THREADS);

	/* Nothing below may need a page: everything free is now the reserve. */
	fd = open(VM "min_free_kbytes", O_WRONLY);
	ASSERT_LE(0, fd);
	snprintf(enough, sizeof(enough), "%ld\n", reserve);
	ASSERT_EQ(0, pipe(watched));
	pid = guardian(fd, enough, watched);
	close(watched[0]);
	ASSERT_EQ(1, write(watched[1], "", 1));
	wait_until_read(watched[1]);
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	usleep(50000);	/* whoever reads our output has done so */
	write(fd, "2000000\n", 8);
	woken = write(wake[1], all, sizeof(all));
	wait_until_read(wake[0]);
	usleep(50000);
	woken -= atomic_load(&awake);
	close(watched[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	atomic_store(&over, true);
	ASSERT_EQ(0, munlockall());
	ASSERT_EQ(0, status);
	if (xfd_module())
		EXPECT_TRUE(parameter_set("pool", pool));

	EXPECT_EQ(THREADS, woken)
		TH_LOG("threads returned while there was no memory, so there was some");
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_TRUE(workers[i].right);
	}
	EXPECT_EQ(kills, oom_kills());
	EXPECT_USES(THREADS);
	EXPECT_REGROWN(THREADS);
}

TEST_HARNESS_MAIN
