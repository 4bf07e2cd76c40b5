// SPDX-License-Identifier: GPL-2.0
/*
 * sigreturn from a state that the handler moved elsewhere: aligned or not, partly mapped, not yet
 * present, or larger than the one delivered.
 */
#include "kselftest_harness.h"
#include "sigreturn.h"

#include <poll.h>
#include <sys/wait.h>

#define PAGE 4096

static uint8_t *arena;			/* 8 file-backed pages */
static int arena_file;
static uint32_t size_large, data_at;
static struct tiles tiles;		/* what a frame holds or is given */

/* Where to copy an area so that offset @at begins a new page. */
static uint8_t *page_begins_at(uint32_t at)
{
	return arena + 4 * PAGE - (at & ~63U);
}

static uint8_t *move_area(uint8_t *to, const uint8_t *area, mcontext_t *mcontext)
{
	memcpy(to, area, get32(area, AT_XSTATE_SIZE) + 4);
	mcontext->fpregs = (void *)to;
	return to;
}

static void protect_tail(int prot)
{
	mprotect(arena + 4 * PAGE, 4 * PAGE, prot);
}

/* Puts magic2 before the tile data, so that only XRSTOR accesses the tail. */
static void shrink(uint8_t *area)
{
	uint32_t size = xsave_offset(TILE_CFG) - 8;

	put32(area, AT_XSTATE_SIZE, size);
	put32(area, size, MAGIC2);
}

#define CHANGE(name) static void name(uint8_t *area, mcontext_t *mcontext)

CHANGE(elsewhere) { move_area(arena, area, mcontext); }
CHANGE(not_aligned) { move_area(arena + 8, area, mcontext); }
CHANGE(null_pointer) { mcontext->fpregs = NULL; }
CHANGE(kernel_pointer) { mcontext->fpregs = (void *)0xffffffff81000000UL; }
CHANGE(not_canonical) { mcontext->fpregs = (void *)(1UL << 63); }
CHANGE(unmapped)
{
	move_area(arena, area, mcontext);
	munmap(arena, 8 * PAGE);
}

CHANGE(read_only)
{
	move_area(arena, area, mcontext);
	mprotect(arena, 8 * PAGE, PROT_READ);
}

CHANGE(not_present)
{
	move_area(arena, area, mcontext);
	madvise(arena, 8 * PAGE, MADV_DONTNEED);
}

CHANGE(tail_not_present)
{
	move_area(page_begins_at(data_at + 64), area, mcontext);
	madvise(arena + 4 * PAGE, 4 * PAGE, MADV_DONTNEED);
}

CHANGE(tail_unmapped)
{
	move_area(page_begins_at(data_at + 64), area, mcontext);
	protect_tail(PROT_NONE);
}

CHANGE(past_the_file)
{
	move_area(page_begins_at(data_at + 64), area, mcontext);
	if (ftruncate(arena_file, 4 * PAGE))
		mcontext->fpregs = NULL;
}

/* CVE-2024-26603: the kernel faulted in xstate_size bytes and retried XRSTOR forever. */
CHANGE(shrunk_tail_unmapped)
{
	shrink(move_area(page_begins_at(data_at + 64), area, mcontext));
	protect_tail(PROT_NONE);
}

/* Nothing is loaded from the tail, since tiles are initial; XRSTOR accesses it nevertheless. */
CHANGE(shrunk_initial_tail_unmapped)
{
	uint8_t *to = move_area(page_begins_at(data_at + 64), area, mcontext);

	put64(to, AT_XSTATE_BV, get64(to, AT_XSTATE_BV) & ~BIT_ULL(TILE_DATA));
	shrink(to);
	protect_tail(PROT_NONE);
}

/* Turns a small frame into a large one with tiles. */
static uint8_t *grow(uint8_t *area, mcontext_t *mcontext)
{
	uint8_t *to = move_area(arena, area, mcontext);

	put64(to, AT_XFEATURES, get64(to, AT_XFEATURES) | BIT_ULL(TILE_DATA));
	put64(to, AT_XSTATE_BV, get64(to, AT_XSTATE_BV) | BIT_ULL(TILE_DATA));
	put32(to, AT_XSTATE_SIZE, size_large);
	put32(to, AT_EXTENDED, size_large + 4);
	memcpy(to + data_at, &tiles, sizeof(tiles));
	put32(to, size_large, MAGIC2);
	return to;
}

