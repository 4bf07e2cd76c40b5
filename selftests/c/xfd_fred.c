// SPDX-License-Identifier: GPL-2.0
/*
 * What a program can see of FRED (SDM vol. 3, chapter 8): which events its instructions raise, the instruction
 * lengths the processor reports, and where ERETU may and may not return to.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "compat.h"
#include "faults.h"

#include <asm/ldt.h>

#define UD	6
#define NP	11
#define SS	12
#define GP	13

static bool cpuinfo_has(const char *flag)
{
	char line[8192];
	bool has = false;
	FILE *file = fopen("/proc/cpuinfo", "r");

	while (file && !has && fgets(line, sizeof(line), file))
		has = !strncmp(line, "flags", 5) && strstr(line, flag);
	if (file)
		fclose(file);
	return has;
}

#define EXPECT_FAULT(signal, number, code)					\
	do {									\
		EXPECT_EQ((signal), fault.signo);				\
		EXPECT_EQ((number), fault.trapno);				\
		EXPECT_EQ((code), fault.err);					\
	} while (0)

/* @insn raises this, with the thread @behind bytes past its start. */
#define EXPECT_OF(insn, signal, number, code, behind)				\
	do {									\
		TRY(insn);							\
		EXPECT_FAULT(signal, number, code);				\
		EXPECT_EQ(fault.at + (behind), fault.rip)			\
			TH_LOG("%s", insn);					\
	} while (0)

enum { CODE, DATA, ABSENT_CODE, ABSENT_DATA, SHORT_CODE };
#define LDT(entry)	((entry) << 3 | 7)

static int ldt_set(int entry, bool code, bool absent, unsigned int limit)
{
	struct user_desc desc = {
		.entry_number = entry, .limit = limit, .limit_in_pages = limit > 0xffff, .seg_32bit = 1,
		.contents = code ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA,
		.seg_not_present = absent, .useable = 1,
	};

	return syscall(SYS_modify_ldt, 0x11, &desc, sizeof(desc));
}

FIXTURE(fred)
{
};

FIXTURE_SETUP(fred)
{
	if (!cpuinfo_has(" fred"))
		SKIP(return, "no FRED, or the kernel does not use it");
	faults_catch();
	faults_catch_also(SIGTRAP);
	faults_catch_also(SIGBUS);
	ASSERT_EQ(0, ldt_set(CODE, true, false, 0xfffff));
	ASSERT_EQ(0, ldt_set(DATA, false, false, 0xfffff));
	ASSERT_EQ(0, ldt_set(ABSENT_CODE, true, true, 0xfffff));
	ASSERT_EQ(0, ldt_set(ABSENT_DATA, false, true, 0xfffff));
	ASSERT_EQ(0, ldt_set(SHORT_CODE, true, false, 0xfff));
}

FIXTURE_TEARDOWN(fred)
{
}

/* LKGS and WRMSRNS come with FRED. */
TEST_F(fred, cpuid)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid_count(7, 1, eax, ebx, ecx, edx);
	EXPECT_EQ(7, eax >> 17 & 7);
}

/* Here, SYSCALL and the return from it change nothing but the flags. */
TEST_F(fred, syscall_keeps_rcx_and_r11)
{
	register uint64_t r11 asm("r11") = 0x1122334455667788;
	uint64_t rcx = 0x8877665544332211;
	long rax = SYS_getpid;

	asm volatile("syscall" : "+a"(rax), "+c"(rcx), "+r"(r11) :: "memory");
	EXPECT_EQ(getpid(), rax);
	EXPECT_EQ(0x8877665544332211, rcx);
	EXPECT_EQ(0x1122334455667788, r11);
}

TEST_F(fred, instructions_of_ring_0)
{
	EXPECT_OF(".byte 0xf2, 0x0f, 0x01, 0xca", SIGILL, UD, 0, 0);	/* ERETS */
	EXPECT_OF(".byte 0xf3, 0x0f, 0x01, 0xca", SIGILL, UD, 0, 0);	/* ERETU */
	EXPECT_OF(".byte 0xf2, 0x0f, 0x00, 0xf0", SIGILL, UD, 0, 0);	/* LKGS EAX */
	EXPECT_OF(".byte 0xf2, 0x0f, 0x00, 0x30", SIGILL, UD, 0, 0);	/* LKGS [RAX] */
	EXPECT_OF(".byte 0x0f, 0x00, 0xf0", SIGILL, UD, 0, 0);
	EXPECT_OF("swapgs", SIGILL, UD, 0, 0);
	EXPECT_OF("sysretq", SIGILL, UD, 0, 0);
	EXPECT_OF("sysexitq", SIGILL, UD, 0, 0);
	EXPECT_OF(".byte 0x0f, 0x01, 0xc6", SIGSEGV, GP, 0, 0);		/* WRMSRNS */
}

