// SPDX-License-Identifier: GPL-2.0
/*
 * sigreturn from a frame in which the handler changed one field per test, and the thread's state
 * afterwards. The checks are the kernel's (fpu/signal.c:27) and those of XRSTOR in the standard format
 * (SDM vol. 1, 13.8.1).
 */
#include "kselftest_harness.h"
#include "sigreturn.h"

#include <sys/mman.h>
#include <sys/wait.h>

static void put_xstate_size(uint8_t *area, uint32_t size)
{
	put32(area, AT_XSTATE_SIZE, size);
}

static void flip64(uint8_t *area, int at, uint64_t bits)
{
	put64(area, at, get64(area, at) ^ bits);
}

#define CHANGE(name) static void name(uint8_t *area, mcontext_t *mcontext)

CHANGE(nothing) { }
CHANGE(magic1) { put32(area, AT_MAGIC1, 0); }
CHANGE(magic2) { put32(area, get32(area, AT_XSTATE_SIZE), 0); }
CHANGE(size_0) { put_xstate_size(area, 0); }
CHANGE(size_575) { put_xstate_size(area, HEADER_END - 1); put32(area, HEADER_END - 1, MAGIC2); }
CHANGE(size_576) { put_xstate_size(area, HEADER_END); }
CHANGE(size_one_more)
{
	uint32_t size = get32(area, AT_XSTATE_SIZE) + 1;

	put_xstate_size(area, size);
	put32(area, AT_EXTENDED, size + 4);
	put32(area, size, MAGIC2);
}
CHANGE(size_all_ones) { put_xstate_size(area, -1); put32(area, AT_EXTENDED, -1); }
CHANGE(extended_less) { put32(area, AT_EXTENDED, get32(area, AT_XSTATE_SIZE) - 1); }
CHANGE(extended_is_size) { put32(area, AT_EXTENDED, get32(area, AT_XSTATE_SIZE)); }
CHANGE(extended_all_ones) { put32(area, AT_EXTENDED, -1); }
/* The last bytes before TILECFG belong to no component. */
CHANGE(size_shrunk)
{
	uint32_t size = xsave_offset(TILE_CFG) - 8;

	put_xstate_size(area, size);
	put32(area, size, MAGIC2);
}

CHANGE(xfeatures_0) { put64(area, AT_XFEATURES, 0); }
CHANGE(xfeatures_all_ones) { put64(area, AT_XFEATURES, -1); }
CHANGE(xfeatures_no_17) { flip64(area, AT_XFEATURES, BIT_ULL(17)); }
CHANGE(xfeatures_no_18) { flip64(area, AT_XFEATURES, BIT_ULL(18)); }
CHANGE(xfeatures_with_18) { flip64(area, AT_XFEATURES, BIT_ULL(18)); }

CHANGE(bv_0) { put64(area, AT_XSTATE_BV, 0); }
CHANGE(bv_no_17) { flip64(area, AT_XSTATE_BV, BIT_ULL(17)); }
CHANGE(bv_no_18) { flip64(area, AT_XSTATE_BV, BIT_ULL(18)); }
CHANGE(bv_with_18) { flip64(area, AT_XSTATE_BV, BIT_ULL(18)); }
CHANGE(bv_with_10) { flip64(area, AT_XSTATE_BV, BIT_ULL(10)); }
CHANGE(bv_with_11) { flip64(area, AT_XSTATE_BV, BIT_ULL(11)); }
CHANGE(bv_with_19) { flip64(area, AT_XSTATE_BV, BIT_ULL(19)); }
CHANGE(bv_with_62) { flip64(area, AT_XSTATE_BV, BIT_ULL(62)); }
CHANGE(bv_with_63) { flip64(area, AT_XSTATE_BV, BIT_ULL(63)); }

