// SPDX-License-Identifier: GPL-2.0
/* The first instruction that touches tile data: refused, or served exactly once per thread. */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "faults.h"

#include <pthread.h>

/* A fault without permission: #NM, whose code is not #UD's ILL_ILLOPN. */
#define EXPECT_DENIED()								\
	do {									\
		EXPECT_EQ(SIGILL, fault.signo);					\
		EXPECT_EQ(ILL_ILLOPC, fault.code);				\
		EXPECT_EQ(fault.at, fault.rip);					\
		EXPECT_EQ(fault.at, fault.addr);				\
	} while (0)

FIXTURE(first_use)
{
	struct counters before;
};

FIXTURE_SETUP(first_use)
{
	REQUIRE_TILES();
	self->before = counters_now();
	faults_catch();
	tiles_configure();
}

FIXTURE_TEARDOWN(first_use)
{
}

TEST_F(first_use, denied_is_sigill_at_the_instruction)
{
	TRY("tilezero %%tmm0");
	EXPECT_DENIED();
	TRY("tileloadd (%[mem],%[stride],1), %%tmm1");
	EXPECT_DENIED();
	TRY("tileloaddt1 (%[mem],%[stride],1), %%tmm1");
	EXPECT_DENIED();
	TRY("tilestored %%tmm2, (%[mem],%[stride],1)");
	EXPECT_DENIED();
	TRY("tdpbssd %%tmm0, %%tmm1, %%tmm2");
	EXPECT_DENIED();
	TRY("tdpbf16ps %%tmm0, %%tmm1, %%tmm2");
	EXPECT_DENIED();
	EXPECT_COUNTED(self->before, 0, 6);
}

/* The same instruction is refused every time. */
TEST_F(first_use, denied_every_time)
{
	int denials;

	for (denials = 0; denials < 100; denials++) {
		TRY("tilezero %%tmm0");
		if (fault.signo != SIGILL || fault.code != ILL_ILLOPC || fault.addr != fault.at)
			break;
	}
	EXPECT_EQ(100, denials);
	EXPECT_COUNTED(self->before, 0, 100);
}

TEST_F(first_use, configuration_is_not_tile_data)
{
	struct tilecfg cfg, full = tilecfg_full();

	sttilecfg(&cfg);
	EXPECT_EQ(0, memcmp(&cfg, &full, sizeof(cfg)));
	tilerelease();
	sttilecfg(&cfg);
	EXPECT_EQ(0, cfg.palette);
	EXPECT_COUNTED(self->before, 0, 0);
}

/* #UD comes before #NM: using an unconfigured tile is not a first use. */
TEST_F(first_use, an_invalid_instruction_is_not_ours)
{
	tilerelease();
	TRY("tilezero %%tmm0");
	EXPECT_EQ(SIGILL, fault.signo);
	EXPECT_EQ(ILL_ILLOPN, fault.code);
	EXPECT_COUNTED(self->before, 0, 0);
}

/* A refusal leaves no trace in the thread: once permitted, the same instruction runs. */
TEST_F(first_use, denied_then_granted)
{
	TRY("tilezero %%tmm0");
	EXPECT_DENIED();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	TRY("tilezero %%tmm0");
	EXPECT_EQ(0, fault.signo);
	EXPECT_COUNTED(self->before, 1, 1);
}

TEST_F(first_use, a_guests_permission_is_not_ours)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	TRY("tilezero %%tmm0");
	EXPECT_DENIED();
	EXPECT_COUNTED(self->before, 0, 1);
}

/* A child executes a tile instruction with the given SIGILL disposition. */
static int child_status(void (*handler)(int), bool block)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGILL);
		signal(SIGILL, handler);
		if (block)
			sigprocmask(SIG_BLOCK, &set, NULL);
		tilezero0();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

TEST_F(first_use, denied_kills)
{
	EXPECT_EQ(SIGILL, WTERMSIG(child_status(SIG_DFL, false)));
	/* It can be neither ignored nor blocked. */
	EXPECT_EQ(SIGILL, WTERMSIG(child_status(SIG_IGN, false)));
	EXPECT_EQ(SIGILL, WTERMSIG(child_status(SIG_DFL, true)));
	EXPECT_COUNTED(self->before, 0, 3);
}

TEST_F(first_use, main_thread_once)
{
	struct tiles tiles;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_COUNTED(self->before, 0, 0);
	tilezero0();
	EXPECT_COUNTED(self->before, 1, 0);
	for (int i = 0; i < 100; i++) {
		tiles_fill(&tiles, i);
		tiles_configure();
		tiles_load(&tiles);
		sched_yield();
		EXPECT_TRUE(tiles_hold(&tiles));
		tilerelease();
	}
	EXPECT_COUNTED(self->before, 1, 0);
}

