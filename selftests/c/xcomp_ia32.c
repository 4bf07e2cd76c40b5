// SPDX-License-Identifier: GPL-2.0
/*
 * Permission and frames of a real 32-bit task: ia32_child, embedded in this program. See
 * ia32_child.c for what it does with tiles.
 */
#include "kselftest_harness.h"
#include "look.h"
#include "ia32.h"

#include <fcntl.h>
#include <sys/wait.h>

#define FSAVE 112	/* struct fregs_state, in front of the state in an ia32 frame */

extern const uint8_t ia32_child[], ia32_child_end[];

static struct ia32_report ia32;
static uint64_t small, large;

/* Executes the 32-bit program, which finds the 64-bit program to execute at /proc/self/fd/N. */
static int exec_ia32(const char *command, int to)
{
	char fd[16], self[32];
	int file = memfd_create("ia32_child", 0);
	int this = open("/proc/self/exe", O_RDONLY);
	size_t size = ia32_child_end - ia32_child;
	char environment[32];
	char *argv[] = { "ia32_child", (char *)command, fd, self, NULL };
	char *envp[] = { environment, NULL };

	if (file < 0 || write(file, ia32_child, size) != size)
		return 2;
	snprintf(fd, sizeof(fd), "%d", to);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", this);
	snprintf(environment, sizeof(environment), "XCOMP_EXEC_FD=%d", to);
	fexecve(file, argv, envp);
	return 2;
}

/* Runs it as a child, and reads @size bytes of its report into @into. */
static bool run_ia32(const char *command, void *into, size_t size)
{
	int fd[2], status;
	pid_t pid;
	ssize_t got;

	if (pipe(fd))
		return false;
	pid = fork();
	if (!pid)
		_exit(exec_ia32(command, fd[1]));
	close(fd[1]);
	got = read(fd[0], into, size);
	close(fd[0]);
	return waitpid(pid, &status, 0) == pid && !status && got == size;
}

FIXTURE(ia32)
{
	struct counters before;
};

FIXTURE_SETUP(ia32)
{
	REQUIRE_TILES();
	if (&ia32_child[0] == &ia32_child_end[0])
		SKIP(return, "no 32-bit program: the compiler that built this test does not support -m32");
	if (access("/proc/sys/abi/vsyscall32", F_OK))
		SKIP(return, "no 32-bit tasks: the kernel lacks IA32_EMULATION, or ia32_emulation=0");
	small = xcomp_mask(XCOMP_PERM);
	large = small | BIT_ULL(TILE_DATA);
	self->before = counters_now();
}

FIXTURE_TEARDOWN(ia32)
{
}

static void frame_ia32_answer(const char *name, const struct ia32_frame *frame)
{
	answer(name, "xstate_size %u extended_size %u xfeatures %#llx", frame->xstate_size,
	       frame->extended_size, (unsigned long long)frame->xfeatures);
}

