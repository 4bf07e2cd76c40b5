// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel uses tiles while programs do: samples/kernel_tiles multiplies matrices in the context of the task
 * that writes to its file, and no task's registers change. module_kernel_tiles.sh loads it.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <fcntl.h>
#include <pthread.h>

#include "counters.h"
#include "frame.h"
#include "reclaim.h"

#define ROUNDS 50

static struct tiles tiles;

FIXTURE(kernel_tiles) {
	int file;
	long uses;
};

FIXTURE_SETUP(kernel_tiles)
{
	REQUIRE_TILES();
	self->file = open("/proc/xfd_kernel_tiles", O_WRONLY);
	if (self->file < 0)
		SKIP(return, "no /proc/xfd_kernel_tiles: kernel_tiles.ko is not loaded");
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 21);
	self->uses = counter("first_uses");
}

FIXTURE_TEARDOWN(kernel_tiles)
{
	EXPECT_EQ(0, counter("repeated"));
}

static void use_tiles(void)
{
	tiles_configure();
	tiles_load(&tiles);
}

/* The kernel computes one product in the caller's context, with @before in the AVX registers. */
static bool kernel_multiplies(int file, const struct registers *before, struct registers *after)
{
	long ret = SYS_write;

	asm volatile(ALL_YMM(LOAD_YMM)
		     "syscall\n\t"
		     ALL_YMM(STORE_YMM)
		     : "+a"(ret)
		     : "D"((long)file), "S"("1"), "d"(1L), [before] "r"(before), [after] "r"(after)
		     : "rcx", "r11", "memory", CLOBBERS_YMM);
	return ret == 1 && !memcmp(before, after, sizeof(*before));
}

static bool multiplies_with(int file, unsigned int seed)
{
	struct registers before, after;

	registers_fill(&before, seed);
	return kernel_multiplies(file, &before, &after);
}

TEST_F(kernel_tiles, live_tiles_stay)
{
	use_tiles();
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(multiplies_with(self->file, i));
		ASSERT_TRUE(tiles_hold(&tiles));
	}
	EXPECT_EQ(self->uses + 1, counter("first_uses"));
}

/* XFD is armed again: the first use traps, and the task does not see the kernel's data. */
TEST_F(kernel_tiles, a_task_without_tiles_is_armed_again)
{
	static const struct tiles zero;

	for (int i = 0; i < ROUNDS; i++)
		ASSERT_TRUE(multiplies_with(self->file, i));
	EXPECT_EQ(0, in_use() & TILE_BITS);
	EXPECT_EQ(self->uses, counter("first_uses"));
	tiles_configure();
	EXPECT_TRUE(tiles_hold(&zero));
	EXPECT_EQ(self->uses + 1, counter("first_uses"));
}

struct worker {
	pthread_t thread;
	int file;
	bool in_kernel, right;
};

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	use_tiles();
	worker->right = true;
	for (int i = 0; i < ROUNDS && worker->right; i++) {
		if (worker->in_kernel)
			worker->right = multiplies_with(worker->file, i);
		else
			sched_yield();
		worker->right &= tiles_hold(&tiles);
	}
	return NULL;
}

/* Threads that compute and threads that the kernel computes for take turns on the same CPUs. */
TEST_F(kernel_tiles, beside_other_threads_tiles)
{
	struct worker workers[4] = {};

	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker) { .file = self->file, .in_kernel = i % 2 };
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]));
	}
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_TRUE(workers[i].right);
	}
}

TEST_HARNESS_MAIN
