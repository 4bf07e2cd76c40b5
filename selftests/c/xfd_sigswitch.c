// SPDX-License-Identifier: GPL-2.0
/*
 * Signal delivery and sigreturn that sleep midway while a task with a different IA32_XFD runs on the CPU:
 * each must continue with its own (CVE-2025-68171: it did not, and XRSTOR ran with the other's). They
 * sleep on a missing page of the frame, which the other task supplies (userfaultfd).
 */
#include "kselftest_harness.h"
#include "counters.h"
#include "frame.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PAGE 4096UL
#define ROUNDS 5

static uint8_t *stack;		/* 16 pages; the state begins on the 9th, with the rest of the frame below */
#define STATE (stack + 8 * PAGE)
#define CONTEXT (stack + 7 * PAGE)

static int faults;
static uint8_t *last_page;	/* of the state */

struct shared {
	uint8_t saved[PAGE];	/* of last_page, while it is missing */
	int brought;
	bool tiles_kept;
} __attribute__((aligned(PAGE)));

static struct shared *shared;
static struct tiles mine, others;
static int delivered;
static bool at_state, drop_last_page;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	delivered++;
	at_state = frame_area(ucontext) == STATE;
	if (!drop_last_page)
		return;
	memcpy(shared->saved, last_page, PAGE);
	madvise(last_page, PAGE, MADV_DONTNEED);
}

/* The other task: uses its own registers, then supplies each page that the first task misses. */
static void bring_pages(bool live)
{
	struct uffd_msg message;
	struct uffdio_copy copy = { .len = PAGE };
	static uint8_t zero[PAGE] __attribute__((aligned(PAGE)));

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (live) {
		tiles_configure();
		tiles_load(&others);
	}
	shared->tiles_kept = true;
	while (read(faults, &message, sizeof(message)) == sizeof(message)) {
		copy.dst = message.arg.pagefault.address & -PAGE;
		copy.src = (uintptr_t)(copy.dst == (uintptr_t)last_page ? shared->saved : zero);
		if (live)
			shared->tiles_kept &= tiles_hold(&others);
		shared->brought++;
		if (ioctl(faults, UFFDIO_COPY, &copy))
			break;
	}
	_exit(1);
}

static bool watch(void *page)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)page, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return !madvise(page, PAGE, MADV_DONTNEED) && !ioctl(faults, UFFDIO_REGISTER, &range);
}

FIXTURE(switched)
{
	struct counters before;
	pid_t other;
};

FIXTURE_VARIANT(switched)
{
	bool live, other_live;
};

FIXTURE_SETUP(switched)
{
	struct sigaction action = {
		.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	struct uffdio_api api = { .api = UFFD_API };
	uint32_t size;
	stack_t alternate;

	REQUIRE_TILES();
	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0)
		SKIP(return, "no userfaultfd for faults in the kernel: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(faults, UFFDIO_API, &api));
	ASSERT_TRUE(pin_to(sched_getcpu()));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	self->before = counters_now();
	tiles_fill(&mine, 13);
	tiles_fill(&others, 14);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, stack);

	/* The kernel puts the state at the highest multiple of 64 that leaves space for it and magic2. */
	size = xsave_size(xcomp_mask(XCOMP_PERM) & ~(variant->live ? 0 : BIT_ULL(TILE_DATA)));
	last_page = STATE + (size & -PAGE);
	alternate = (stack_t) { .ss_sp = stack, .ss_size = STATE + size + 4 - stack };
	ASSERT_EQ(0, sigaltstack(&alternate, NULL));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_TRUE(watch(CONTEXT));
	ASSERT_TRUE(watch(last_page));
	self->other = fork();
	if (!self->other)
		bring_pages(variant->other_live);
	ASSERT_LT(0, self->other);
	if (variant->live) {
		tiles_configure();
		tiles_load(&mine);
	}
}

FIXTURE_TEARDOWN(switched)
{
	if (self->other > 0) {
		kill(self->other, SIGKILL);
		waitpid(self->other, NULL, 0);
	}
}

FIXTURE_VARIANT_ADD(switched, armed_by_live) { .live = false, .other_live = true };
FIXTURE_VARIANT_ADD(switched, live_by_armed) { .live = true, .other_live = false };

/* No task lost a tile, and none was served an #NM raised by another task's IA32_XFD. */
#define EXPECT_OWN_XFD(pages)							\
	do {									\
		EXPECT_EQ(ROUNDS, delivered);					\
		EXPECT_TRUE(at_state);						\
		EXPECT_EQ((pages) * ROUNDS, shared->brought);			\
		EXPECT_TRUE(shared->tiles_kept);				\
		EXPECT_COUNTED(self->before, 1, 0);				\
	} while (0)

TEST_F(switched, cve_2025_68171_in_delivery)
{
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, madvise(CONTEXT, PAGE, MADV_DONTNEED));
		ASSERT_TRUE(signal_now(SIGUSR1));
		if (variant->live)
			EXPECT_TRUE(tiles_hold(&mine));
	}
	/* The state's last page was supplied once, the context's page each time. */
	shared->brought--;
	EXPECT_OWN_XFD(1);
}

TEST_F(switched, in_sigreturn)
{
	drop_last_page = true;
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(signal_now(SIGUSR1));
		if (variant->live)
			EXPECT_TRUE(tiles_hold(&mine));
	}
	/* The context's page was supplied once; the last page once in the first delivery and per return. */
	shared->brought -= 2;
	EXPECT_OWN_XFD(1);
}

TEST_HARNESS_MAIN
