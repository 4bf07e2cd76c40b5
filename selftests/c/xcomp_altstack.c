// SPDX-License-Identifier: GPL-2.0
/*
 * Permission and the alternate signal stack: no thread may be left with a stack that a signal frame
 * with tile data would overrun.
 */
#include "kselftest_harness.h"
#include "amx.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>

/* AT_MINSIGSTKSZ, from asm/auxvec.h: the largest frame this kernel writes. */
#define FRAME ((size_t)getauxval(51))

/*
 * The size that sigaltstack() must exceed once permission is granted. It excludes magic2 and the 32-bit
 * frame's FSAVE area (signal.c:416, fpu/signal.c:511); the request includes them.
 */
#define FLOOR (FRAME - 4 - 112)

static char *stack_memory(void)
{
	return mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Returns 0 or the negative errno. */
static long altstack(void *at, size_t size)
{
	stack_t stack = { .ss_sp = at, .ss_size = size };

	return sigaltstack(&stack, NULL) ? -errno : 0;
}

static long altstack_off(void)
{
	stack_t stack = { .ss_flags = SS_DISABLE };

	return sigaltstack(&stack, NULL) ? -errno : 0;
}

FIXTURE(altstack)
{
	char *memory;
	uint64_t before;
};

FIXTURE_SETUP(altstack)
{
	REQUIRE_TILES();
	self->memory = stack_memory();
	ASSERT_NE(MAP_FAILED, self->memory);
	ASSERT_LE(xsave_size(BIT_ULL(TILE_DATA)), FRAME);
	ASSERT_EQ(0, altstack_off());
	self->before = xcomp_mask(XCOMP_PERM);
}

FIXTURE_TEARDOWN(altstack)
{
}

TEST_F(altstack, one_byte_too_small_is_enospc)
{
	ASSERT_EQ(0, altstack(self->memory, FRAME - 1));
	EXPECT_EQ(-ENOSPC, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_EQ(self->before, xcomp_mask(XCOMP_PERM));
}

TEST_F(altstack, the_frame_size_is_enough)
{
	ASSERT_EQ(0, altstack(self->memory, FRAME));
	EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_EQ(self->before | BIT_ULL(TILE_DATA), xcomp_mask(XCOMP_PERM));
}

TEST_F(altstack, enlarging_it_cures_enospc)
{
	ASSERT_EQ(0, altstack(self->memory, 2048));
	EXPECT_EQ(-ENOSPC, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, altstack(self->memory, FRAME));
	EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
}

TEST_F(altstack, disabling_it_cures_enospc)
{
	ASSERT_EQ(0, altstack(self->memory, 2048));
	EXPECT_EQ(-ENOSPC, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, altstack_off());
	EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
}

/* Guest state is never written to a signal frame. */
TEST_F(altstack, a_guest_request_does_not_care)
{
	ASSERT_EQ(0, altstack(self->memory, 2048));
	EXPECT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	EXPECT_EQ(-ENOSPC, xcomp(XCOMP_REQ_PERM, TILE_DATA));
}

struct other {
	pthread_barrier_t set, asked;
	long outcome;
	long tid;
};

static void *other_with_small_stack(void *arg)
{
	struct other *other = arg;

	other->tid = syscall(SYS_gettid);
	other->outcome = altstack(stack_memory(), FRAME - 1);
	pthread_barrier_wait(&other->set);
	pthread_barrier_wait(&other->asked);
	return NULL;
}

/* pthread_join() returns shortly before the kernel unlinks the thread. */
static void until_gone(long tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%ld", tid);
	while (!access(path, F_OK))
		sched_yield();
}

TEST_F(altstack, any_threads_stack_counts)
{
	struct other other;
	pthread_t thread;

	pthread_barrier_init(&other.set, NULL, 2);
	pthread_barrier_init(&other.asked, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_with_small_stack, &other));
	pthread_barrier_wait(&other.set);
	EXPECT_EQ(0, other.outcome);
	EXPECT_EQ(-ENOSPC, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_EQ(self->before, xcomp_mask(XCOMP_PERM));
	pthread_barrier_wait(&other.asked);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	until_gone(other.tid);
	/* The stack went away with its thread. */
	EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
}

TEST_F(altstack, too_small_after_permission_is_enomem)
{
	ASSERT_EQ(0, altstack(self->memory, 2048));
	ASSERT_EQ(0, altstack_off());
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_EQ(-ENOMEM, altstack(self->memory, 2048));
	EXPECT_EQ(-ENOMEM, altstack(self->memory, FLOOR));
	EXPECT_EQ(0, altstack(self->memory, FLOOR + 1));
}

TEST_F(altstack, a_guest_permission_does_not_raise_the_floor)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	EXPECT_EQ(0, altstack(self->memory, 2048));
}

static char *stack_low;
static struct tiles handler_saw;
static volatile bool handler_on_stack;

static void on_usr1(int signo)
{
	char here;

	handler_on_stack = &here >= stack_low && &here < stack_low + 65536;
}

/* The smallest accepted stack does hold the frame of a thread with live tiles. */
TEST_F(altstack, the_frame_fits)
{
	struct sigaction action = { .sa_handler = on_usr1, .sa_flags = SA_ONSTACK };
	struct tiles *tiles = &handler_saw;
	/* The page just below the stack must not be written. */
	char *low = self->memory + 4096;

	ASSERT_EQ(0, mprotect(self->memory, 4096, PROT_NONE));
	stack_low = low;
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, altstack(low, FRAME + 2048));	/* 2 KiB for the handler itself */
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	tiles_fill(tiles, 1);
	tiles_configure();
	tiles_load(tiles);
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_TRUE(handler_on_stack);
	EXPECT_TRUE(tiles_hold(tiles));
}

TEST_HARNESS_MAIN
