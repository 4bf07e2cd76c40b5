// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that needs no tiles any more gives its enlarged buffer back, and notices nothing: not
 * while it sleeps, nor while it computes. Tiles in use are kept. With the module only.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <sys/wait.h>

#include "idler.h"

static bool computes(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 4);
	atomic_store(&worker->ready, true);
	spin_with_registers(&worker->stop, &before, &after);
	return !memcmp(&before, &after, sizeof(before));
}

/* Whether the thread still has the configuration; its tiles can be loaded again. */
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
	tiles_configure();	/* which releases their data */
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
	EXPECT_USES(2);
}

TEST_F(reclaim, of_a_thread_that_computes)
{
	struct worker worker = { .run = computes_without_tiles };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

/* Those without tiles show that passes have been. */
TEST_F(reclaim, not_of_live_tiles)
{
	struct worker sleeping = { .run = sleeps_with_tiles }, computing = { .run = computes_with_tiles };
	struct worker passes = { .run = computes_without_tiles };

	ASSERT_TRUE(worker_start(&sleeping));
	ASSERT_TRUE(worker_start(&computing));
	for (int i = 1; i <= 3; i++) {
		passes.stop = 0;
		atomic_store(&passes.ready, false);
		ASSERT_TRUE(worker_start(&passes));
		EXPECT_RECLAIMED(i);
		passes.stop = 1;
		ASSERT_EQ(0, pthread_join(passes.thread, NULL));
		EXPECT_TRUE(passes.right);
	}
	EXPECT_RIGHT(computing);
	EXPECT_RIGHT(sleeping);
	EXPECT_EQ(self->reclaimed + 3, counter("reclaimed"));
	EXPECT_USES(2 + 3 * 2);
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

/* A child of a thread that gave its buffer back is as any other. */
TEST_F(reclaim, then_fork)
{
	struct worker worker = { .run = forks_after_sleep };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

TEST_HARNESS_MAIN
