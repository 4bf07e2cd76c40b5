// SPDX-License-Identifier: GPL-2.0
/* Signal frames grow with the first use, not with the permission. */
#include "kselftest_harness.h"
#include "frame.h"

#include <pthread.h>

static struct frame frame;		/* the last SIGUSR1's, as delivered */
static struct frame nested;		/* the last SIGUSR2's */
static void (*in_handler)(uint8_t *area);

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	frame_read(&frame, frame_area(ucontext));
	if (in_handler)
		in_handler(frame_area(ucontext));
}

static void on_usr2(int signo, siginfo_t *info, void *ucontext)
{
	frame_read(&nested, frame_area(ucontext));
}

static bool catch(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	return !sigaction(signo, &action, NULL);
}

static const struct tiles zero;

FIXTURE(sigframe)
{
	uint64_t small, large;
	struct tiles tiles;
};

FIXTURE_SETUP(sigframe)
{
	REQUIRE_TILES();
	self->small = xcomp_mask(XCOMP_PERM);
	self->large = self->small | BIT_ULL(TILE_DATA);
	ASSERT_GE(sizeof(self->tiles), xsave_size(self->large) - xsave_offset(TILE_DATA));
	ASSERT_TRUE(catch(SIGUSR1, on_usr1, 0));
	ASSERT_TRUE(catch(SIGUSR2, on_usr2, 0));
	tiles_fill(&self->tiles, 5);
}

FIXTURE_TEARDOWN(sigframe)
{
}

/* Steps through the states: the size of the next frame, and what it reports as in use. */
#define EXPECT_NEXT(name, mask, tile_bits)					\
	do {									\
		ASSERT_TRUE(signal_bare(SIGUSR1));				\
		EXPECT_FRAME_FOR(mask);						\
		EXPECT_EQ(xstate_bv_of(tile_bits), frame.xstate_bv);		\
		frame_answer("sigframe." name, &frame);				\
	} while (0)

TEST_F(sigframe, grows_with_the_first_use)
{
	EXPECT_NEXT("before", self->small, 0);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_NEXT("permitted", self->small, 0);
	tiles_configure();
	EXPECT_NEXT("configured", self->small, BIT_ULL(TILE_CFG));
	tilezero0();
	EXPECT_NEXT("zeroed", self->large, TILE_BITS);
	tilerelease();
	EXPECT_NEXT("released", self->large, 0);
	tiles_configure();
	EXPECT_NEXT("reconfigured", self->large, BIT_ULL(TILE_CFG));
}

