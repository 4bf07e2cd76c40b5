// SPDX-License-Identifier: GPL-2.0
/*
 * Protection keys and tiles. PKRU is a component of frames, but not of the buffer: the kernel keeps
 * it separately (fpu/core.c:817), and it must survive a first use and a frame with tiles.
 */
#include "kselftest_harness.h"
#include "counters.h"
#include "sigreturn.h"

#include <sys/wait.h>

#define KEY 2
#define ALLOWED		0x55555544U	/* KEY too */
#define READ_ONLY	(ALLOWED | 2U << 2 * KEY)
#define DENIED		(ALLOWED | 3U << 2 * KEY)

static struct tiles mine;
static struct tiles *keyed;		/* a page with the key */
static int key;

FIXTURE(pkru)
{
	struct counters before;
};

FIXTURE_SETUP(pkru)
{
	REQUIRE_TILES();
	if (!has_pkru())
		SKIP(return, "no protection keys here: XCR0 lacks bit 9");
	/* Keys are allocated in order. */
	do {
		key = pkey_alloc(0, 0);
		ASSERT_LE(0, key);
	} while (key < KEY);
	keyed = mmap(NULL, sizeof(*keyed), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, keyed);
	tiles_fill(&mine, 12);
	*keyed = mine;
	ASSERT_EQ(0, pkey_mprotect(keyed, sizeof(*keyed), PROT_READ | PROT_WRITE, KEY));
	ASSERT_TRUE(catch_outcomes());
	tiles_configure();
	self->before = counters_now();
}

FIXTURE_TEARDOWN(pkru)
{
}

TEST_F(pkru, kept_by_a_first_use)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	wrpkru(DENIED);
	tilezero0();
	EXPECT_EQ(DENIED, rdpkru());
	sched_yield();
	EXPECT_EQ(DENIED, rdpkru());
	EXPECT_COUNTED(self->before, 1, 0);
}

static int fault_key;

static void note_key(int signo, siginfo_t *info, void *ucontext)
{
	note_segv(signo, info, ucontext);
	outcome.pkru = get32(frame_area(ucontext), xsave_offset(PKRU));
	fault_key = info->si_pkey;
	/* Lets the instruction succeed when it is executed again. */
	put32(frame_area(ucontext), xsave_offset(PKRU), ALLOWED);
}

/* #NM comes first and enlarges the buffer; then the key is checked; then the tiles are loaded. */
TEST_F(pkru, first_use_of_denied_memory)
{
	struct sigaction action = { .sa_sigaction = note_key, .sa_flags = SA_SIGINFO };

	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	memset(&outcome, 0, sizeof(outcome));
	wrpkru(DENIED);
	tiles_load(keyed);
	EXPECT_EQ(SIGSEGV, outcome.signo);
	EXPECT_EQ(SEGV_PKUERR, outcome.code);
	EXPECT_EQ((uintptr_t)keyed, outcome.addr);
	EXPECT_EQ(KEY, fault_key);
	EXPECT_EQ(DENIED, outcome.pkru);
	EXPECT_EQ(ALLOWED, rdpkru());
	EXPECT_TRUE(tiles_hold(&mine));
	answer("pkru.denied_tileload", "SIGSEGV code %d pkey %d", outcome.code, fault_key);
	EXPECT_COUNTED(self->before, 1, 0);
}

static uint32_t in_frame, in_handler, put_into_frame;

static void look_at_pkru(uint8_t *area, mcontext_t *mcontext)
{
	in_handler = rdpkru();
	in_frame = get32(area, xsave_offset(PKRU));
	if (put_into_frame)
		put32(area, xsave_offset(PKRU), put_into_frame);
}

TEST_F(pkru, in_a_frame_with_tiles)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_load(&mine);
	ASSERT_TRUE(signal_changed_by(look_at_pkru));
	EXPECT_EQ(PKRU_OWN, in_frame);
	EXPECT_EQ(PKRU_DEFAULT, in_handler);
	EXPECT_EQ(PKRU_OWN, outcome.pkru);
	EXPECT_TRUE(tiles_hold(&mine));
	answer("pkru.signal", "frame %#x handler %#x after %#x", in_frame, in_handler,
	       outcome.pkru);

	put_into_frame = READ_ONLY;
	ASSERT_TRUE(signal_changed_by(look_at_pkru));
	EXPECT_EQ(READ_ONLY, outcome.pkru);
	EXPECT_TRUE(tiles_hold(&mine));
}

static void use_tiles(uint8_t *area, mcontext_t *mcontext)
{
	wrpkru(ALLOWED);
	tiles_configure();
	tilezero0();
	in_handler = rdpkru();
}

/* A first use in the handler keeps the handler's value; sigreturn restores the interrupted one. */
TEST_F(pkru, first_use_inside_a_handler)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(signal_changed_by(use_tiles));
	EXPECT_EQ(ALLOWED, in_handler);
	EXPECT_EQ(PKRU_OWN, outcome.pkru);
}

static void drop_pkru(uint8_t *area, mcontext_t *mcontext)
{
	put64(area, AT_XSTATE_BV, get64(area, AT_XSTATE_BV) & ~BIT_ULL(PKRU));
}

/* Without its bit in the frame, PKRU is reset to its initial value, 0, not to the default. */
TEST_F(pkru, dropped_from_a_frame_with_tiles)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_load(&mine);
	ASSERT_TRUE(signal_changed_by(drop_pkru));
	EXPECT_EQ(0, outcome.pkru);
	EXPECT_TRUE(tiles_hold(&mine));
}

static uint8_t altstack[65536] __attribute__((aligned(4096)));
static int delivered;

static __attribute__((used)) void on_keyed_stack(int signo, siginfo_t *info, void *ucontext)
{
	delivered++;
	in_frame = get32(frame_area(ucontext), xsave_offset(PKRU));
}

/* Nor can the handler access its stack until it opens the key. */
__attribute__((naked)) static void open_stack(int signo, siginfo_t *info, void *ucontext)
{
	asm("mov %rdx, %r8\n\t"
	    "xor %eax, %eax\n\txor %ecx, %ecx\n\txor %edx, %edx\n\t"
	    "wrpkru\n\t"
	    "mov %r8, %rdx\n\t"
	    "jmp on_keyed_stack");
}

/* The kernel opens all keys to write a frame (signal.c:73), including a large one. */
TEST_F(pkru, frame_with_tiles_on_a_denied_stack)
{
	struct sigaction action = {
		.sa_sigaction = open_stack, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	stack_t stack = { .ss_sp = altstack, .ss_size = sizeof(altstack) };

	ASSERT_EQ(0, pkey_mprotect(altstack, sizeof(altstack), PROT_READ | PROT_WRITE, KEY));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, sigaltstack(&stack, NULL));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	tiles_load(&mine);
	wrpkru(DENIED);
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(DENIED, rdpkru());
	wrpkru(ALLOWED);
	EXPECT_EQ(1, delivered);
	EXPECT_EQ(DENIED, in_frame);
	EXPECT_TRUE(tiles_hold(&mine));
}

/* A child that has its own first use starts with its parent's value. */
TEST_F(pkru, inherited_by_fork)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_load(&mine);
	wrpkru(READ_ONLY);
	pid = fork();
	if (!pid) {
		uint32_t before = rdpkru();

		tilezero0();
		_exit(before != READ_ONLY || rdpkru() != READ_ONLY);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(READ_ONLY, rdpkru());
	EXPECT_TRUE(tiles_hold(&mine));
}

TEST_HARNESS_MAIN
