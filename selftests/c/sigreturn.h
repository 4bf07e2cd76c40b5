/* SPDX-License-Identifier: GPL-2.0 */
/* What happens to a thread on return from a handler that changed its frame. */
#ifndef XFD_TEST_SIGRETURN_H
#define XFD_TEST_SIGRETURN_H

#include "frame.h"
#include "pkru.h"
#include "stock.h"

#define PKRU_DEFAULT	0x55555554U	/* mm/pkeys.c:84 */
#define PKRU_OWN	0x55555550U	/* key 1 also allowed: neither initial (0) nor default */

struct outcome {
	int signo;		/* SIGSEGV, or 0 if sigreturn succeeded */
	int code;
	uintptr_t addr;
	uint64_t in_use;	/* TILE_BITS in use afterwards */
	uint32_t pkru;		/* PKRU_OWN on a machine without protection keys */
};

static struct outcome outcome;
/* What the handler does to its frame; NULL for nothing. */
static void (*change)(uint8_t *area, mcontext_t *mcontext);

static void change_frame(int signo, siginfo_t *info, void *ucontext)
{
	if (change)
		change(frame_area(ucontext), &((ucontext_t *)ucontext)->uc_mcontext);
}

/* sigreturn's SIGSEGV arrives with the registers that the thread would have continued with. */
static void note_segv(int signo, siginfo_t *info, void *ucontext)
{
	if (outcome.signo)
		signal(signo, SIG_DFL);
	outcome.signo = signo;
	outcome.code = info->si_code;
	outcome.addr = (uintptr_t)info->si_addr;
}

static inline bool catch_outcomes(void)
{
	struct sigaction usr1 = { .sa_sigaction = change_frame, .sa_flags = SA_SIGINFO };
	struct sigaction segv = { .sa_sigaction = note_segv, .sa_flags = SA_SIGINFO };

	return !sigaction(SIGUSR1, &usr1, NULL) && !sigaction(SIGSEGV, &segv, NULL);
}

/* Sends a signal to ourselves; @how changes its frame. */
static inline bool signal_changed_by(void (*how)(uint8_t *area, mcontext_t *mcontext))
{
	bool sent;

	change = how;
	memset(&outcome, 0, sizeof(outcome));
	if (has_pkru())
		wrpkru(PKRU_OWN);
	sent = signal_now(SIGUSR1);
	outcome.in_use = in_use() & TILE_BITS;
	outcome.pkru = has_pkru() ? rdpkru() : PKRU_OWN;
	return sent;
}

static inline void outcome_answer(const char *test, const char *name)
{
	char what[32] = "returned", full[96];

	if (outcome.signo)
		snprintf(what, sizeof(what), "signal %d code %d", outcome.signo, outcome.code);
	snprintf(full, sizeof(full), "%s.%s", test, name);
	answer(full, "%s in_use %#llx pkru %#x", what, (unsigned long long)outcome.in_use,
	       outcome.pkru);
}

/* SIGSEGV as sent by force_sig() (signal.c:382), with none of the user's state left. */
#define EXPECT_SIGSEGV()							\
	do {									\
		EXPECT_EQ(SIGSEGV, outcome.signo);				\
		EXPECT_EQ(SI_KERNEL, outcome.code);				\
		EXPECT_EQ(0, outcome.addr);					\
		EXPECT_EQ(0, outcome.in_use);					\
		EXPECT_EQ(has_pkru() ? PKRU_DEFAULT : PKRU_OWN, outcome.pkru);	\
	} while (0)

/*
 * What the variant expects: SIGSEGV, or the components in use and PKRU. With the patches of upstream/linux the kernel
 * restores all but tile data of a frame that is larger than the thread's own.
 */
#define EXPECT_OUTCOME(expected)						\
	do {									\
		if ((expected)->segv) {						\
			EXPECT_SIGSEGV();					\
		} else {							\
			bool _restored = (expected)->larger && kernel_is_mended();	\
										\
			EXPECT_EQ(0, outcome.signo);				\
			EXPECT_EQ(_restored ? BIT_ULL(TILE_CFG) : (expected)->in_use, outcome.in_use);	\
			EXPECT_EQ(has_pkru() && !_restored ? (expected)->pkru : PKRU_OWN, outcome.pkru);	\
		}								\
	} while (0)

#endif
