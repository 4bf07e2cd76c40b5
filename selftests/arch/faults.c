// SPDX-License-Identifier: GPL-2.0
/*
 * Linux distinguishes the exceptions in si_code (arch/x86/kernel/traps.c): #UD is ILL_ILLOPN
 * (exc_invalid_op), an #NM without permission is ILL_ILLOPC (handle_xfd_event), #GP is SI_KERNEL.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "faults.h"
#include "tiles.h"

struct fault fault;
sigjmp_buf fault_return;
volatile int fault_expected;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	const uint8_t *frame = (const uint8_t *)uc->uc_mcontext.fpregs;

	if (!fault_expected) {
		/* An exception where none is allowed is not an answer: stop. */
		printf("Bail out! signal %d, code %d, at %#llx\n", signal, info->si_code,
		       (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
		fflush(stdout);
		_Exit(1);
	}
	fault.signal = signal;
	fault.code = info->si_code;
	fault.ip = uc->uc_mcontext.gregs[REG_RIP];
	fault.addr = (uint64_t)info->si_addr;
	memcpy(&fault.xstate_bv, frame + XSTATE_BV, sizeof(fault.xstate_bv));
	if (fault.xstate_bv & TILECFG)
		memcpy(fault.tilecfg, frame + component_offset(TILECFG_BIT), sizeof(fault.tilecfg));
	siglongjmp(fault_return, 1);
}

void catch_faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

const char *fault_name(void)
{
	static char other[48];

	if (!fault.signal)
		return "runs";
	if (fault.signal == SIGILL && fault.addr == fault.ip) {
		if (fault.code == ILL_ILLOPN)
			return "UD";
		if (fault.code == ILL_ILLOPC)
			return "NM";
	}
	if (fault.signal == SIGSEGV) {
		if (fault.code == SI_KERNEL)
			return "GP";
		if (fault.code == SEGV_MAPERR || fault.code == SEGV_ACCERR)
			return "PF";
		if (fault.code == SEGV_PKUERR)
			return "PK";
	}
	snprintf(other, sizeof(other), "signal%d,code%d,addr-ip:%lld", fault.signal, fault.code,
		 (long long)(fault.addr - fault.ip));
	return other;
}
