// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is short when a thread whose buffer was reclaimed wakes. With the C code it would still have its
 * buffer, so the shortage must not hurt it at a tile instruction, in sigreturn or through a tracer.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "faults.h"
#include "kept.h"
#include "knobs.h"
#include "released.h"

#define ALL 1000000	/* more allocations than any test makes */

FIXTURE(short_of_memory)
{
	long interval, reclaimed, regrown, uses, failed;
};

FIXTURE_SETUP(short_of_memory)
{
	REQUIRE_TILES();
	REQUIRE_KNOBS();
	ASSERT_TRUE(parameter_set("fail_allocations", 0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, pipe(wake));
	tiles_fill(&tiles, 7);
	faults_catch();
	self->interval = parameter("reclaim_ms");
	ASSERT_TRUE(parameter_set("reclaim_ms", INTERVAL_MS));
	self->reclaimed = counter("reclaimed");
	self->regrown = counter("regrown");
	self->uses = counter("first_uses");
	self->failed = counter("failed_allocations");
}

FIXTURE_TEARDOWN(short_of_memory)
{
	EXPECT_TRUE(parameter_set("fail_allocations", 0));
	EXPECT_TRUE(parameter_set("reclaim_ms", self->interval));
}

/* The caches are empty too, so the buffer has to be allocated; that must not fail. */
#define BE_SHORT()								\
	do {									\
		EXPECT_RECLAIMED(1);						\
		ASSERT_TRUE(number_set("/proc/sys/vm/", "drop_caches", 2));	\
		ASSERT_TRUE(parameter_set("fail_allocations", ALL));			\
	} while (0)

#define EXPECT_UNHURT(worker)							\
	do {									\
		ASSERT_TRUE(worker_start(&(worker)));				\
		BE_SHORT();							\
		EXPECT_RIGHT(worker);						\
		EXPECT_USES(1);							\
		EXPECT_REGROWN(1);						\
		EXPECT_EQ(self->failed, counter("failed_allocations"));		\
	} while (0)

static bool sleeps_and_uses(struct worker *worker)
{
	tilerelease();
	tiles_configure();
	if (!sleeps(worker))
		return false;
	TRY("tileloadd (%[mem],%[stride],1), %%tmm1");
	use_tiles();
	return !fault.signo && tiles_hold(&tiles);
}

TEST_F(short_of_memory, at_a_tile_instruction)
{
	struct worker worker = { .run = sleeps_and_uses };

	EXPECT_UNHURT(worker);
}

static bool came_back;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	struct worker *worker = info->si_value.sival_ptr;

	came_back = sleeps(worker);
}

static bool is_interrupted(struct worker *worker)
{
	union sigval value = { .sival_ptr = worker };

	return !pthread_sigqueue(pthread_self(), SIGUSR1, value) && came_back && tiles_hold(&tiles);
}

TEST_F(short_of_memory, in_sigreturn)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };
	struct worker worker = { .run = is_interrupted };

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	EXPECT_UNHURT(worker);
}

static struct kept kept;
static bool keep;

static void on_usr2(int signo, siginfo_t *info, void *ucontext)
{
	if (keep)
		kept_from(&kept, frame_area(ucontext));
	else
		kept_into(&kept, frame_area(ucontext));
}

static bool writes_kept_tiles(struct worker *worker)
{
	keep = true;
	if (!signal_now(SIGUSR2))
		return false;
	keep = false;
	tilerelease();
	return sleeps(worker) && signal_now(SIGUSR2) && tiles_hold(&tiles);
}

TEST_F(short_of_memory, in_sigreturn_with_kept_tiles)
{
	struct sigaction action = { .sa_sigaction = on_usr2, .sa_flags = SA_SIGINFO };
	struct worker worker = { .run = writes_kept_tiles };

	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	EXPECT_UNHURT(worker);
}

TEST_F(short_of_memory, in_a_tracers_hands)
{
	static union xsave area;
	struct tracee tracee = { .pid = released_start() };

	BE_SHORT();
	ASSERT_TRUE(attach(tracee.pid, true));
	EXPECT_LT(0, xstate_get(&tracee, &area));
	put_tiles(&area);
	EXPECT_LT(0, xstate_set(&tracee, &area));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, tracee.pid, 0, 0));
	EXPECT_GOES_ON(tracee.pid);
	EXPECT_USES(1);
	EXPECT_EQ(self->failed, counter("failed_allocations"));
}

TEST_HARNESS_MAIN
