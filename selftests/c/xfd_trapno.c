// SPDX-License-Identifier: GPL-2.0
/*
 * The frame of a refused tile instruction says which exception it was: 7, #NM, with no error code. The
 * C code sets neither, so that a handler reads those of an older exception of its thread, and takes a
 * refused tile for a page fault or for an instruction that this processor does not have.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "faults.h"
#include "stock.h"

#include <pthread.h>
#include <sys/mman.h>

#define NM	7

#define EXPECT_TRAP(signal, number, code)					\
	do {									\
		EXPECT_EQ((signal), fault.signo);				\
		EXPECT_EQ((number), fault.trapno);				\
		EXPECT_EQ((code), fault.err);					\
	} while (0)

FIXTURE(trapno)
{
};

/* What the thread did before. */
FIXTURE_VARIANT(trapno)
{
	void (*before)(struct __test_metadata *_metadata);
};

#define BEFORE(name)								\
	static void name(struct __test_metadata *_metadata);			\
	FIXTURE_VARIANT_ADD(trapno, name) { .before = name };			\
	static void name(struct __test_metadata *_metadata)

BEFORE(nothing) { }

BEFORE(invalid_opcode)
{
	TRY("ud2");
	EXPECT_TRAP(SIGILL, 6, 0);
}

BEFORE(tile_not_configured)
{
	tilerelease();
	TRY("tilezero %%tmm0");
	EXPECT_TRAP(SIGILL, 6, 0);
	tiles_configure();
}

BEFORE(page_not_present)
{
	TRY("movb $1, 8");
	EXPECT_TRAP(SIGSEGV, 14, 6);
}

BEFORE(page_of_the_kernel)
{
	TRY("movb -8, %%al");
	/* As if it were not there: whether it is must not be told (mm/fault.c:758). */
	EXPECT_TRAP(SIGSEGV, 14, 5);
}

BEFORE(address_not_canonical)
{
	TRY("mov $1, %%rax\n\tshl $63, %%rax\n\tmovb (%%rax), %%al");
	EXPECT_TRAP(SIGSEGV, 13, 0);
}

BEFORE(division)
{
	TRY("xor %%eax, %%eax\n\tdiv %%al");
	EXPECT_TRAP(SIGFPE, 0, 0);
}

BEFORE(breakpoint)
{
	TRY("int3");
	EXPECT_TRAP(SIGTRAP, 3, 0);
}

FIXTURE_SETUP(trapno)
{
	REQUIRE_TILES();
	REQUIRE_MENDED("leaves the numbers of an older exception");
	faults_catch();
	faults_catch_also(SIGFPE);
	faults_catch_also(SIGTRAP);
	tiles_configure();
}

FIXTURE_TEARDOWN(trapno)
{
}

TEST_F(trapno, then_denied)
{
	for (int i = 0; i < 3; i++) {
		variant->before(_metadata);
		TRY("tilezero %%tmm0");
		EXPECT_TRAP(SIGILL, NM, 0);
		EXPECT_EQ(ILL_ILLOPC, fault.code);
		EXPECT_EQ(fault.at, fault.addr);
	}
}

/* And the other way round: what comes after a refused tile is not taken for one. */
TEST_F(trapno, then_denied_then_again)
{
	TRY("tilezero %%tmm0");
	variant->before(_metadata);
	if (variant->before == nothing)
		return;
	EXPECT_NE(NM, fault.trapno);
}

static void *fault_elsewhere(void *done)
{
	TRY("movb $1, 8");
	pthread_barrier_wait(done);
	pthread_barrier_wait(done);
	return NULL;
}

/* The numbers are a thread's own: one faults while another is refused. */
TEST(of_another_thread)
{
	pthread_barrier_t done;
	pthread_t thread;

	REQUIRE_TILES();
	REQUIRE_MENDED("leaves what was there, though it be nothing");
	faults_catch();
	tiles_configure();
	pthread_barrier_init(&done, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, fault_elsewhere, &done));
	pthread_barrier_wait(&done);
	TRY("tilezero %%tmm0");
	EXPECT_TRAP(SIGILL, NM, 0);
	pthread_barrier_wait(&done);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