static void *signal_in_a_thread(void *arg)
{
	*(bool *)arg = signal_now(SIGUSR1);
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
	EXPECT_NEXT("live", self->large, TILE_BITS);
	EXPECT_EQ(0, memcmp(&frame.tiles, &self->tiles, sizeof(frame.tiles)));
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

static uint8_t altstack[65536] __attribute__((aligned(4096)));
static bool avx_untouched, config_untouched, data_untouched;

static void look_for_stale_bytes(uint8_t *area)
{
	uint8_t stale[sizeof(struct tiles)];

	memset(stale, 0x5a, sizeof(stale));
	avx_untouched = !memcmp(area + xsave_offset(2), stale, 256);
	config_untouched = !memcmp(area + xsave_offset(TILE_CFG), stale, 64);
	data_untouched = !memcmp(area + xsave_offset(TILE_DATA), stale, sizeof(stale));
}

/* Space for initial tiles is not written (fpu/xstate.h:268); XSTATE_BV says what is valid. */
TEST_F(sigframe, initial_tiles_are_not_written)
{
	stack_t stack = { .ss_sp = altstack, .ss_size = sizeof(altstack) };

	ASSERT_EQ(0, sigaltstack(&stack, NULL));
	ASSERT_TRUE(catch(SIGUSR1, on_usr1, SA_ONSTACK));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	in_handler = look_for_stale_bytes;

	memset(altstack, 0x5a, sizeof(altstack));
	tiles_configure();
	tiles_load(&self->tiles);
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_FALSE(config_untouched);
	EXPECT_FALSE(data_untouched);

	memset(altstack, 0x5a, sizeof(altstack));
	tilerelease();
	ASSERT_TRUE(signal_bare(SIGUSR1));
	EXPECT_FALSE(avx_untouched);
	EXPECT_TRUE(config_untouched);
	EXPECT_TRUE(data_untouched);
	EXPECT_FRAME_FOR(self->large);
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
	in_handler = flip_a_byte;
	ASSERT_TRUE(signal_now(SIGUSR1));
	((uint8_t *)&self->tiles)[1234] ^= 0xff;
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

static struct tilecfg at_entry;
static struct tiles handlers_tiles;
static bool handler_had_tiles;

static void use_tiles(uint8_t *area)
{
	sttilecfg(&at_entry);
	tiles_fill(&handlers_tiles, 6);
	tiles_configure();
	tiles_load(&handlers_tiles);
	handler_had_tiles = tiles_hold(&handlers_tiles);
}

/* The frame was written before there were tiles, so sigreturn restores a state without any. */
TEST_F(sigframe, first_use_inside_the_handler)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	in_handler = use_tiles;
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_TRUE(handler_had_tiles);
	EXPECT_FRAME_FOR(self->small);
	EXPECT_TRUE(tiles_hold(&zero));
	in_handler = NULL;
	tilezero0();
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_FRAME_FOR(self->large);
}

static void signal_then_use_then_signal(uint8_t *area)
{
	if (!signal_bare(SIGUSR2))
		return;
	frame_answer("sigframe.nested.at_entry", &nested);
	use_tiles(area);
	signal_bare(SIGUSR2);
	frame_answer("sigframe.nested.after_use", &nested);
	handler_had_tiles = tiles_hold(&handlers_tiles);
}

/* A handler starts in the initial state; its own tiles are preserved just like the interrupted code's. */
TEST_F(sigframe, nested)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tiles_load(&self->tiles);
	in_handler = signal_then_use_then_signal;
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_EQ(0, at_entry.palette);
	EXPECT_TRUE(handler_had_tiles);
	EXPECT_FRAME_FOR(self->large);
	EXPECT_EQ(0, memcmp(&frame.tiles, &self->tiles, sizeof(frame.tiles)));
	EXPECT_FRAME(nested, self->large, 4);
	EXPECT_EQ(xstate_bv_of(TILE_BITS), nested.xstate_bv);
	EXPECT_EQ(0, memcmp(&nested.tiles, &handlers_tiles, sizeof(nested.tiles)));
	EXPECT_TRUE(tiles_hold(&self->tiles));
}

static void first_use_in_the_inner(uint8_t *area)
{
	in_handler = use_tiles;
	signal_now(SIGUSR1);
	/* The inner frame was small, so this handler has no tiles again. */
	sttilecfg(&at_entry);
	frame_read(&nested, area);
}

/* The buffer grows while two small frames are on the stack. */
TEST_F(sigframe, first_use_in_the_inner_handler)
{
	struct tilecfg cfg, full = tilecfg_full();

	ASSERT_TRUE(catch(SIGUSR1, on_usr1, SA_NODEFER));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	in_handler = first_use_in_the_inner;
	ASSERT_TRUE(signal_now(SIGUSR1));
	EXPECT_TRUE(handler_had_tiles);
	EXPECT_EQ(0, at_entry.palette);
	EXPECT_FRAME_FOR(self->small);
	EXPECT_FRAME(nested, self->small, 4);
	sttilecfg(&cfg);
	EXPECT_EQ(0, memcmp(&full, &cfg, sizeof(cfg)));
	EXPECT_TRUE(tiles_hold(&zero));
}

TEST_HARNESS_MAIN
