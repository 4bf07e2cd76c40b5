/* SPDX-License-Identifier: GPL-2.0 */
/* Runs one instruction and records exactly how it failed. */
#ifndef XFD_TEST_FAULTS_H
#define XFD_TEST_FAULTS_H

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include "amx.h"

struct fault {
	int signo;		/* 0 if the instruction ran */
	int code;
	uintptr_t addr;		/* si_addr */
	uintptr_t rip;		/* RIP in the frame */
	uintptr_t at;		/* address of the instruction */
	long trapno, err;	/* the exception, from the frame */
};

static __thread volatile struct fault fault;
static __thread volatile uintptr_t fault_resume;	/* 0 outside TRY() */

static void fault_handler(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	/* Not from TRY(): let it fault again and kill. */
	if (!fault_resume) {
		signal(signo, SIG_DFL);
		return;
	}
	fault.signo = signo;
	fault.code = info->si_code;
	fault.addr = (uintptr_t)info->si_addr;
	fault.rip = gregs[REG_RIP];
	fault.trapno = gregs[REG_TRAPNO];
	fault.err = gregs[REG_ERR];
	gregs[REG_RIP] = fault_resume;
}

static inline void faults_catch_also(int signo)
{
	struct sigaction action = {
		.sa_sigaction = fault_handler,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(signo, &action, NULL);
}

static inline void faults_catch(void)
{
	faults_catch_also(SIGILL);
	faults_catch_also(SIGSEGV);
}

/*
 * TRY("tilezero %%tmm0") runs the instruction, leaves the outcome in `fault`, and continues after it.
 * Call faults_catch() first. %[mem] points to a full set of tiles, %[stride] is their stride.
 */
#define TRY(insn)								\
	do {									\
		static struct tiles try_tiles;					\
										\
		fault.signo = 0;						\
		asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %[at]\n\t"	\
			     "lea 2f(%%rip), %%rax\n\tmov %%rax, %[resume]\n"	\
			     "1:\t" insn "\n2:"					\
			     : [at] "=m"(fault.at), [resume] "=m"(fault_resume)	\
			     : [mem] "r"(&try_tiles), [stride] "r"((long)COLSB)	\
			     : "rax", "memory");				\
		fault_resume = 0;						\
	} while (0)

#endif
