// SPDX-License-Identifier: GPL-2.0
/*
 * Register contents with live tiles, saved from a frame, are written into a later frame of a thread that has
 * since slept without tiles. sigreturn loads the tiles, whether or not the thread's buffer was reclaimed.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "idler.h"
#include "kept.h"

static struct kept kept;
static const struct tiles zero;

enum { KEEP, WRITE, WRITE_WHOLE, MAKE_UP, NOTHING };
static volatile int todo;
static atomic_int delivered;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	uint8_t *area = frame_area(ucontext);

	switch (todo) {
	case KEEP:
		kept_from(&kept, area);
		break;
	case WRITE:
		kept_into(&kept, area);
		break;
	case WRITE_WHOLE:
		kept_whole_into(&kept, area);
		break;
	case MAKE_UP:
		made_up_into(&tiles, area);
		break;
	}
	atomic_fetch_add(&delivered, 1);
}

static bool signal_to(int what)
{
	todo = what;
	return signal_now(SIGUSR1);
}

static bool handler_set(void)
{
	/* SA_RESTART: read() continues after it. */
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_RESTART };

	return !sigaction(SIGUSR1, &action, NULL);
}

static int how;

static bool sleeps_and_writes(struct worker *worker)
{
	tilerelease();
	return sleeps(worker) && signal_to(how) && tiles_hold(&tiles);
}

static bool keeps_sleeps_and_writes(struct worker *worker)
{
	return signal_to(KEEP) && sleeps_and_writes(worker);
}

static bool keeps(struct worker *worker)
{
	atomic_store(&worker->ready, true);
	return signal_to(KEEP) && tiles_hold(&tiles);
}

/* A thread that does @what gets its buffer back, with @uses first uses in total. */
#define EXPECT_BACK(what, uses)							\
	do {									\
		struct worker worker = { .run = what };				\
										\
		ASSERT_TRUE(worker_start(&worker));				\
		EXPECT_RECLAIMED(1);						\
		EXPECT_RIGHT(worker);						\
		EXPECT_USES(uses);						\
		EXPECT_REGROWN(1);						\
	} while (0)

TEST_F(reclaim, of_an_own_frame)
{
	ASSERT_TRUE(handler_set());
	how = WRITE;
	EXPECT_BACK(keeps_sleeps_and_writes, 1);
}

TEST_F(reclaim, a_whole_frame)
{
	ASSERT_TRUE(handler_set());
	how = WRITE_WHOLE;
	EXPECT_BACK(keeps_sleeps_and_writes, 1);
}

TEST_F(reclaim, of_another_threads_frame)
{
	struct worker first = { .run = keeps, .from = -1 };

	ASSERT_TRUE(handler_set());
	ASSERT_TRUE(worker_start(&first));
	EXPECT_RIGHT(first);
	how = WRITE;
	EXPECT_BACK(sleeps_and_writes, 2);
}

TEST_F(reclaim, of_no_frame)
{
	ASSERT_TRUE(handler_set());
	how = MAKE_UP;
	EXPECT_BACK(sleeps_and_writes, 1);
}

/* The saved contents differ from the registers that the thread sleeps with. */
static bool keeps_and_sleeps(struct worker *worker)
{
	char byte;

	if (!signal_to(KEEP))
		return false;
	tilerelease();
	atomic_store(&worker->ready, true);
	return read(worker->from, &byte, 1) == 1 && tiles_hold(&tiles);
}

/* The scheduler's signal finds it asleep and without its buffer. */
TEST_F(reclaim, while_it_sleeps)
{
	struct worker worker = { .run = keeps_and_sleeps };

	ASSERT_TRUE(handler_set());
	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	todo = WRITE;
	atomic_store(&delivered, 0);
	ASSERT_EQ(0, pthread_kill(worker.thread, SIGUSR1));
	while (!atomic_load(&delivered))
		sched_yield();
	EXPECT_RIGHT(worker);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

static bool writes_three_times(struct worker *worker)
{
	if (!signal_to(KEEP))
		return false;
	for (int i = 0; i < 3; i++) {
		tilerelease();
		if (!sleeps(worker) || !signal_to(WRITE) || !tiles_hold(&tiles))
			return false;
	}
	return true;
}

TEST_F(reclaim, three_times)
{
	struct worker worker = { .run = writes_three_times };

	ASSERT_TRUE(handler_set());
	ASSERT_TRUE(worker_start(&worker));
	for (int i = 1; i < 3; i++) {
		EXPECT_RECLAIMED(i);
		ASSERT_EQ(1, write(wake[1], "", 1));
	}
	EXPECT_RECLAIMED(3);
	EXPECT_RIGHT(worker);
	EXPECT_USES(1);
	EXPECT_REGROWN(3);
}

static bool writes_none(struct worker *worker)
{
	tilerelease();
	if (!signal_to(KEEP))
		return false;
	tiles_configure();
	if (!sleeps(worker) || !signal_to(WRITE) || in_use() & TILE_BITS)
		return false;
	tiles_configure();
	return tiles_hold(&zero);
}

/* Saved contents without tiles load none. */
TEST_F(reclaim, contents_without_tiles)
{
	ASSERT_TRUE(handler_set());
	EXPECT_BACK(writes_none, 1);
}

TEST_HARNESS_MAIN
