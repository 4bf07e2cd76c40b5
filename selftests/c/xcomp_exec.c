// SPDX-License-Identifier: GPL-2.0
/* exec by every kind of task: the new program inherits none of the old one's state. */
#include "kselftest_harness.h"
#include "look.h"

#include <pthread.h>
#include <sys/wait.h>

#define STACK 65536

static struct tiles mine;

static void *exec_self_in_thread(void *arg)
{
	tiles_configure();
	tilezero0();
	exec_self(arg);
	return NULL;
}

static bool ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, __WALL) == pid && !status;
}

FIXTURE(exec)
{
	uint64_t small;
	int from;
};

FIXTURE_SETUP(exec)
{
	int fd[2];

	REQUIRE_TILES();
	report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, report);
	ASSERT_EQ(0, pipe(fd));
	self->from = fd[0];
	report_file = fd[1];
	self->small = xcomp_mask(XCOMP_PERM);
	tiles_fill(&mine, 4);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	tiles_configure();
	tiles_load(&mine);
}

FIXTURE_TEARDOWN(exec)
{
}

/* Nothing is left of the old program's state: no permission, no configuration, a small buffer. */
#define EXPECT_NEW_PROGRAM(way)							\
	do {									\
		ASSERT_EQ(sizeof(*report), read(self->from, report, sizeof(*report)));	\
		ASSERT_TRUE(report->done);					\
		report_answer("exec", way);					\
		EXPECT_EQ(self->small, report->perm);				\
		EXPECT_EQ(self->small, report->guest);				\
		EXPECT_EQ(0, report->in_use);					\
		EXPECT_EQ(0, report->cfg.palette);				\
		EXPECT_EQ(SIGILL, report->fault.signo);				\
		EXPECT_BEGINS_SMALL(self->small);				\
		EXPECT_TRUE(tiles_hold(&mine));					\
		EXPECT_EQ(self->small | BIT_ULL(TILE_DATA), xcomp_mask(XCOMP_PERM));	\
	} while (0)

TEST_F(exec, after_fork)
{
	pid_t pid = fork();

	if (!pid)
		_exit(exec_self(NULL));
	ASSERT_TRUE(ended(pid));
	EXPECT_NEW_PROGRAM("after_fork");
}

TEST_F(exec, after_vfork)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(exec_self(NULL));
	ASSERT_TRUE(ended(pid));
	EXPECT_NEW_PROGRAM("after_vfork");
}

TEST_F(exec, after_clone_vm)
{
	static char stack[STACK] __attribute__((aligned(64)));

	ASSERT_TRUE(ended(clone(exec_self, stack + STACK, CLONE_VM | SIGCHLD, NULL)));
	EXPECT_NEW_PROGRAM("after_clone_vm");
}

/* The thread becomes the leader; its large buffer is the only one in the process. */
TEST_F(exec, from_a_thread)
{
	pthread_t thread;
	pid_t pid = fork();

	if (!pid) {
		tiles_configure();
		tilezero0();
		if (pthread_create(&thread, NULL, exec_self_in_thread, NULL))
			_exit(2);
		pthread_join(thread, NULL);
		_exit(3);
	}
	ASSERT_TRUE(ended(pid));
	EXPECT_NEW_PROGRAM("from_a_thread");
}

TEST_HARNESS_MAIN
