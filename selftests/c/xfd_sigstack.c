// SPDX-License-Identifier: GPL-2.0
/*
 * Frames on an alternate stack: how many bytes a frame takes, and what a permission request in a
 * handler does to the stack that the handler runs on.
 */
#include "kselftest_harness.h"
#include "frame.h"

#include <sys/auxv.h>
#include <sys/wait.h>

/* AT_MINSIGSTKSZ, from asm/auxvec.h: the largest frame this kernel writes. */
#define FRAME ((size_t)getauxval(51))
#ifndef SS_AUTODISARM
#define SS_AUTODISARM ((int)(1U << 31))	/* uapi/linux/signal.h */
#endif
#define MEMORY 65536

/*
 * The size of a 64-bit frame at the top of a stack whose ends are multiples of 64: magic2 and the
 * state, at a multiple of 64; struct rt_sigframe, 440 bytes; 16 for alignment (signal.c:132-144). The
 * stack pointer must be above the stack's lowest byte (sched/signal.h:577).
 */
#define STACK_FOR(xstate_size) ((xstate_size) + 4 + 512)

static uint8_t *memory;
static struct frame frame;
static int delivered;
static stack_t in_handler;
static long req_in_handler;
static bool ask;

static stack_t stack_now(void)
{
	stack_t stack;

	memset(&stack, 0x5a, sizeof(stack));
	return sigaltstack(NULL, &stack) ? (stack_t) { .ss_flags = -1 } : stack;
}

/* Uses the upper part of the memory, leaving space below for the handler's own calls. */
static bool set_stack(size_t size, int flags)
{
	stack_t stack = { .ss_sp = memory + MEMORY / 2, .ss_size = size, .ss_flags = flags };

	return !sigaltstack(&stack, NULL);
}

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	delivered++;
	frame_read(&frame, frame_area(ucontext));
	in_handler = stack_now();
	if (ask)
		req_in_handler = xcomp(XCOMP_REQ_PERM, TILE_DATA);
}

/* Returns SIGSEGV if SIGUSR1's frame does not fit on a stack of @size bytes, else 0. */
static int signal_on(size_t size)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!set_stack(size, 0) || !signal_now(SIGUSR1))
			_exit(2);
		_exit(!delivered);
	}
	if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status)))
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* The smallest stack on which SIGUSR1 is delivered; 0 if one byte less is not refused. */
static size_t least_stack(size_t expected)
{
	return signal_on(expected) == 0 && signal_on(expected - 1) == SIGSEGV ? expected : 0;
}

FIXTURE(sigstack)
{
	uint64_t small, large;
	uint64_t before;
};

FIXTURE_SETUP(sigstack)
{
	struct sigaction action = {
		.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	REQUIRE_TILES();
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	self->before = xcomp_mask(XCOMP_PERM);
	self->small = xsave_size(self->before);
	self->large = xsave_size(self->before | BIT_ULL(TILE_DATA));
}

FIXTURE_TEARDOWN(sigstack)
{
}

/* signal.c:214: the largest state, magic2, 112 bytes of FSAVE, and what ia32 frames need. */
TEST_F(sigstack, at_minsigstksz_is_for_the_largest_frame)
{
	EXPECT_LE(STACK_FOR(self->large) + 112, FRAME);
	EXPECT_EQ(0, FRAME % 16);
	answer("auxv.minsigstksz", "%zu", FRAME);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_EQ(FRAME, getauxval(51));
}

TEST_F(sigstack, boundary_before_permission)
{
	size_t least = least_stack(STACK_FOR(self->small));

	EXPECT_EQ(STACK_FOR(self->small), least);
	answer("sigstack.least_before_permission", "%zu", least);
}

/* Once permitted, setting a stack that the large frame would overrun is refused. */
TEST_F(sigstack, boundary_after_permission)
{
	size_t floor = FRAME - 4 - 112;	/* signal.c:418: without magic2 and FSAVE */

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_FALSE(set_stack(floor, 0));
	EXPECT_EQ(ENOMEM, errno);
	answer("sigstack.least_after_permission", "%zu", floor + 1);
	ASSERT_TRUE(set_stack(floor + 1, 0));
	ASSERT_LE(STACK_FOR(self->large), floor + 1);
	tiles_configure();
	tilezero0();
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(1, delivered);
	EXPECT_EQ(self->large, frame.xstate_size);
}

/* SS_DISABLE needs no size. */
TEST_F(sigstack, disabling_is_always_allowed)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_TRUE(set_stack(0, SS_DISABLE));
	EXPECT_EQ(SS_DISABLE, stack_now().ss_flags);
}

