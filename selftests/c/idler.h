/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture for the reclaim tests, with the shortest interval. The kernel's own code has no reclaim passes:
 * there a thread keeps its buffer, and must see the same results.
 */
#ifndef XFD_TEST_IDLER_H
#define XFD_TEST_IDLER_H

#include "amx.h"
#include "reclaim.h"
#include "sleeper.h"

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
	EXPECT_EQ(0, in_flight());
	EXPECT_EQ(0, counter("repeated"));
}

static inline bool sleeps_released(struct worker *worker)
{
	tilerelease();
	return sleeps(worker);
}

/*
 * Buffers reclaimed from other sleeping threads show that passes have run. What was reclaimed belonged to those
 * threads, which have it back.
 */
#define LET_PASSES_COME()							\
	do {									\
		struct worker passes = { .run = sleeps_released };		\
										\
		for (int i = 1; i <= 3; i++) {					\
			long before = xfd_module() ? counter("reclaimed") : 0;	\
										\
			atomic_store(&passes.ready, false);			\
			ASSERT_TRUE(worker_start(&passes));			\
			EXPECT_TRUE(!xfd_module() || reclaimed_since(before, 1));	\
			EXPECT_RECLAIMED(i);					\
			EXPECT_RIGHT(passes);					\
		}								\
		EXPECT_IN_MODULE(EXPECT_EQ, 3, counter("reclaimed") - self->reclaimed);	\
		EXPECT_IN_MODULE(EXPECT_EQ, 3, counter("regrown") - self->regrown);	\
	} while (0)

#endif
