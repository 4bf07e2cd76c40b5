// SPDX-License-Identifier: GPL-2.0
/*
 * The frame of a refused tile instruction identifies the exception: 7, #NM, with no error code. The C
 * code sets neither, so a handler reads the numbers of an earlier exception in its thread, and mistakes
 * the refusal for a page fault or for an instruction that this processor lacks.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "faults.h"
#include "stock.h"

#include <pthread.h>

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

FIXTURE_SETUP(trapno)
{
	REQUIRE_TILES();
	REQUIRE_MENDED("leaves the numbers of an older exception, or none");
	faults_catch();
	faults_catch_also(SIGFPE);
	faults_catch_also(SIGTRAP);
	tiles_configure();
}

FIXTURE_TEARDOWN(trapno)
{
}

static void nothing(void)
{
	fault.signo = 0;
}

static void invalid_opcode(void)
{
	TRY("ud2");
}

static void tile_not_configured(void)
{
	tilerelease();
	TRY("tilezero %%tmm0");
	tiles_configure();
}

static void page_not_present(void)
{
	TRY("movb $1, 8");
}

/* Reported as if the page were not present, since the kernel must not reveal whether it is (mm/fault.c:758). */
static void page_of_the_kernel(void)
{
	TRY("movb -8, %%al");
}

static void address_not_canonical(void)
{
	TRY("mov $1, %%rax\n\tshl $63, %%rax\n\tmovb (%%rax), %%al");
}

static void division(void)
{
	TRY("xor %%eax, %%eax\n\tdiv %%al");
}

static void breakpoint(void)
{
	TRY("int3");
}

/* What a thread may have done before, and the numbers in the frame of that exception. */
static const struct {
	const char *name;
	void (*happen)(void);
	int signo;
	long trapno, err;
} older[] = {
	{ "nothing", nothing, 0, 0, 0 },
	{ "invalid opcode", invalid_opcode, SIGILL, 6, 0 },
	{ "tile not configured", tile_not_configured, SIGILL, 6, 0 },
	{ "page not present", page_not_present, SIGSEGV, 14, 6 },
	{ "page of the kernel", page_of_the_kernel, SIGSEGV, 14, 5 },
	{ "address not canonical", address_not_canonical, SIGSEGV, 13, 0 },
	{ "division", division, SIGFPE, 0, 0 },
	{ "breakpoint", breakpoint, SIGTRAP, 3, 0 },
};

/* They alternate, so an exception after a refused tile instruction must not be taken for a refusal either. */
TEST_F(trapno, after_another_exception)
{
	for (int i = 0; i < 2 * ARRAY_SIZE(older); i++) {
		typeof(&older[0]) it = &older[i % ARRAY_SIZE(older)];

		it->happen();
		if (it->signo)
			EXPECT_TRAP(it->signo, it->trapno, it->err);
		TRY("tilezero %%tmm0");
		EXPECT_EQ(ILL_ILLOPC, fault.code);
		EXPECT_EQ(fault.at, fault.addr);
		EXPECT_TRUE(fault.signo == SIGILL && fault.trapno == NM && fault.err == 0)
			TH_LOG("after %s: signal %d, trap %ld, error %#lx", it->name, fault.signo, fault.trapno,
			       fault.err);
	}
}

static void *fault_elsewhere(void *done)
{
	TRY("movb $1, 8");
	pthread_barrier_wait(done);
	pthread_barrier_wait(done);
	return NULL;
}

/* Each thread has its own numbers: one faults while another is refused. */
TEST_F(trapno, of_another_thread)
{
	pthread_barrier_t done;
	pthread_t thread;

	pthread_barrier_init(&done, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, fault_elsewhere, &done));
	pthread_barrier_wait(&done);
	TRY("tilezero %%tmm0");
	EXPECT_TRAP(SIGILL, NM, 0);
	pthread_barrier_wait(&done);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