CHANGE(xcomp_bv_with_0) { put64(area, AT_XCOMP_BV, 1); }
CHANGE(xcomp_bv_with_63) { put64(area, AT_XCOMP_BV, BIT_ULL(63)); }
CHANGE(reserved_first) { area[AT_RESERVED] = 1; }
CHANGE(reserved_byte_23) { area[AT_RESERVED + 7] = 0x80; }
CHANGE(reserved_byte_24) { area[AT_RESERVED + 8] = 1; }
CHANGE(reserved_last) { area[HEADER_END - 1] = 0x80; }
CHANGE(mxcsr_reserved) { put32(area, 24, 0x80001f80); }

/* XRSTOR looks only at XCOMP_BV[63], so the kernel also restores a compacted image. */
CHANGE(compacted)
{
	static struct tiles tiles;
	uint8_t cfg[64];

	memcpy(cfg, area + xsave_offset(TILE_CFG), sizeof(cfg));
	memcpy(&tiles, area + xsave_offset(TILE_DATA), sizeof(tiles));
	put64(area, AT_XSTATE_BV, FP_SSE | TILE_BITS);
	put64(area, AT_XCOMP_BV, BIT_ULL(63) | FP_SSE | TILE_BITS);
	memcpy(area + HEADER_END, cfg, sizeof(cfg));
	memcpy(area + HEADER_END + 64, &tiles, sizeof(tiles));
}

static const struct tiles zero;

FIXTURE(sigreturn)
{
	struct tiles tiles;
};

FIXTURE_VARIANT(sigreturn)
{
	const char *name;
	void (*change)(uint8_t *area, mcontext_t *mcontext);
	bool armed;		/* no tiles were used */
	bool segv;
	bool larger;		/* the frame is larger than the thread's own */
	uint64_t in_use;	/* components in use on return */
	uint32_t pkru;
};

FIXTURE_SETUP(sigreturn)
{
	struct tilecfg cfg = tilecfg_full();

	REQUIRE_TILES();
	ASSERT_TRUE(catch_outcomes());
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&self->tiles, 7);
	ldtilecfg(&cfg);
	if (!variant->armed)
		tiles_load(&self->tiles);
}

FIXTURE_TEARDOWN(sigreturn)
{
}

