// SPDX-License-Identifier: GPL-2.0
/* Signal frames: they grow with the first use, not with the permission. */
#include "kselftest_harness.h"
#include "amx.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#define MAGIC1 0x46505853U	/* uapi/asm/sigcontext.h */
#define MAGIC2 0x46505845U
#define SW_BYTES 464		/* software-reserved bytes of the legacy area */

struct frame {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, magic2;
	uint64_t xstate_bv;
	struct tiles tiles;
};

static struct frame frame;
static void (*change)(uint8_t *area);	/* what the handler does to its frame */

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	uint8_t *area = (uint8_t *)((ucontext_t *)ucontext)->uc_mcontext.fpregs;

	memset(&frame, 0, sizeof(frame));
	memcpy(&frame.magic1, area + SW_BYTES, 4);
	memcpy(&frame.extended_size, area + SW_BYTES + 4, 4);
	memcpy(&frame.xfeatures, area + SW_BYTES + 8, 8);
	memcpy(&frame.xstate_size, area + SW_BYTES + 16, 4);
	memcpy(&frame.magic2, area + frame.xstate_size, 4);
	memcpy(&frame.xstate_bv, area + 512, 8);
	if (frame.xfeatures & BIT_ULL(TILE_DATA))
		memcpy(&frame.tiles, area + xsave_offset(TILE_DATA), sizeof(frame.tiles));
	if (change)
		change(area);
}

static bool signal_now(void)
{
	return !syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
}

/* The frame of a thread whose state holds exactly @mask. */
#define EXPECT_FRAME_FOR(mask)							\
	do {									\
		EXPECT_EQ(MAGIC1, frame.magic1);				\
		EXPECT_EQ(MAGIC2, frame.magic2);				\
		EXPECT_EQ((mask), frame.xfeatures);				\
		EXPECT_EQ(xsave_size(mask), frame.xstate_size);			\
		EXPECT_EQ(frame.xstate_size + 4, frame.extended_size);		\
	} while (0)

FIXTURE(sigframe)
{
	uint64_t small, large;
	struct tiles tiles;
};

FIXTURE_SETUP(sigframe)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };

	REQUIRE_TILES();
	self->small = xcomp_mask(XCOMP_PERM);
	self->large = self->small | BIT_ULL(TILE_DATA);
	ASSERT_GE(sizeof(self->tiles), xsave_size(self->large) - xsave_offset(TILE_DATA));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	tiles_fill(&self->tiles, 5);
}

FIXTURE_TEARDOWN(sigframe)
{
}

TEST_F(sigframe, grows_with_the_first_use)
{
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->small);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->small);
	tiles_configure();
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->small);
	tilezero0();
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->large);
}

static void *signal_in_a_thread(void *arg)
{
	*(bool *)arg = signal_now();
	return NULL;
}

TEST_F(sigframe, of_another_thread_stays_small)
{
	pthread_t thread;
	bool sent = false;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tilezero0();
	ASSERT_EQ(0, pthread_create(&thread, NULL, signal_in_a_thread, &sent));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_TRUE(sent);
	EXPECT_FRAME_FOR(self->small);
}

TEST_F(sigframe, holds_the_live_tiles)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tiles_load(&self->tiles);
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->large);
	EXPECT_EQ(0, memcmp(&frame.tiles, &self->tiles, sizeof(frame.tiles)));
	EXPECT_EQ(BIT_ULL(TILE_DATA) | BIT_ULL(TILE_CFG),
		  frame.xstate_bv & (BIT_ULL(TILE_DATA) | BIT_ULL(TILE_CFG)));
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

/* Released tiles are in their initial state: no longer marked, the frame as large as before. */
TEST_F(sigframe, after_tilerelease)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tiles_load(&self->tiles);
	tilerelease();
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->large);
	EXPECT_EQ(0, frame.xstate_bv & (BIT_ULL(TILE_DATA) | BIT_ULL(TILE_CFG)));
}

static void flip_a_byte(uint8_t *area)
{
	area[xsave_offset(TILE_DATA) + 1234] ^= 0xff;
}

TEST_F(sigframe, the_handler_may_change_the_tiles)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tiles_load(&self->tiles);
	change = flip_a_byte;
	ASSERT_TRUE(signal_now());
	((uint8_t *)&self->tiles)[1234] ^= 0xff;
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

static struct tiles handlers_tiles;
static bool handler_had_tiles;

static void use_tiles(uint8_t *area)
{
	tiles_fill(&handlers_tiles, 6);
	tiles_configure();
	tiles_load(&handlers_tiles);
	handler_had_tiles = tiles_hold(&handlers_tiles);
}

/* The frame was written before there were tiles: sigreturn restores the state without any. */
TEST_F(sigframe, first_use_inside_the_handler)
{
	static const struct tiles zero;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	change = use_tiles;
	ASSERT_TRUE(signal_now());
	EXPECT_TRUE(handler_had_tiles);
	EXPECT_FRAME_FOR(self->small);
	EXPECT_TRUE(tiles_hold(&zero));
	change = NULL;
	ASSERT_TRUE(signal_now());
	EXPECT_FRAME_FOR(self->large);
}

static void spoil_magic2(uint8_t *area)
{
	memset(area + frame.xstate_size, 0, 4);
}

static void enlarge_xstate_size(uint8_t *area)
{
	uint32_t size = frame.xstate_size + 64;

	memcpy(area + SW_BYTES + 16, &size, 4);
}

/* A frame that does not hang together restores x87 and SSE, and resets the rest, silently. */
#define EXPECT_ONLY_LEGACY_RESTORED(how)					\
	do {									\
		struct tilecfg cfg;						\
										\
		ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));			\
		tiles_configure();						\
		tiles_load(&self->tiles);					\
		change = (how);							\
		ASSERT_TRUE(signal_now());					\
		sttilecfg(&cfg);						\
		EXPECT_EQ(0, cfg.palette);					\
	} while (0)

TEST_F(sigframe, without_magic2)
{
	EXPECT_ONLY_LEGACY_RESTORED(spoil_magic2);
}

TEST_F(sigframe, with_an_oversized_xstate)
{
	EXPECT_ONLY_LEGACY_RESTORED(enlarge_xstate_size);
}

TEST_HARNESS_MAIN
