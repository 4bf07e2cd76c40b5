/* SPDX-License-Identifier: GPL-2.0 */
/* The report from the 32-bit program to the 64-bit test that runs it. */
#ifndef XFD_TEST_IA32_H
#define XFD_TEST_IA32_H

#include <stdint.h>

#define SYS_ARCH_PRCTL_32	384

struct ia32_frame {
	uint32_t magic1, extended_size, xstate_size, magic2;
	uint64_t xfeatures, xstate_bv;
	uint32_t fsave_magic;		/* uapi/asm/sigcontext.h:101: 0 if FXSAVE data follows */
	uint32_t misaligned;		/* XSAVE area address modulo 64 */
} __attribute__((packed));

struct ia32_outcome {
	int32_t signo, code;
	uint32_t elsewhere;		/* si_addr is neither the instruction's address nor 0 */
	uint64_t in_use;
} __attribute__((packed));

enum ia32_insn { LDTILECFG, STTILECFG, TILERELEASE, TILEZERO, TILESTORED, INSNS };

/* What the program changes in a frame before returning. */
enum ia32_change {
	ARMED_NOTHING, ARMED_BV_WITH_18, FIRST_LIVE,
	NOTHING = FIRST_LIVE, NO_MAGIC2, XFEATURES_NO_18, BV_NO_18, BV_WITH_11, BV_WITH_19,
	XCOMP_BV_WITH_63, RESERVED_BYTE_24, RESERVED_LAST, CHANGES
};

struct ia32_report {
	uint32_t done;
	int32_t request, efault, einval, eopnotsupp, unknown;
	uint64_t supp, perm, guest, perm_after, in_use;
	struct ia32_frame before, permitted, live, live_not_rt, released;
	struct ia32_outcome insn[INSNS], insn_permitted[INSNS], change[CHANGES];
	uint32_t kept, kept_not_rt;	/* tiles, across each kind of sigreturn */
} __attribute__((packed));

#endif