/*
 * No gate restricts them: each is delivered, whatever its number, and never as an exception. The kernel moves RIP
 * back to the instruction.
 */
TEST_F(fred, software_interrupts)
{
#define EXPECT_INT(prefixes, n) EXPECT_OF(prefixes ".byte 0xcd, " #n, SIGSEGV, GP, (n) << 3 | 2, 0)
	EXPECT_INT("", 0);
	EXPECT_INT("", 1);
	EXPECT_INT("", 2);
	EXPECT_INT("", 8);
	EXPECT_INT("", 14);
	EXPECT_INT("", 18);
	EXPECT_INT("", 0xec);
	EXPECT_INT("", 0xff);
	EXPECT_INT(".byte 0x48\n\t", 0x33);
	EXPECT_INT(".fill 13, 1, 0x66\n\t", 0x33);
	EXPECT_OF("int3", SIGTRAP, 3, 0, 1);
	EXPECT_OF(".byte 0xcd, 3", SIGTRAP, 3, 0, 2);
	EXPECT_OF(".byte 0xcd, 4", SIGSEGV, 4, 0, 2);
	EXPECT_OF(".byte 0xf1", SIGTRAP, 1, 0, 1);
	TRY("sysenter");
	EXPECT_FAULT(SIGILL, UD, 0);
}

/* The address of a page fault is the event's data. */
TEST_F(fred, page_faults)
{
	EXPECT_OF("movb $1, 8", SIGSEGV, 14, 6, 0);
	EXPECT_EQ(8, fault.addr);
}

static int steps[16];
extern const uint8_t stepped[];

static void on_step(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
	uintptr_t offset = gregs[REG_RIP] - (uintptr_t)stepped;

	if (offset < 16)
		steps[offset]++;
}

/* After a system call ERETU leaves a single step pending, as if the call were one instruction; not so for INT3. */
TEST_F(fred, single_steps)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	static const int expected[16] = { [1] = 1, [3] = 1, [8] = 1, [10] = 1, [11] = 1, [12] = 1, [13] = 1 };
	long rax = SYS_getpid;

	ASSERT_EQ(0, sigaction(SIGTRAP, &action, NULL));
	asm volatile("lea -128(%%rsp), %%rsp\n\t"
		     "pushfq; orl %[tf], (%%rsp); popfq\n"
		     "stepped: nop\n\t"		/* 0 */
		     "syscall\n\t"		/* 1 */
		     "mov $20, %%eax\n\t"	/* 3 */
		     "int $0x80\n\t"		/* 8 */
		     "nop\n\t"			/* 10 */
		     "int3\n\t"			/* 11 */
		     "nop\n\t"			/* 12 */
		     "pushfq; andl %[no_tf], (%%rsp); popfq\n\t"
		     "lea 128(%%rsp), %%rsp"
		     : "+a"(rax)
		     : [tf] "i"(0x100), [no_tf] "i"(~0x100)
		     : "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
	for (int i = 0; i < 14; i++) {
		EXPECT_EQ(expected[i], steps[i])
			TH_LOG("at %d", i);
	}
}

static uint16_t seen_cs;
static uint64_t seen_rsp;

static void note(int signo, const greg_t *gregs)
{
	fault.signo = signo;
	fault.trapno = gregs[REG_TRAPNO];
	fault.err = gregs[REG_ERR];
	fault.rip = gregs[REG_RIP];
}

static void on_compat(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	note(signo, gregs);
	seen_cs = gregs[REG_CSGSFS];
	seen_rsp = gregs[REG_RSP];
	gregs[REG_RIP] = (uintptr_t)compat_ret;
}