/* The trapped instruction takes effect: it is neither skipped nor executed twice. */
TEST_F(first_use, the_trapped_load_is_done)
{
	struct tiles tiles;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 7);
	tiles_load(&tiles);
	EXPECT_TRUE(tiles_hold(&tiles));
	EXPECT_COUNTED(self->before, 1, 0);
}

TEST_F(first_use, a_trapped_store_stores_zeros)
{
	static const struct tiles zero;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_TRUE(tiles_hold(&zero));
	EXPECT_COUNTED(self->before, 1, 0);
}

/*
 * All other registers keep their contents when the buffers are swapped. x87, SSE, AVX and, if
 * available, AVX-512 are loaded with a pattern and read back right after the trap.
 */
#define AREA 12288

static uint8_t saved[AREA] __attribute__((aligned(64)));
static uint8_t pattern[AREA] __attribute__((aligned(64)));
static uint8_t result[AREA] __attribute__((aligned(64)));

static void fill_pattern(uint64_t mask)
{
	for (int i = 160; i < 416; i++)			/* XMM */
		pattern[i] = i * 37 + 11;
	for (int i = 32; i < 160; i++)			/* ST0-7: ten bytes in sixteen */
		pattern[i] = i % 16 < 10 ? i * 29 + 5 : 0;
	memcpy(pattern, &(uint16_t){ 0x37f }, 2);
	pattern[4] = 0xff;				/* all of ST0-7 in use */
	memcpy(pattern + 24, &(uint32_t){ 0x1f80 }, 4);
	for (int c = 2; c < TILE_CFG; c++) {
		uint32_t eax, ebx, ecx, edx;

		if (!(mask & BIT_ULL(c)))
			continue;
		__cpuid_count(0xd, c, eax, ebx, ecx, edx);
		for (uint32_t i = 0; i < eax; i++)
			pattern[ebx + i] = i * 41 + c;
	}
	memcpy(pattern + 512, &mask, 8);
}

TEST_F(first_use, registers_survive)
{
	/* Without MPX, whose bounds follow different rules, and PKRU, which would deny us our memory. */
	uint64_t mask = xgetbv0() & 0xe7;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_GE(AREA, xsave_size(mask));
	fill_pattern(mask);
	asm volatile("xsave64 %[saved]\n\t"
		     "xrstor64 %[pattern]\n\t"
		     "tilezero %%tmm0\n\t"
		     "xsave64 %[result]\n\t"
		     "xrstor64 %[saved]"
		     : [saved] "+m"(saved), [result] "+m"(result)
		     : [pattern] "m"(pattern), "a"((uint32_t)mask), "d"(0)
		     : "memory");
	memcpy(result + 28, pattern + 28, 4);		/* MXCSR_MASK: a CPU constant, not state */
	for (int i = 0; i < AREA; i++) {
		ASSERT_EQ(pattern[i], result[i])
			TH_LOG("byte %d of the XSAVE area", i);
	}
	EXPECT_COUNTED(self->before, 1, 0);
}

#define THREADS 24

struct crowd {
	pthread_barrier_t start, used;
	bool good[THREADS];
};

struct one {
	struct crowd *crowd;
	int number;
};

static void *use_tiles_together(void *arg)
{
	struct one *one = arg;
	struct tiles tiles;

	tiles_fill(&tiles, one->number);
	tiles_configure();
	pthread_barrier_wait(&one->crowd->start);
	tiles_load(&tiles);
	pthread_barrier_wait(&one->crowd->used);	/* all threads' tiles are live now */
	one->crowd->good[one->number] = tiles_hold(&tiles);
	return NULL;
}

TEST_F(first_use, many_threads_once_each)
{
	struct one ones[THREADS];
	pthread_t threads[THREADS];
	struct crowd crowd = {};

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	pthread_barrier_init(&crowd.start, NULL, THREADS);
	pthread_barrier_init(&crowd.used, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		ones[i] = (struct one) { .crowd = &crowd, .number = i };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_tiles_together, &ones[i]));
	}
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_TRUE(crowd.good[i])
			TH_LOG("thread %d lost its tiles", i);
	}
	EXPECT_COUNTED(self->before, THREADS, 0);
}

static void *try_once(void *arg)
{
	tiles_configure();
	TRY("tilezero %%tmm0");
	*(struct fault *)arg = fault;
	return NULL;
}

TEST_F(first_use, many_threads_denied_once_each)
{
	pthread_t threads[THREADS];
	struct fault seen[THREADS];

	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, try_once, &seen[i]));
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		fault = seen[i];
		EXPECT_DENIED();
	}
	EXPECT_COUNTED(self->before, 0, THREADS);
}

TEST_HARNESS_MAIN
