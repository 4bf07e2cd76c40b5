// SPDX-License-Identifier: GPL-2.0
/*
 * Every way to create a task: the permission it starts with; its buffer must be small and its tiles
 * initial, whatever its parent had.
 */
#include "kselftest_harness.h"
#include "look.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/wait.h>

#define STACK 65536

static struct tiles mine;

static void *look_in_thread(void *arg)
{
	look(arg);
	return NULL;
}

enum how { THREAD, FORK, VFORK, CLONE, CLONE3 };

/* Runs look() in a new task, and waits for it to exit. */
static __attribute__((noinline)) bool look_in(enum how how, unsigned long flags)
{
	static char stack[STACK] __attribute__((aligned(64)));
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	pthread_t thread;
	pid_t pid = -1;
	int status;

	switch (how) {
	case THREAD:
		return !pthread_create(&thread, NULL, look_in_thread, report) &&
		       !pthread_join(thread, NULL);
	case FORK:
		pid = fork();
		break;
	case VFORK:
		pid = vfork();
		break;
	case CLONE:
		pid = clone(look, stack + STACK, flags | SIGCHLD, report);
		break;
	case CLONE3:
		/* A child on our stack must not return from a function that we are still in. */
		asm volatile("syscall" : "=a"(pid)
			     : "a"(SYS_clone3), "D"(&args), "S"(sizeof(args))
			     : "rcx", "r11", "memory");
		break;
	}
	if (!pid)
		_exit(look(report));
	return waitpid(pid, &status, __WALL) == pid && !status;
}

FIXTURE(clone)
{
	uint64_t small, large;
	struct counters before;
};

FIXTURE_VARIANT(clone)
{
	const char *name;
	enum how how;
	unsigned long flags;
};

FIXTURE_SETUP(clone)
{
	REQUIRE_TILES();
	report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, report);
	prepare();
	self->small = xcomp_mask(XCOMP_PERM);
	self->large = self->small | BIT_ULL(TILE_DATA);
	self->before = counters_now();
	tiles_fill(&mine, 3);
}

FIXTURE_TEARDOWN(clone)
{
}

#define CASE(way, by, bits)							\
	FIXTURE_VARIANT_ADD(clone, way) { .name = #way, .how = by, .flags = bits }
CASE(thread, THREAD, 0);
CASE(fork, FORK, 0);
CASE(vfork, VFORK, 0);
CASE(clone_vm, CLONE, CLONE_VM);
CASE(clone_vm_sighand, CLONE, CLONE_VM | CLONE_SIGHAND);
CASE(clone_vfork, CLONE, CLONE_VFORK);
CASE(clone_fs_files, CLONE, CLONE_FS | CLONE_FILES);
CASE(clone3_fork, CLONE3, 0);
CASE(clone3_vfork, CLONE3, CLONE_VM | CLONE_VFORK);

TEST_F(clone, without_permission)
{
	ASSERT_TRUE(look_in(variant->how, variant->flags));
	ASSERT_TRUE(report->done);
	EXPECT_EQ(self->small, report->perm);
	EXPECT_EQ(self->small, report->guest);
	EXPECT_EQ(SIGILL, report->fault.signo);
	EXPECT_EQ(ILL_ILLOPC, report->fault.code);
	EXPECT_EQ(report->fault.at, report->fault.addr);
	EXPECT_BEGINS_SMALL(self->small);
	EXPECT_COUNTED(self->before, 0, 1);
}

/* The new task gets the tile configuration, never the tile data (fpu/core.c:695). */
TEST_F(clone, of_live_tiles)
{
	struct tilecfg full = tilecfg_full();

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ldtilecfg(&full);
	tiles_load(&mine);
	ASSERT_TRUE(look_in(variant->how, variant->flags));
	ASSERT_TRUE(report->done);
	report_answer("clone", variant->name);
	EXPECT_EQ(self->large, report->perm);
	EXPECT_EQ(self->small, report->guest);
	EXPECT_EQ(BIT_ULL(TILE_CFG), report->in_use);
	EXPECT_EQ(0, memcmp(&full, &report->cfg, sizeof(full)));
	EXPECT_EQ(0, report->fault.signo);
	EXPECT_TRUE(report->tiles_zero);
	EXPECT_BEGINS_SMALL(self->large);
	EXPECT_TRUE(tiles_hold(&mine));
	EXPECT_COUNTED(self->before, 2, 0);
}

/* The permission belongs to the thread group, whatever else parent and child share. */
TEST_F(clone, a_childs_request)
{
	bool shared = variant->how == THREAD;

	ask = true;
	ASSERT_TRUE(look_in(variant->how, variant->flags));
	ASSERT_TRUE(report->done);
	EXPECT_EQ(0, report->request);
	EXPECT_EQ(self->large, report->perm);
	EXPECT_EQ(0, report->fault.signo);
	EXPECT_EQ(shared ? self->large : self->small, xcomp_mask(XCOMP_PERM));
	EXPECT_EQ(self->small, xcomp_mask(XCOMP_GUEST_PERM));
}

TEST_HARNESS_MAIN
