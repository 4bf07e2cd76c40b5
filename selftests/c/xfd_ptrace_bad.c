// SPDX-License-Identifier: GPL-2.0
/* Extended state that a tracer may not read or write: each request fails with its errno and changes nothing. */
#include "kselftest_harness.h"
#include "answer.h"
#include "tracee.h"

FIXTURE(refused)
{
	struct tracee t;
	union xsave area, wrong;
};

FIXTURE_SETUP(refused)
{
	REQUIRE_TILES();
	ASSERT_TRUE(tracee_start(&self->t, LIVE));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, &self->area));
	self->wrong = self->area;
	/* These would be visible if accepted. */
	tiles_fill(tiles_in(&self->wrong), 13);
	*pkru_in(&self->wrong) = 0x33333330;
}

/* The tracee's state is unchanged. */
FIXTURE_TEARDOWN(refused)
{
	union xsave now;

	if (!self->t.pid)
		return;
	EXPECT_EQ(self->t.size, xstate_get(&self->t, &now));
	EXPECT_EQ(0, memcmp(&self->area, &now, sizeof(now)));
	EXPECT_EQ(0, tracee_finish(&self->t));
	EXPECT_EQ(PKRU_AT_FIRST, self->t.seen->pkru);
	EXPECT_EQ(0, memcmp(&self->t.tiles, &self->t.seen->tiles, sizeof(self->t.tiles)));
}

#define SET(length) regset(&self->t, PTRACE_SETREGSET, NT_X86_XSTATE, &self->wrong, length)
#define GET(length) regset(&self->t, PTRACE_GETREGSET, NT_X86_XSTATE, &self->wrong, length)

/* Only whole words (7.2: kernel/ptrace.c, ptrace_regset()), and all of them (fpu/regset.c). */
TEST_F(refused, sizes_to_write)
{
	EXPECT_EQ(-EFAULT, SET(0));
	EXPECT_EQ(-EFAULT, SET(512));
	EXPECT_EQ(-EFAULT, SET(576));
	EXPECT_EQ(-EFAULT, SET(self->t.size - 8));
	EXPECT_EQ(-EINVAL, SET(self->t.size - 1));
	EXPECT_EQ(-EINVAL, SET(self->t.size + 1));
	answer("ptrace.set.short", "%s", strerrorname_np(-SET(self->t.size - 8)));
	answer("ptrace.set.odd", "%s", strerrorname_np(-SET(self->t.size - 1)));
}

/* A larger buffer is truncated to the size of the state, as when reading. */
TEST_F(refused, nothing_of_a_larger_buffer)
{
	EXPECT_EQ(self->t.size, regset(&self->t, PTRACE_SETREGSET, NT_X86_XSTATE, &self->area,
				       self->t.size + 8));
}

TEST_F(refused, sizes_to_read)
{
	EXPECT_EQ(0, GET(0));
	EXPECT_EQ(0x33333330, *pkru_in(&self->wrong));
	EXPECT_EQ(-EINVAL, GET(self->t.size - 1));
	EXPECT_EQ(self->t.size, GET(self->t.size + 8));
	memset(&self->wrong, 0xa5, sizeof(self->wrong));
	EXPECT_EQ(576, GET(576));
	EXPECT_EQ(0, memcmp(&self->area, &self->wrong, 576));
	EXPECT_EQ(0xa5, self->wrong.byte[576]);
	EXPECT_EQ(self->t.size - 8, GET(self->t.size - 8));
	EXPECT_EQ(0, memcmp(&self->area, &self->wrong, self->t.size - 8));
	EXPECT_EQ(0xa5, self->wrong.byte[self->t.size - 8]);
}

TEST_F(refused, addresses)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT_EQ(-EFAULT, regset(&self->t, PTRACE_SETREGSET, NT_X86_XSTATE, nowhere, self->t.size));
	EXPECT_EQ(-EFAULT, regset(&self->t, PTRACE_GETREGSET, NT_X86_XSTATE, nowhere, self->t.size));
}

TEST_F(refused, unknown_set)
{
	EXPECT_EQ(-EINVAL, regset(&self->t, PTRACE_GETREGSET, 0x9999, &self->wrong, 8));
	EXPECT_EQ(-EINVAL, regset(&self->t, PTRACE_SETREGSET, 0x9999, &self->wrong, 8));
}

/* XSTATE_BV must not name supervisor components, nor any that the machine lacks. */
TEST_F(refused, components)
{
	static const int bits[] = { 8, 10, 11, 12, 14, 15, 16, 62, 63 };
	const uint64_t xstate_bv = self->wrong.xstate_bv;

	for (int i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		self->wrong.xstate_bv = xstate_bv | BIT_ULL(bits[i]);
		EXPECT_EQ(-EINVAL, SET(self->t.size))
			TH_LOG("bit %d", bits[i]);
	}
	answer("ptrace.set.supervisor", "%s", strerrorname_np(-SET(self->t.size)));
}

/* The compacted format is internal to the kernel. */
TEST_F(refused, compacted_format)
{
	self->wrong.xcomp_bv = BIT_ULL(63);
	EXPECT_EQ(-EINVAL, SET(self->t.size));
	self->wrong.xcomp_bv = BIT_ULL(63) | self->wrong.xstate_bv;
	EXPECT_EQ(-EINVAL, SET(self->t.size));
	self->wrong.xcomp_bv = 1;
	EXPECT_EQ(-EINVAL, SET(self->t.size));
}

TEST_F(refused, reserved_bytes_of_the_header)
{
	for (int i = 0; i < sizeof(self->wrong.reserved); i++) {
		self->wrong.reserved[i] = 1;
		EXPECT_EQ(-EINVAL, SET(self->t.size))
			TH_LOG("byte %d", i);
		self->wrong.reserved[i] = 0;
	}
}

/* Tries each component that MXCSR belongs to. */
TEST_F(refused, reserved_bits_of_mxcsr)
{
	const uint64_t xstate_bv = self->wrong.xstate_bv & ~7ULL;

	self->wrong.mxcsr |= 1U << 31;
	for (int i = 0; i < 3; i++) {
		self->wrong.xstate_bv = xstate_bv | BIT_ULL(i);
		EXPECT_EQ(-EINVAL, SET(self->t.size))
			TH_LOG("bit %d", i);
	}
}

/* A running thread's state is not accessible. */
TEST_F(refused, a_running_thread)
{
	struct tracee running = { 0 };
	int end[2], status;
	char byte;

	ASSERT_EQ(0, pipe(end));
	running.pid = fork();
	if (!running.pid) {
		close(end[1]);
		_exit(read(end[0], &byte, 1) != 0);
	}
	close(end[0]);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, running.pid, 0, 0));
	EXPECT_EQ(-ESRCH, regset(&running, PTRACE_GETREGSET, NT_X86_XSTATE, &self->wrong,
				 sizeof(self->wrong)));
	EXPECT_EQ(-ESRCH, regset(&running, PTRACE_SETREGSET, NT_X86_XSTATE, &self->area,
				 sizeof(self->area)));
	close(end[1]);
	ASSERT_EQ(running.pid, waitpid(running.pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