CHANGE(grown) { grow(area, mcontext); }

/* The buffer has space for tiles by then; the kernel goes by the buffer, not the frame. */
CHANGE(grown_after_first_use)
{
	grow(area, mcontext);
	tiles_configure();
	tilezero0();
}

FIXTURE(memory)
{
};

FIXTURE_VARIANT(memory)
{
	const char *name;
	void (*change)(uint8_t *area, mcontext_t *mcontext);
	bool armed, segv, larger;
	uint64_t in_use;
	uint32_t pkru;
};

static bool prepare(void)
{
	size_large = xsave_size(xcomp_mask(XCOMP_PERM) | BIT_ULL(TILE_DATA));
	data_at = xsave_offset(TILE_DATA);
	arena_file = memfd_create("arena", 0);
	if (size_large > 3 * PAGE || arena_file < 0 || ftruncate(arena_file, 8 * PAGE))
		return false;
	arena = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, arena_file, 0);
	tiles_fill(&tiles, 8);
	return arena != MAP_FAILED && catch_outcomes() && !xcomp(XCOMP_REQ_PERM, TILE_DATA);
}

FIXTURE_SETUP(memory)
{
	REQUIRE_TILES();
	ASSERT_TRUE(prepare());
	tiles_configure();
	if (!variant->armed)
		tiles_load(&tiles);
}

FIXTURE_TEARDOWN(memory)
{
}

#define KEPT		.in_use = TILE_BITS, .pkru = PKRU_OWN
#define CASE(how, ...)								\
	FIXTURE_VARIANT_ADD(memory, how) { .name = #how, .change = how, __VA_ARGS__ }

CASE(elsewhere, KEPT);
CASE(not_aligned, .segv = true);
CASE(null_pointer, .in_use = 0, .pkru = PKRU_DEFAULT);
CASE(kernel_pointer, .segv = true);
CASE(not_canonical, .segv = true);
CASE(unmapped, .segv = true);
CASE(read_only, KEPT);
CASE(not_present, KEPT);
CASE(tail_not_present, KEPT);
CASE(tail_unmapped, .segv = true);
CASE(past_the_file, .segv = true);
CASE(shrunk_initial_tail_unmapped, .segv = true);
CASE(grown, .armed = true, .larger = true, .in_use = 0, .pkru = 0);
CASE(grown_after_first_use, .armed = true, KEPT);

TEST_F(memory, leaves)
{
	ASSERT_TRUE(signal_changed_by(variant->change));
	outcome_answer("sigreturn", variant->name);
	EXPECT_OUTCOME(variant);
	if (outcome.in_use == TILE_BITS)
		EXPECT_TRUE(tiles_hold(&tiles));
}

/* Without a handler SIGSEGV kills, and a blocked one does not stay pending. */
TEST(kills_without_a_handler)
{
	sigset_t set;
	int status;
	pid_t pid;

	REQUIRE_TILES();
	ASSERT_TRUE(prepare());
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	for (int blocked = 0; blocked < 2; blocked++) {
		pid = fork();
		if (!pid) {
			if (blocked)
				sigprocmask(SIG_BLOCK, &set, NULL);
			else
				signal(SIGSEGV, SIG_DFL);
			signal_changed_by(kernel_pointer);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	}
}

/*
 * The CVE-2024-26603 loop is in the kernel and never checks for signals: a thread in it cannot be
 * killed, and is left behind.
 */
TEST(cve_2024_26603_sigreturn_ends)
{
	struct pollfd gone = { .events = POLLIN };
	int status;
	pid_t pid;

	REQUIRE_TILES();
	ASSERT_TRUE(prepare());
	pid = fork();
	if (!pid) {
		tiles_configure();
		tiles_load(&tiles);
		signal_changed_by(shrunk_tail_unmapped);
		outcome_answer("sigreturn", "shrunk_tail_unmapped");
		_exit(outcome.signo != SIGSEGV || outcome.code != SI_KERNEL || outcome.in_use);
	}
	gone.fd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_LE(0, gone.fd);
	ASSERT_EQ(1, poll(&gone, 1, 10000)) {
		TH_LOG("sigreturn does not return from a frame whose tail is unmapped");
		kill(pid, SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
