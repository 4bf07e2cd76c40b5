// SPDX-License-Identifier: GPL-2.0
/*
 * A tracer reads and writes another process's extended state: before it has a buffer for tiles,
 * with tiles in their initial state, and with live ones.
 */
#include "kselftest_harness.h"
#include "answer.h"
#include "counters.h"
#include "tracee.h"

#include <sys/user.h>

#define TILE_BITS (BIT_ULL(TILE_CFG) | BIT_ULL(TILE_DATA))
#define PKRU 9

static const struct tiles zero_tiles;

FIXTURE(tracee)
{
	struct tracee t;
	union xsave area;
};

FIXTURE_VARIANT(tracee)
{
	const char *name;
	enum extent extent;
	uint64_t xstate_bv;	/* of TILE_BITS */
};

FIXTURE_VARIANT_ADD(tracee, unpermitted)
{
	.name = "unpermitted", .extent = UNPERMITTED,
};

FIXTURE_VARIANT_ADD(tracee, no_buffer)
{
	.name = "no_buffer", .extent = NO_BUFFER,
};

FIXTURE_VARIANT_ADD(tracee, initial)
{
	.name = "initial", .extent = INITIAL,
};

FIXTURE_VARIANT_ADD(tracee, live)
{
	.name = "live", .extent = LIVE, .xstate_bv = TILE_BITS,
};

FIXTURE_SETUP(tracee)
{
	REQUIRE_TILES();
	ASSERT_TRUE(tracee_start(&self->t, variant->extent));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, &self->area));
}

FIXTURE_TEARDOWN(tracee)
{
	if (self->t.pid)
		tracee_kill(&self->t);
}

static bool all_are(const uint8_t *byte, size_t count, uint8_t value)
{
	while (count--)
		if (*byte++ != value)
			return false;
	return true;
}

/* The format depends on the machine, not on what the task has (7.2: fpu/xstate.c:1144). */
TEST_F(tracee, is_shown)
{
	union xsave *area = &self->area;
	char name[64];

	snprintf(name, sizeof(name), "ptrace.%s.size", variant->name);
	answer(name, "%u", self->t.size);
	snprintf(name, sizeof(name), "ptrace.%s.tile_bits", variant->name);
	answer(name, "%#llx", (unsigned long long)(area->xstate_bv & TILE_BITS));
	EXPECT_TRUE(all_are(area->byte + self->t.size, sizeof(*area) - self->t.size, 0xa5));
	EXPECT_EQ(xgetbv0(), area->xcr0);
	EXPECT_TRUE(all_are(area->sw_reserved, sizeof(area->sw_reserved), 0));
	EXPECT_EQ(0, area->xcomp_bv);
	EXPECT_TRUE(all_are(area->reserved, sizeof(area->reserved), 0));
	EXPECT_EQ(0, area->xstate_bv & ~xcomp_mask(XCOMP_SUPP));
	EXPECT_EQ(variant->xstate_bv, area->xstate_bv & TILE_BITS);
	if (variant->xstate_bv) {
		struct tilecfg full = tilecfg_full();

		EXPECT_EQ(0, memcmp(&full, config_in(area), sizeof(full)));
		EXPECT_EQ(0, memcmp(&self->t.tiles, tiles_in(area), sizeof(self->t.tiles)));
	} else {
		EXPECT_TRUE(all_are((void *)config_in(area), sizeof(struct tilecfg), 0));
		EXPECT_EQ(0, memcmp(&zero_tiles, tiles_in(area), sizeof(zero_tiles)));
	}
	EXPECT_EQ(PKRU_AT_FIRST, *pkru_in(area));
	EXPECT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
}

/* The legacy view takes a different path through the same copy. */
TEST_F(tracee, is_shown_without_extensions)
{
	uint8_t legacy[512];

	EXPECT_EQ(sizeof(legacy), regset(&self->t, PTRACE_GETREGSET, NT_PRFPREG, legacy, 512));
	EXPECT_EQ(0, memcmp(legacy, self->area.byte, 464));
}

/* The tracer writes back what it read, and the tracee's state is unchanged. */
TEST_F(tracee, is_written_back)
{
	ASSERT_EQ(self->t.size, xstate_set(&self->t, &self->area));
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(PKRU_AT_FIRST, self->t.seen->pkru);
	EXPECT_EQ(variant->extent == LIVE, self->t.seen->cfg.palette);
	if (variant->extent == LIVE)
		EXPECT_EQ(0, memcmp(&self->t.tiles, &self->t.seen->tiles, sizeof(zero_tiles)));
}

/*
 * Tiles made up by the tracer. If the buffer has no space for them the result is EINVAL, with or without
 * permission (validate_user_xstate_header(), fpu/xstate.c), and nothing changes.
 */
TEST_F(tracee, gets_other_tiles)
{
	bool room = variant->extent > NO_BUFFER;
	struct tiles other;
	long answered;

	tiles_fill(&other, 12);
	*config_in(&self->area) = tilecfg_full();
	*tiles_in(&self->area) = other;
	self->area.xstate_bv |= TILE_BITS;
	answered = xstate_set(&self->t, &self->area);
	EXPECT_EQ(room ? (long)self->t.size : -EINVAL, answered);
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(room, self->t.seen->cfg.palette);
	EXPECT_EQ(0, memcmp(room ? &other : &zero_tiles, &self->t.seen->tiles, sizeof(other)));
}

