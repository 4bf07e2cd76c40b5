/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of the tests of reclaim, with the shortest interval, and a thread that does something
 * while passes come. The kernel's own code has no passes: there a thread keeps its buffer, and what it is to see
 * is the same.
 */
#ifndef XFD_TEST_IDLER_H
#define XFD_TEST_IDLER_H

#include <pthread.h>
#include <stdatomic.h>

#include "amx.h"
#include "counters.h"
#include "reclaim.h"

static struct tiles tiles;
static int wake[2];
static long interval;

FIXTURE(reclaim) {
	long reclaimed, regrown, uses;
};

FIXTURE_SETUP(reclaim)
{
	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, pipe(wake));
	tiles_fill(&tiles, 7);
	if (!xfd_module())
		return;
	interval = parameter("reclaim_ms");
	ASSERT_TRUE(parameter_set("reclaim_ms", INTERVAL_MS));
	self->reclaimed = counter("reclaimed");
	self->regrown = counter("regrown");
	self->uses = counter("first_uses");
}

FIXTURE_TEARDOWN(reclaim)
{
	if (!xfd_module())
		return;
	EXPECT_TRUE(parameter_set("reclaim_ms", interval));
	EXPECT_EQ(0, counter("in_flight"));
	EXPECT_EQ(0, counter("repeated"));
}

/* So many buffers were taken back, at least; whoever lost one is asleep. */
#define EXPECT_RECLAIMED(n)	EXPECT_TRUE(!xfd_module() || reclaimed_since(self->reclaimed, n))
/* A thread that goes on has its buffer back, and no second first use. */
#define EXPECT_USES(n)		EXPECT_IN_MODULE(EXPECT_EQ, n, counter("first_uses") - self->uses)
#define EXPECT_REGROWN(n)	EXPECT_IN_MODULE(EXPECT_LE, n, counter("regrown") - self->regrown)
#define EXPECT_IN_MODULE(EXPECT_HOW, n, seen)	\
	do {					\
		if (xfd_module())		\
			EXPECT_HOW(n, seen);	\
	} while (0)

/* A thread of a test, beside the one that waits for the passes. */
struct worker {
	pthread_t thread;
	bool (*run)(struct worker *worker);
	int from;		/* it sleeps until there is a byte */
	volatile int stop;	/* or computes until this is set */
	bool bare;		/* it begins without a first use */
	atomic_bool ready;
	bool right;
};

static void use_tiles(void)
{
	tiles_configure();
	tiles_load(&tiles);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	if (!worker->bare)
		use_tiles();
	worker->right = worker->run(worker);
	return NULL;
}

static bool worker_start(struct worker *worker)
{
	if (!worker->from)
		worker->from = wake[0];
	if (pthread_create(&worker->thread, NULL, worker_thread, worker))
		return false;
	while (!atomic_load(&worker->ready))
		sched_yield();
	return true;
}

static bool worker_end(struct worker *worker)
{
	worker->stop = 1;
	return (worker->from != wake[0] || write(wake[1], "", 1) == 1) && !pthread_join(worker->thread, NULL);
}

static bool sleeps(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 3);
	atomic_store(&worker->ready, true);
	return read_with_registers(worker->from, &before, &after) && !memcmp(&before, &after, sizeof(before));
}

#define EXPECT_RIGHT(worker)			\
	do {					\
		ASSERT_TRUE(worker_end(&(worker)));	\
		EXPECT_TRUE((worker).right);	\
	} while (0)

#endif
