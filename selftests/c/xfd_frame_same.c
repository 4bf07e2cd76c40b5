// SPDX-License-Identifier: GPL-2.0
/*
 * The frames of a thread that slept without its buffer are byte for byte the same as before, when it had just
 * released its tiles: same size, tile data announced.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "idler.h"
#include "kept.h"

static uint8_t stack[65536] __attribute__((aligned(64)));
static struct kept before, after;
static struct frame frame;
static struct kept *into;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	kept_from(into, frame_area(ucontext));
	frame_read(&frame, frame_area(ucontext));
}

/* Takes a frame on a zeroed stack, so that bytes the kernel does not write are equal too. */
static bool frame_into(struct kept *kept)
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	into = kept;
	memset(stack, 0, sizeof(stack));
	return !sigaltstack(&alternate, NULL) && !sigaction(SIGUSR1, &action, NULL) && signal_bare(SIGUSR1);
}

static bool sleeps_unconfigured(struct worker *worker)
{
	tilerelease();
	return frame_into(&before) && sleeps(worker) && frame_into(&after);
}

static bool sleeps_configured(struct worker *worker)
{
	tiles_configure();
	return frame_into(&before) && sleeps(worker) && frame_into(&after);
}

#define EXPECT_SAME(worker, name, bits)						\
	do {									\
		ASSERT_TRUE(worker_start(&(worker)));				\
		EXPECT_RECLAIMED(1);						\
		EXPECT_RIGHT(worker);						\
		frame_answer("frame.slept." name, &frame);			\
		EXPECT_FRAME_FOR(xcomp_mask(XCOMP_PERM));			\
		EXPECT_EQ(xstate_bv_of(bits), frame.xstate_bv);			\
		EXPECT_EQ(before.size, after.size);				\
		EXPECT_EQ(0, memcmp(before.area, after.area, before.size + 4));	\
		EXPECT_USES(1);							\
		EXPECT_REGROWN(1);						\
	} while (0)

TEST_F(reclaim, released)
{
	struct worker worker = { .run = sleeps_unconfigured };

	EXPECT_SAME(worker, "released", 0);
}

TEST_F(reclaim, configured)
{
	struct worker worker = { .run = sleeps_configured };

	EXPECT_SAME(worker, "configured", BIT_ULL(TILE_CFG));
}

static atomic_int delivered;

static void on_usr2(int signo, siginfo_t *info, void *ucontext)
{
	frame_read(&frame, frame_area(ucontext));
	atomic_fetch_add(&delivered, 1);
}

static bool sleeps_through_it(struct worker *worker)
{
	tilerelease();
	return sleeps(worker);
}

/* The signal arrives while the thread sleeps. */
TEST_F(reclaim, delivered_meanwhile)
{
	struct sigaction action = { .sa_sigaction = on_usr2, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct worker worker = { .run = sleeps_through_it };

	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	ASSERT_TRUE(worker_start(&worker));
	for (int i = 1; i <= 3; i++) {
		EXPECT_RECLAIMED(i);
		ASSERT_EQ(0, pthread_kill(worker.thread, SIGUSR2));
		while (atomic_load(&delivered) < i)
			sched_yield();
		EXPECT_FRAME_FOR(xcomp_mask(XCOMP_PERM));
		EXPECT_EQ(0, frame.xstate_bv & TILE_BITS);
	}
	EXPECT_RIGHT(worker);
	EXPECT_USES(1);
	EXPECT_REGROWN(3);
}

static bool sleeps_in_the_handler;

static void on_usr1_asleep(int signo, siginfo_t *info, void *ucontext)
{
	struct worker *worker = (struct worker *)(uintptr_t)info->si_value.sival_ptr;

	frame_read(&frame, frame_area(ucontext));
	sleeps_in_the_handler = sleeps(worker);
	frame_read(&frame, frame_area(ucontext));
}

static bool is_interrupted(struct worker *worker)
{
	union sigval value = { .sival_ptr = worker };

	return !pthread_sigqueue(pthread_self(), SIGUSR1, value) && sleeps_in_the_handler && tiles_hold(&tiles);
}

/* The handler sleeps without tiles, while the interrupted code's tiles are in the frame. */
TEST_F(reclaim, tiles_of_the_interrupted_code)
{
	struct sigaction action = { .sa_sigaction = on_usr1_asleep, .sa_flags = SA_SIGINFO };
	struct worker worker = { .run = is_interrupted };

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_FRAME_FOR(xcomp_mask(XCOMP_PERM));
	EXPECT_EQ(TILE_BITS, frame.xstate_bv & TILE_BITS);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

TEST_HARNESS_MAIN