/* While a handler runs on the small stack, that stack is in use and still too small. */
TEST_F(sigstack, request_on_a_small_stack_is_enospc)
{
	ask = true;
	ASSERT_TRUE(set_stack(STACK_FOR(self->small) + 4096, 0));
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(SS_ONSTACK, in_handler.ss_flags);
	EXPECT_EQ(-ENOSPC, req_in_handler);
	EXPECT_EQ(self->before, xcomp_mask(XCOMP_PERM));
	EXPECT_EQ(0, stack_now().ss_flags);
}

/*
 * With SS_AUTODISARM the thread has no alternate stack while the handler runs, so nothing prevents
 * the permission. sigreturn then tries to set the stack again, gets ENOMEM, and ignores it
 * (kernel/signal.c:4546): the thread ends up without one.
 */
TEST_F(sigstack, request_on_a_disarmed_small_stack)
{
	size_t size = STACK_FOR(self->small) + 4096;
	stack_t after;

	ASSERT_LT(size, FRAME);
	ask = true;
	ASSERT_TRUE(set_stack(size, SS_AUTODISARM));
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(SS_DISABLE, in_handler.ss_flags);
	EXPECT_EQ(0, in_handler.ss_size);
	EXPECT_EQ(0, req_in_handler);
	EXPECT_EQ(self->before | BIT_ULL(TILE_DATA), xcomp_mask(XCOMP_PERM));
	after = stack_now();
	EXPECT_EQ(SS_DISABLE, after.ss_flags);
	EXPECT_EQ(0, after.ss_size);
	EXPECT_EQ(NULL, after.ss_sp);
	answer("sigstack.after_request_in_autodisarm", "flags %d size %zu", after.ss_flags,
	       after.ss_size);
	/* The next handler runs on the thread's own stack, which is large enough. */
	ask = false;
	tiles_configure();
	tilezero0();
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(2, delivered);
	EXPECT_EQ(self->large, frame.xstate_size);
}

/* A large enough stack is restored as it was. */
TEST_F(sigstack, request_on_a_disarmed_large_stack)
{
	stack_t after;

	ask = true;
	ASSERT_TRUE(set_stack(FRAME + 4096, SS_AUTODISARM));
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(SS_DISABLE, in_handler.ss_flags);
	EXPECT_EQ(0, req_in_handler);
	after = stack_now();
	EXPECT_EQ(SS_AUTODISARM, after.ss_flags);
	EXPECT_EQ(FRAME + 4096, after.ss_size);
	EXPECT_EQ(memory + MEMORY / 2, after.ss_sp);
}

static struct tiles mine, handlers;
static bool handler_kept;

static void use_and_nest(int signo, siginfo_t *info, void *ucontext)
{
	tiles_fill(&handlers, signo);
	tiles_configure();
	tiles_load(&handlers);
	signal_now(SIGUSR1);
	handler_kept = tiles_hold(&handlers);
}

/* Two frames with tiles: one below the other, or both at the top of the stack if it is disarmed. */
static void nest(struct __test_metadata *_metadata, int flags, int expected)
{
	struct sigaction action = {
		.sa_sigaction = use_and_nest, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	ASSERT_TRUE(set_stack(MEMORY / 2, flags));
	tiles_fill(&mine, 1);
	tiles_configure();
	tiles_load(&mine);
	ASSERT_TRUE(signal_now(SIGUSR2));
	EXPECT_EQ(1, delivered);
	EXPECT_EQ(expected, in_handler.ss_flags);
	EXPECT_EQ(xsave_size(xcomp_mask(XCOMP_PERM)), frame.xstate_size);
	EXPECT_EQ(0, memcmp(&frame.tiles, &handlers, sizeof(handlers)));
	EXPECT_TRUE(handler_kept);
	EXPECT_TRUE(tiles_hold(&mine));
}

TEST_F(sigstack, nested)
{
	nest(_metadata, 0, SS_ONSTACK);
}

TEST_F(sigstack, nested_disarmed)
{
	nest(_metadata, SS_AUTODISARM, SS_DISABLE);
}

TEST_HARNESS_MAIN
