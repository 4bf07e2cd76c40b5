// SPDX-License-Identifier: GPL-2.0
/*
 * No memory for the larger buffer: the task that needed it gets SIGSEGV, and nothing else happens. Its
 * next first use, once there is memory, is served.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "amx.h"
#include "counters.h"
#include "faults.h"
#include "knobs.h"

#include "kselftest_harness.h"

#define THREADS 16

FIXTURE(nomem) {
	struct counters before;
};

FIXTURE_SETUP(nomem)
{
	REQUIRE_TILES();
	REQUIRE_KNOBS();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	faults_catch();
	tiles_configure();
	self->before = counters_now();
}

FIXTURE_TEARDOWN(nomem)
{
	EXPECT_TRUE(parameter_set("fail_allocations", 0));
	EXPECT_EQ(0, counter("in_flight"));
	EXPECT_EQ(0, counter("repeated"));
}

#define EXPECT_FAILED(n)	EXPECT_EQ(n, counter("failed_allocations") - self->before.failed_allocations)
#define EXPECT_SERVED(n)	EXPECT_EQ(n, counter("first_uses") - self->before.first_uses)

/* arch/x86/kernel/traps.c:1493: force_sig(SIGSEGV), which reports neither code nor address. */
TEST_F(nomem, sigsegv_without_an_address)
{
	ASSERT_TRUE(parameter_set("fail_allocations", 1));
	TRY("tilezero %%tmm0");
	EXPECT_EQ(SIGSEGV, fault.signo);
	EXPECT_EQ(SI_KERNEL, fault.code);
	EXPECT_EQ(0, fault.addr);
	EXPECT_EQ(fault.at, fault.rip);
	EXPECT_EQ(7, fault.trapno);
	EXPECT_EQ(0, fault.err);
	EXPECT_FAILED(1);
	EXPECT_SERVED(0);
}

TEST_F(nomem, the_next_try_is_served)
{
	struct tiles tiles;

	for (int failures = 1; failures <= 3; failures++) {
		ASSERT_TRUE(parameter_set("fail_allocations", 1));
		TRY("tilezero %%tmm0");
		EXPECT_EQ(SIGSEGV, fault.signo);
		EXPECT_FAILED(failures);
	}
	TRY("tilezero %%tmm0");
	EXPECT_EQ(0, fault.signo);
	tiles_fill(&tiles, 1);
	tiles_load(&tiles);
	EXPECT_TRUE(tiles_hold(&tiles));
	EXPECT_SERVED(1);
}

/* The handler's frame is as small as before: the buffer was not enlarged. */
TEST_F(nomem, registers_and_permission_are_as_before)
{
	uint8_t before[32], after[32];
	struct tilecfg cfg = tilecfg_full(), kept;

	memset(before, 0xa7, sizeof(before));
	ASSERT_TRUE(parameter_set("fail_allocations", 1));
	asm volatile("vmovdqu %0, %%ymm15" :: "m"(before) : "xmm15");
	TRY("tilezero %%tmm0");
	asm volatile("vmovdqu %%ymm15, %0" : "=m"(after));
	EXPECT_EQ(SIGSEGV, fault.signo);
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
	sttilecfg(&kept);
	EXPECT_EQ(0, memcmp(&cfg, &kept, sizeof(cfg)));
	EXPECT_NE(0, xcomp_mask(XCOMP_PERM) & BIT_ULL(TILE_DATA));
}

TEST_F(nomem, kills_a_task_that_does_not_catch_it)
{
	int status;
	pid_t child;

	ASSERT_TRUE(parameter_set("fail_allocations", 1));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		tiles_configure();
		tilezero0();
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	EXPECT_FAILED(1);
}

/* This thread got its buffer before the shortage, and is not affected. */
TEST_F(nomem, others_go_on)
{
	struct tiles tiles;

	tiles_fill(&tiles, 2);
	tiles_load(&tiles);
	ASSERT_TRUE(parameter_set("fail_allocations", 1000));
	for (int i = 0; i < 100; i++) {
		sched_yield();
		ASSERT_TRUE(tiles_hold(&tiles));
	}
	EXPECT_FAILED(0);
}

static pthread_barrier_t barrier;

static void *use_until_served(void *failures)
{
	long failed = 0;

	tiles_configure();
	pthread_barrier_wait(&barrier);
	for (;;) {
		TRY("tilezero %%tmm0");
		if (!fault.signo)
			break;
		if (fault.signo != SIGSEGV)
			return (void *)-1L;
		failed++;
	}
	*(long *)failures = failed;
	return NULL;
}

TEST_F(nomem, as_many_threads_fail_as_allocations)
{
	long failures[THREADS], sum = 0;
	pthread_t threads[THREADS];
	void *bad;

	ASSERT_TRUE(parameter_set("fail_allocations", 3 * THREADS));
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_until_served, &failures[i]));
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &bad));
		EXPECT_EQ(NULL, bad);
		sum += failures[i];
	}
	EXPECT_EQ(3 * THREADS, sum);
	EXPECT_FAILED(3 * THREADS);
	EXPECT_SERVED(THREADS);
}

TEST_F(nomem, knobs_refuse_what_is_no_number)
{
	FILE *file = fopen(XFD_PARAMETERS "hold", "w");

	ASSERT_NE(NULL, file);
	fputs("soon\n", file);
	EXPECT_EQ(EOF, fclose(file));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_FALSE(parameter_set("hold", 6));
	EXPECT_EQ(0, parameter("hold"));
}

TEST_HARNESS_MAIN
