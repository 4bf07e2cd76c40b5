/* SPDX-License-Identifier: GPL-2.0 */
/* Runs an instruction and reports which exception it raised. */
#ifndef XARCH_FAULTS_H
#define XARCH_FAULTS_H

#include <setjmp.h>
#include <stdint.h>

/* The outcome of the last TRY(). Members taken from the signal frame are 0 if nothing was raised. */
extern struct fault {
	int signal;
	int code;
	uint64_t ip;		/* of the instruction */
	uint64_t addr;		/* si_addr */
	uint64_t xstate_bv;	/* from the frame: the components in use when it was raised */
	uint8_t tilecfg[64];	/* from the frame; 0 if TILECFG was not in use */
} fault;

extern sigjmp_buf fault_return;
extern volatile int fault_expected;

void catch_faults(void);
const char *fault_name(void);

/*
 * Runs @statement and returns the name of the exception it raised, or "runs" if there was none.
 * After an exception the tiles are in their initial state: signal delivery resets them.
 */
#define TRY(statement)					\
	({						\
		fault = (struct fault){};		\
		fault_expected = 1;			\
		if (!sigsetjmp(fault_return, 1)) {	\
			statement;			\
		}					\
		fault_expected = 0;			\
		fault_name();				\
	})

#endif