/* Every buffer has space for the configuration. */
TEST_F(tracee, gets_a_configuration_alone)
{
	struct tilecfg cfg = tilecfg_full();

	cfg.rows[5] = 3;
	*config_in(&self->area) = cfg;
	self->area.xstate_bv = (self->area.xstate_bv & ~TILE_BITS) | BIT_ULL(TILE_CFG);
	ASSERT_EQ(self->t.size, xstate_set(&self->t, &self->area));
	/* The tracee stores three rows of tile 5. */
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(0, memcmp(&cfg, &self->t.seen->cfg, sizeof(cfg)));
	EXPECT_EQ(0, memcmp(&zero_tiles, &self->t.seen->tiles, sizeof(zero_tiles)));
}

TEST_F(tracee, loses_its_tiles)
{
	self->area.xstate_bv &= ~TILE_BITS;
	ASSERT_EQ(self->t.size, xstate_set(&self->t, &self->area));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, &self->area));
	EXPECT_EQ(0, self->area.xstate_bv & TILE_BITS);
	EXPECT_EQ(0, memcmp(&zero_tiles, tiles_in(&self->area), sizeof(zero_tiles)));
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(0, self->t.seen->cfg.palette);
}

/* PKRU is kept outside the buffer; without bit 9 it is reset, as by XRSTOR. */
TEST_F(tracee, gets_another_pkru)
{
	*pkru_in(&self->area) = 0x33333330;
	self->area.xstate_bv |= BIT_ULL(PKRU);
	ASSERT_EQ(self->t.size, xstate_set(&self->t, &self->area));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, &self->area));
	EXPECT_EQ(0x33333330, *pkru_in(&self->area));
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(0x33333330, self->t.seen->pkru);
}

TEST_F(tracee, gets_no_pkru)
{
	char name[64];

	*pkru_in(&self->area) = 0x33333330;
	self->area.xstate_bv &= ~BIT_ULL(PKRU);
	ASSERT_EQ(self->t.size, xstate_set(&self->t, &self->area));
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	snprintf(name, sizeof(name), "ptrace.%s.pkru_without_bit_9", variant->name);
	answer(name, "%#x", self->t.seen->pkru);
	EXPECT_EQ(0, self->t.seen->pkru);
}

/* The x87 and SSE registers alone: xfpregs_set(), fpu/regset.c. */
TEST_F(tracee, gets_other_xmm_registers)
{
	struct user_fpregs_struct fp;
	union xsave *area = &self->area;

	ASSERT_EQ(0, ptrace(PTRACE_GETFPREGS, self->t.pid, 0, &fp));
	EXPECT_EQ(0, memcmp(&fp, area->byte, 464));
	fp.xmm_space[4 * 5] ^= 0x5a5a5a5a;
	ASSERT_EQ(0, ptrace(PTRACE_SETFPREGS, self->t.pid, 0, &fp));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, area));
	EXPECT_EQ(0, memcmp(&fp, area->byte, 464));
	EXPECT_EQ(variant->xstate_bv, area->xstate_bv & TILE_BITS);
	ASSERT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
	EXPECT_EQ(PKRU_AT_FIRST, self->t.seen->pkru);
	EXPECT_EQ(0, memcmp(variant->extent == LIVE ? &self->t.tiles : &zero_tiles, &self->t.seen->tiles,
			    sizeof(zero_tiles)));
}

extern const char first_use_here[], first_use_over[];

static int use_after_a_stop(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) || xcomp(XCOMP_REQ_PERM, TILE_DATA))
		return 2;
	tiles_configure();
	syscall(SYS_kill, getpid(), SIGSTOP);
	asm volatile(".globl first_use_here, first_use_over\n"
		     "first_use_here: tilezero %%tmm0\n"
		     "first_use_over:" ::: "memory");
	return 0;
}

/* A step over the first use: #NM and the new buffer are invisible, and the next stop is after the instruction. */
TEST(step_over_the_first_use)
{
	struct counters before = counters_now();
	struct user_regs_struct regs;
	struct tracee t = { .size = xsave_size(xcomp_mask(XCOMP_SUPP)) };
	union xsave area;
	int status;

	REQUIRE_TILES();
	t.pid = fork();
	if (!t.pid)
		_exit(use_after_a_stop());
	ASSERT_EQ(t.pid, waitpid(t.pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	for (int steps = 0; steps < 200; steps++) {
		ASSERT_EQ(0, ptrace(PTRACE_GETREGS, t.pid, 0, &regs));
		if (regs.rip == (uintptr_t)first_use_here)
			break;
		ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, t.pid, 0, 0));
		ASSERT_EQ(t.pid, waitpid(t.pid, &status, 0));
	}
	ASSERT_EQ((uintptr_t)first_use_here, regs.rip);
	EXPECT_EQ(t.size, xstate_get(&t, &area));
	EXPECT_EQ(BIT_ULL(TILE_CFG), area.xstate_bv & TILE_BITS);

	ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, t.pid, 0, 0));
	ASSERT_EQ(t.pid, waitpid(t.pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(SIGTRAP, WSTOPSIG(status));
	ASSERT_EQ(0, ptrace(PTRACE_GETREGS, t.pid, 0, &regs));
	EXPECT_EQ((uintptr_t)first_use_over, regs.rip);
	EXPECT_EQ(t.size, xstate_get(&t, &area));
	EXPECT_EQ(TILE_BITS, area.xstate_bv & TILE_BITS);
	EXPECT_EQ(0, memcmp(&zero_tiles, tiles_in(&area), sizeof(zero_tiles)));
	EXPECT_EQ(0, tracee_finish(&t));
	EXPECT_COUNTED(before, 1, 0);
}

TEST_HARNESS_MAIN
