// SPDX-License-Identifier: GPL-2.0
/*
 * A thread returns from a handler while another one keeps toggling whether the frame has tile data. It gets the
 * frame's tiles or none, but never any others, and never an #NM in the kernel's XRSTOR.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "idler.h"
#include "kept.h"

#define ROUNDS 40

static struct kept kept;
static const struct tiles zero;
static uint8_t stack[65536];
static uint8_t *_Atomic flipped;	/* the area to change */
static atomic_bool over;
static atomic_long flips;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	uint8_t *area = frame_area(ucontext);

	if (!kept.size) {
		kept_from(&kept, area);
		return;
	}
	if (get32(area, AT_XSTATE_SIZE) == kept.size)
		kept_into(&kept, area);
	atomic_store(&flipped, area);
	/* The other thread is toggling when the kernel reads the frame. */
	for (long now = atomic_load(&flips); atomic_load(&flips) == now; )
		sched_yield();
}

/* Flips only bits in XSTATE_BV and xfeatures, as any thread may. */
static void *flip(void *unused)
{
	while (!atomic_load(&over)) {
		uint8_t *area = atomic_load(&flipped);

		if (!area) {
			sched_yield();
			continue;
		}
		for (int i = 0; i < 64; i++) {
			__atomic_fetch_xor((uint64_t *)(area + AT_XSTATE_BV), BIT_ULL(TILE_DATA), __ATOMIC_RELAXED);
			if (i % 3 == 0)
				__atomic_fetch_xor((uint64_t *)(area + AT_XFEATURES), BIT_ULL(TILE_DATA),
						   __ATOMIC_RELAXED);
		}
		atomic_fetch_add(&flips, 1);
	}
	return NULL;
}

enum extent { NO_BUFFER, LIVE, SLEPT };
static enum extent extent;

/* The tiles are either the frame's or initial. */
static bool returns_right(void)
{
	if (extent == NO_BUFFER)
		return !(in_use() & BIT_ULL(TILE_DATA));
	if (in_use() & BIT_ULL(TILE_DATA))
		return tiles_hold(&tiles);
	tiles_configure();
	return tiles_hold(&zero);
}

/* Handlers run on their own stack, so that a late change does no other damage. */
static bool returns_from_handlers(struct worker *worker)
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };

	if (sigaltstack(&alternate, NULL) || !signal_now(SIGUSR1))
		return false;
	atomic_store(&worker->ready, true);
	for (int i = 0; i < ROUNDS; i++) {
		if (extent == SLEPT) {
			tilerelease();
			if (!sleeps(worker))
				return false;
		} else if (extent == LIVE) {
			use_tiles();
		}
		if (!signal_now(SIGUSR1))
			return false;
		atomic_store(&flipped, NULL);
		if (!returns_right())
			return false;
		if (extent == NO_BUFFER)
			continue;
		use_tiles();
		if (!tiles_hold(&tiles))
			return false;
	}
	return true;
}

#define EXPECT_WITHSTOOD(which, wakes, uses)					\
	do {									\
		struct sigaction action = {					\
			.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_ONSTACK,	\
		};								\
		struct worker worker = { .run = returns_from_handlers, .bare = which == NO_BUFFER }; \
		pthread_t other;						\
										\
		extent = which;							\
		ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));		\
		ASSERT_EQ(0, pthread_create(&other, NULL, flip, NULL));		\
		ASSERT_TRUE(worker_start(&worker));				\
		for (int i = 1; i <= (wakes); i++) {				\
			EXPECT_RECLAIMED(i);					\
			ASSERT_EQ(1, write(wake[1], "", 1));			\
		}								\
		EXPECT_RIGHT(worker);						\
		atomic_store(&over, true);					\
		ASSERT_EQ(0, pthread_join(other, NULL));			\
		EXPECT_USES(uses);						\
	} while (0)

TEST_F(reclaim, of_a_thread_that_slept)
{
	EXPECT_WITHSTOOD(SLEPT, ROUNDS, 1);
}

TEST_F(reclaim, of_one_with_live_tiles)
{
	EXPECT_WITHSTOOD(LIVE, 0, 1);
}

TEST_F(reclaim, of_one_before_its_first_use)
{
	EXPECT_WITHSTOOD(NO_BUFFER, 0, 0);
}

TEST_HARNESS_MAIN
