// SPDX-License-Identifier: GPL-2.0
/*
 * A thread with released tiles sleeps on a page: in user mode, where its buffer may be reclaimed meanwhile, and
 * while its frame is written or read, where the kernel relies on the buffer that it started with.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "idler.h"
#include "kept.h"
#include "slow.h"

#define STACK_PAGES 16

static uint8_t stack[STACK_PAGES * PAGE] __attribute__((aligned(PAGE)));
static uint8_t saved[PAGE] __attribute__((aligned(PAGE)));
static struct tiles *source;
static struct frame frame;

#define REQUIRE_SLOW_PAGES()							\
	do {									\
		if (!slow_begin())						\
			SKIP(return, "no userfaultfd for faults in the kernel: %s", strerror(errno)); \
	} while (0)

static bool reads_a_slow_page(struct worker *worker)
{
	tilerelease();
	tiles_configure();
	atomic_store(&worker->ready, true);
	(void)*(volatile uint8_t *)source;
	tiles_load(source);
	return tiles_hold(&tiles);
}

/* A page fault returns to user mode through the same path as a system call. */
TEST_F(reclaim, in_a_page_fault)
{
	struct worker worker = { .run = reads_a_slow_page };

	REQUIRE_SLOW_PAGES();
	source = mmap(NULL, sizeof(*source), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)source);
	ASSERT_TRUE(slow_make(source, sizeof(*source)));
	ASSERT_TRUE(worker_start(&worker));
	for (size_t at = 0; at < sizeof(*source); at += PAGE) {
		ASSERT_EQ((uint8_t *)source + at, slow_wanted());
		/* The later pages are touched by tile instructions, with tiles in use. */
		if (!at)
			EXPECT_RECLAIMED(1);
		ASSERT_TRUE(slow_bring((uint8_t *)source + at, (uint8_t *)&tiles + at));
	}
	EXPECT_RIGHT(worker);
	EXPECT_USES(1);
	EXPECT_REGROWN(1);
}

static bool handler_on_the_stack(void (*handler)(int, siginfo_t *, void *))
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	return !sigaltstack(&alternate, NULL) && !sigaction(SIGUSR1, &action, NULL);
}

static void on_delivered(int signo, siginfo_t *info, void *ucontext)
{
	frame_read(&frame, frame_area(ucontext));
}

static bool is_interrupted_released(struct worker *worker)
{
	tilerelease();
	if (!handler_on_the_stack(on_delivered))
		return false;
	atomic_store(&worker->ready, true);
	return signal_now(SIGUSR1);
}

/* A frame begun with the large buffer is finished with it. */
TEST_F(reclaim, while_its_frame_is_written)
{
	struct worker worker = { .run = is_interrupted_released, .from = -1 };
	void *page;

	REQUIRE_SLOW_PAGES();
	ASSERT_TRUE(slow_make(stack, sizeof(stack)));
	ASSERT_TRUE(worker_start(&worker));
	page = slow_wanted();
	LET_PASSES_COME();
	ASSERT_TRUE(slow_bring(page, saved));
	/* Supplies the other pages on demand, without blocking once no more are wanted. */
	while (pthread_tryjoin_np(worker.thread, NULL)) {
		page = slow_wanted_within(0);
		if (page) {
			ASSERT_TRUE(slow_bring(page, saved));
		} else {
			sched_yield();
		}
	}
	EXPECT_TRUE(worker.right);
	EXPECT_FRAME_FOR(xcomp_mask(XCOMP_PERM));
	EXPECT_EQ(0, frame.xstate_bv & TILE_BITS);
	EXPECT_USES(1 + 3);
}

/* Drops one page of the live tiles in the frame. */
static void on_drop_a_page(int signo, siginfo_t *info, void *ucontext)
{
	uint8_t *area = frame_area(ucontext), *page = area + xsave_offset(TILE_DATA) + PAGE;

	page -= (uintptr_t)page % PAGE;
	memcpy(saved, page, PAGE);
	if (!slow_make(page, PAGE))
		abort();
}

static bool is_interrupted_live(struct worker *worker)
{
	if (!handler_on_the_stack(on_drop_a_page))
		return false;
	atomic_store(&worker->ready, true);
	return signal_now(SIGUSR1) && tiles_hold(&tiles);
}

/* The buffer must have space for what sigreturn is about to load. */
TEST_F(reclaim, while_its_frame_is_read)
{
	struct worker worker = { .run = is_interrupted_live, .from = -1 };
	void *page;

	REQUIRE_SLOW_PAGES();
	ASSERT_TRUE(worker_start(&worker));
	page = slow_wanted();
	LET_PASSES_COME();
	ASSERT_TRUE(slow_bring(page, saved));
	EXPECT_RIGHT(worker);
	EXPECT_USES(1 + 3);
}

TEST_HARNESS_MAIN