/* What is restored: everything, only x87 and SSE (all else initial, including PKRU), or nothing (SIGSEGV). */
#define KEPT		.in_use = TILE_BITS, .pkru = PKRU_OWN
#define CONFIG_KEPT	.in_use = BIT_ULL(TILE_CFG), .pkru = PKRU_OWN
#define DATA_KEPT	.in_use = BIT_ULL(TILE_DATA), .pkru = PKRU_OWN
#define LEGACY_ONLY	.in_use = 0, .pkru = 0
#define SEGV		.segv = true
#define ARMED		.armed = true
#define CASE(how, ...)								\
	FIXTURE_VARIANT_ADD(sigreturn, how) { .name = #how, .change = how, __VA_ARGS__ }
#define CASE_ARMED(how, ...)							\
	FIXTURE_VARIANT_ADD(sigreturn, armed_##how) {				\
		.name = "armed." #how, .change = how, .armed = true, __VA_ARGS__ }

CASE(nothing, KEPT);
CASE(magic1, LEGACY_ONLY);
CASE(magic2, LEGACY_ONLY);
CASE(size_0, LEGACY_ONLY);
CASE(size_575, LEGACY_ONLY);
CASE(size_576, LEGACY_ONLY);
CASE(size_one_more, LEGACY_ONLY);
CASE(size_all_ones, LEGACY_ONLY);
CASE(size_shrunk, KEPT);
CASE(extended_less, LEGACY_ONLY);
CASE(extended_is_size, KEPT);
CASE(extended_all_ones, KEPT);
CASE(xfeatures_0, LEGACY_ONLY);
CASE(xfeatures_all_ones, KEPT);
CASE(xfeatures_no_17, DATA_KEPT);
CASE(xfeatures_no_18, CONFIG_KEPT);
CASE(bv_0, LEGACY_ONLY);
CASE(bv_no_17, DATA_KEPT);
CASE(bv_no_18, CONFIG_KEPT);
CASE(bv_with_10, SEGV);
CASE(bv_with_11, SEGV);
CASE(bv_with_19, SEGV);
CASE(bv_with_62, SEGV);
CASE(bv_with_63, SEGV);
CASE(xcomp_bv_with_0, SEGV);
CASE(xcomp_bv_with_63, SEGV);
CASE(reserved_first, SEGV);
CASE(reserved_byte_23, SEGV);
CASE(reserved_byte_24, KEPT);
CASE(reserved_last, KEPT);
CASE(mxcsr_reserved, SEGV);
CASE(compacted, .in_use = TILE_BITS, .pkru = 0);
CASE_ARMED(nothing, CONFIG_KEPT);
CASE_ARMED(size_one_more, LEGACY_ONLY, .larger = true);
CASE_ARMED(xfeatures_with_18, CONFIG_KEPT);
CASE_ARMED(bv_with_18, CONFIG_KEPT);
CASE_ARMED(bv_with_19, SEGV);
CASE_ARMED(magic2, LEGACY_ONLY);

TEST_F(sigreturn, leaves)
{
	ASSERT_TRUE(signal_changed_by(variant->change));
	outcome_answer("sigreturn", variant->name);
	EXPECT_OUTCOME(variant);
	if (outcome.in_use == TILE_BITS)
		EXPECT_TRUE(tiles_hold(&self->tiles));
	if (outcome.in_use == BIT_ULL(TILE_CFG) && !variant->armed)
		EXPECT_TRUE(tiles_hold(&zero));
	/* Whatever was changed, the thread can use tiles, and its next frame is complete. */
	tiles_configure();
	tiles_load(&self->tiles);
	ASSERT_TRUE(signal_changed_by(NULL));
	EXPECT_EQ(0, outcome.signo);
	EXPECT_EQ(TILE_BITS, outcome.in_use);
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

static pid_t child = -1;

CHANGE(fork_here) { child = fork(); }

/*
 * The child of a fork in a handler has a copy of the parent's frame, and a small buffer: for its
 * sigreturn the frame is too large, unless the kernel is mended. Without tiles the parent's frame has the size of the child's.
 */
static void fork_in_handler(struct __test_metadata *_metadata, const char *name, uint64_t in_use, uint32_t pkru,
			    uint64_t mended)
{
	struct outcome *report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct outcome own;
	int status;

	ASSERT_NE(MAP_FAILED, report);
	ASSERT_TRUE(catch_outcomes());
	ASSERT_TRUE(signal_changed_by(fork_here));
	if (!child) {
		*report = outcome;
		_exit(0);
	}
	ASSERT_LT(0, child);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	own = outcome;
	outcome = *report;
	outcome_answer("sigreturn.child_of_handler", name);
	EXPECT_EQ(0, outcome.signo);
	EXPECT_EQ(kernel_is_mended() ? mended : in_use, outcome.in_use);
	EXPECT_EQ(has_pkru() && !kernel_is_mended() ? pkru : PKRU_OWN, outcome.pkru);
	EXPECT_EQ(0, own.signo);
	EXPECT_EQ(PKRU_OWN, own.pkru);
	munmap(report, sizeof(*report));
}

TEST(child_of_handler_of_a_thread_with_tiles)
{
	struct tiles tiles;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 8);
	tiles_configure();
	tiles_load(&tiles);
	fork_in_handler(_metadata, "with_tiles", 0, 0, BIT_ULL(TILE_CFG));
	EXPECT_TRUE(tiles_hold(&tiles));
}

TEST(child_of_handler_of_a_thread_that_released_its_tiles)
{
	struct tiles tiles;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 9);
	tiles_configure();
	tiles_load(&tiles);
	tilerelease();
	fork_in_handler(_metadata, "released", 0, 0, 0);
}

TEST(child_of_handler_of_a_thread_without_tiles)
{
	struct tilecfg cfg = tilecfg_full();

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ldtilecfg(&cfg);
	fork_in_handler(_metadata, "without_tiles", BIT_ULL(TILE_CFG), PKRU_OWN, BIT_ULL(TILE_CFG));
}

TEST_HARNESS_MAIN