/* Like a 64-bit frame, but 112 bytes further on and 112 bytes larger (fpu/signal.c:113). */
#define EXPECT_IA32_FRAME(name, mask)						\
	do {									\
		EXPECT_FRAME_OF(ia32.name, mask);				\
		EXPECT_EQ(0, ia32.name.fsave_magic);				\
		EXPECT_EQ(0, ia32.name.misaligned);				\
		frame_ia32_answer("ia32.frame." #name, &ia32.name);		\
	} while (0)
#define EXPECT_FRAME_OF(frame, mask)						\
	do {									\
		EXPECT_EQ(MAGIC1, (frame).magic1);				\
		EXPECT_EQ(MAGIC2, (frame).magic2);				\
		EXPECT_EQ((mask), (frame).xfeatures);				\
		EXPECT_EQ(xsave_size(mask), (frame).xstate_size);		\
		EXPECT_EQ((frame).xstate_size + 4 + FSAVE, (frame).extended_size);	\
	} while (0)

/* #UD, not #NM: SIGILL with a different code, at the instruction. Permission is not checked. */
#define EXPECT_UD(outcome)							\
	do {									\
		for (int i = 0; i < INSNS; i++) {				\
			EXPECT_EQ(SIGILL, (outcome)[i].signo);			\
			EXPECT_EQ(ILL_ILLOPN, (outcome)[i].code);		\
			EXPECT_EQ(0, (outcome)[i].elsewhere);			\
		}								\
	} while (0)

TEST_F(ia32, the_options)
{
	ASSERT_TRUE(run_ia32("use", &ia32, sizeof(ia32)));
	ASSERT_EQ(1, ia32.done);
	EXPECT_EQ(xcomp_mask(XCOMP_SUPP), ia32.supp);
	EXPECT_EQ(small, ia32.perm);
	EXPECT_EQ(small, ia32.guest);
	EXPECT_EQ(-EFAULT, ia32.efault);
	EXPECT_EQ(-EINVAL, ia32.einval);
	EXPECT_EQ(-EOPNOTSUPP, ia32.eopnotsupp);
	EXPECT_EQ(-EINVAL, ia32.unknown);
	EXPECT_EQ(0, ia32.request);
	EXPECT_EQ(large, ia32.perm_after);
	answer("ia32.perm", "%#llx -> %#llx", (unsigned long long)ia32.perm,
	       (unsigned long long)ia32.perm_after);
}

TEST_F(ia32, tile_instructions_are_ud)
{
	ASSERT_TRUE(run_ia32("use", &ia32, sizeof(ia32)));
	EXPECT_UD(ia32.insn);
	EXPECT_UD(ia32.insn_permitted);
	answer("ia32.tilezero", "signal %d code %d", ia32.insn[TILEZERO].signo,
	       ia32.insn[TILEZERO].code);
	/* Only the 64-bit code in that task had a first use. */
	EXPECT_COUNTED(self->before, 1, 0);
}

TEST_F(ia32, frames)
{
	ASSERT_TRUE(run_ia32("use", &ia32, sizeof(ia32)));
	EXPECT_IA32_FRAME(before, small);
	EXPECT_IA32_FRAME(permitted, small);
	EXPECT_IA32_FRAME(live, large);
	EXPECT_IA32_FRAME(live_not_rt, large);
	EXPECT_IA32_FRAME(released, large);
	EXPECT_EQ(TILE_BITS, ia32.live.xstate_bv & TILE_BITS);
	EXPECT_EQ(TILE_BITS, ia32.live_not_rt.xstate_bv & TILE_BITS);
	EXPECT_EQ(0, ia32.released.xstate_bv & TILE_BITS);
	EXPECT_TRUE(ia32.kept);
	EXPECT_TRUE(ia32.kept_not_rt);
}

/*
 * A 64-bit sigreturn passes the frame to XRSTOR. The 32-bit one first copies it into the kernel
 * (fpu/xstate.c:1330), and is stricter about the header and about components the buffer has no space for.
 */
TEST_F(ia32, sigreturn_of_changed_frames)
{
	static const struct { const char *name; bool segv; uint64_t in_use; } expected[] = {
		[ARMED_NOTHING] =	{ "armed.nothing", false, 0 },
		[ARMED_BV_WITH_18] =	{ "armed.bv_with_18", true, 0 },
		[NOTHING] =		{ "nothing", false, TILE_BITS },
		[NO_MAGIC2] =		{ "magic2", false, 0 },
		[XFEATURES_NO_18] =	{ "xfeatures_no_18", false, BIT_ULL(TILE_CFG) },
		[BV_NO_18] =		{ "bv_no_18", false, BIT_ULL(TILE_CFG) },
		[BV_WITH_11] =		{ "bv_with_11", true, 0 },
		[BV_WITH_19] =		{ "bv_with_19", true, 0 },
		[XCOMP_BV_WITH_63] =	{ "xcomp_bv_with_63", true, 0 },
		[RESERVED_BYTE_24] =	{ "reserved_byte_24", true, 0 },
		[RESERVED_LAST] =	{ "reserved_last", true, 0 },
	};

	ASSERT_TRUE(run_ia32("use", &ia32, sizeof(ia32)));
	for (int i = 0; i < CHANGES; i++) {
		const struct ia32_outcome *is = &ia32.change[i];
		char name[64];

		EXPECT_EQ(expected[i].segv ? SIGSEGV : 0, is->signo)
			TH_LOG("%s", expected[i].name);
		EXPECT_EQ(expected[i].segv ? SI_KERNEL : 0, is->code);
		EXPECT_EQ(0, is->elsewhere);
		EXPECT_EQ(expected[i].in_use, is->in_use)
			TH_LOG("%s", expected[i].name);
		snprintf(name, sizeof(name), "ia32.sigreturn.%s", expected[i].name);
		answer(name, "signal %d code %d in_use %#llx", is->signo, is->code,
		       (unsigned long long)is->in_use);
	}
}

TEST_F(ia32, fork_copies_it)
{
	ASSERT_TRUE(run_ia32("fork", &ia32, sizeof(ia32)));
	ASSERT_EQ(1, ia32.done);
	EXPECT_EQ(large, ia32.perm);
	EXPECT_EQ(small, ia32.guest);
	EXPECT_EQ(BIT_ULL(TILE_CFG), ia32.in_use);
	EXPECT_FRAME_OF(ia32.before, small);
}

TEST_F(ia32, exec_of_a_32_bit_program_ends_it)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	tiles_configure();
	tilezero0();
	ASSERT_TRUE(run_ia32("look", &ia32, sizeof(ia32)));
	ASSERT_EQ(1, ia32.done);
	EXPECT_EQ(small, ia32.perm);
	EXPECT_EQ(small, ia32.guest);
	EXPECT_EQ(0, ia32.in_use);
	EXPECT_FRAME_OF(ia32.before, small);
}

/* A permitted 32-bit task with live tiles becomes a 64-bit one. */
TEST_F(ia32, exec_by_a_32_bit_program_ends_it)
{
	struct report now = { 0 };

	ASSERT_TRUE(run_ia32("exec", &now, sizeof(now)));
	ASSERT_TRUE(now.done);
	EXPECT_EQ(small, now.perm);
	EXPECT_EQ(small, now.guest);
	EXPECT_EQ(0, now.in_use);
	EXPECT_EQ(0, now.cfg.palette);
	EXPECT_EQ(SIGILL, now.fault.signo);
	EXPECT_EQ(ILL_ILLOPC, now.fault.code);
	EXPECT_EQ(xsave_size(small), now.xstate_size);
}

TEST_HARNESS_MAIN