#define EXPECT_COMPAT(code, signal, number, behind)				\
	do {									\
		compat_run(code, COMPAT_CS);					\
		EXPECT_FAULT(signal, number, 0);				\
		EXPECT_EQ((uintptr_t)(code) + (behind), fault.rip);		\
		EXPECT_EQ(COMPAT_CS, seen_cs);					\
		EXPECT_EQ((uintptr_t)compat_stack + sizeof(compat_stack) - 64 - 4, seen_rsp);	\
	} while (0)

TEST_F(fred, compatibility_mode)
{
	struct sigaction action = { .sa_sigaction = on_compat, .sa_flags = SA_SIGINFO };

	EXPECT_EQ(getpid(), compat_run(compat_getpid, COMPAT_CS));
	EXPECT_EQ(COMPAT_CS, compat_run(compat_where, COMPAT_CS));
	EXPECT_EQ(LDT(CODE), compat_run(compat_where, LDT(CODE)));
	EXPECT_EQ(0, compat_run(compat_own_stack, COMPAT_CS));
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGTRAP, &action, NULL);
	EXPECT_COMPAT(compat_int3, SIGTRAP, 3, 1);
	EXPECT_COMPAT(compat_into, SIGSEGV, 4, 7);
	EXPECT_COMPAT(compat_syscall, SIGILL, UD, 0);
	EXPECT_COMPAT(compat_lkgs, SIGILL, UD, 0);
	EXPECT_COMPAT(compat_eretu, SIGILL, UD, 0);
}

static const struct refusal {
	uint16_t cs, ss;
	uint64_t rip;			/* 0 to leave it as it is */
	int signo;
	long trapno, err;
} *target;

static greg_t good_rip, good_segments;

static void on_leave(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	good_rip = gregs[REG_RIP];
	good_segments = gregs[REG_CSGSFS];
	gregs[REG_CSGSFS] = (good_segments & 0x0000ffffffff0000) | (greg_t)target->ss << 48 | target->cs;
	if (target->rip)
		gregs[REG_RIP] = target->rip;
}

static void on_refusal(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	note(signo, gregs);
	gregs[REG_RIP] = good_rip;
	gregs[REG_CSGSFS] = good_segments;
}

/* Segments other than the two IA32_STAR pairs are loaded and hence refused, as by IRET. */
TEST_F(fred, eretu_refuses)
{
	static const struct refusal refused[] = {
		{ LDT(ABSENT_CODE), 0x2b, 0, SIGBUS, NP, LDT(ABSENT_CODE) - 3 },
		{ LDT(DATA), 0x2b, 0, SIGSEGV, GP, LDT(DATA) - 3 },
		{ LDT(9), 0x2b, 0, SIGSEGV, GP, LDT(9) - 3 },
		{ LDT(SHORT_CODE), 0x2b, 0, SIGSEGV, GP, 0 },
		{ 3, 0x2b, 0, SIGSEGV, GP, 0 },
		{ 0x13, 0x2b, 0, SIGSEGV, GP, 0x10 },
		{ 0x2b, 0x2b, 0, SIGSEGV, GP, 0x28 },
		{ 0x33, LDT(ABSENT_DATA), 0, SIGBUS, SS, LDT(ABSENT_DATA) - 3 },
		{ 0x33, LDT(CODE), 0, SIGSEGV, GP, LDT(CODE) - 3 },
		{ 0x33, 3, 0, SIGSEGV, GP, 0 },
		{ 0x33, 0x1b, 0, SIGSEGV, GP, 0x18 },
		{ 0x33, 0x2b, 1ULL << 63, SIGSEGV, GP, 0 },
	};
	struct sigaction leave = { .sa_sigaction = on_leave, .sa_flags = SA_SIGINFO };
	struct sigaction refusal = { .sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO };

	sigaction(SIGUSR1, &leave, NULL);
	sigaction(SIGSEGV, &refusal, NULL);
	sigaction(SIGBUS, &refusal, NULL);
	for (target = refused; target < refused + ARRAY_SIZE(refused); target++) {
		fault.signo = 0;
		raise(SIGUSR1);
		EXPECT_TRUE(fault.signo == target->signo && fault.trapno == target->trapno && fault.err == target->err)
			TH_LOG("%#x:%#x: signal %d, trap %ld, error %#lx", target->cs, target->ss, fault.signo,
			       fault.trapno, fault.err);
	}
}

TEST_HARNESS_MAIN
