// SPDX-License-Identifier: GPL-2.0
/* Tasks that share a CPU share nothing else: neither permission nor tiles. */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "faults.h"

#include <pthread.h>

#define ROUNDS 100

/* Two or more processes that take turns by passing a byte around a ring of pipes. */
struct turn {
	int take, give;
};

static bool turn_wait(struct turn *turn)
{
	char byte;

	return read(turn->take, &byte, 1) == 1;
}

static bool turn_give(struct turn *turn)
{
	return write(turn->give, "x", 1) == 1;
}

/* All pipes are created before the first fork; the last member passes to the first. */
static bool ring(struct turn *turns, int members)
{
	for (int i = 0; i < members; i++) {
		int fd[2];

		if (pipe(fd))
			return false;
		turns[i].take = fd[0];
		turns[(i + members - 1) % members].give = fd[1];
	}
	return true;
}

/*
 * Keeps only member @self's pipe ends, or none. When a member dies, the one waiting for it reads
 * end-of-file, and so on around the ring, so no test hangs.
 */
static struct turn *ring_join(struct turn *turns, int members, int self)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < members; i++) {
		if (i == self)
			continue;
		close(turns[i].take);
		close(turns[i].give);
	}
	return self < 0 ? NULL : &turns[self];
}

static bool ring_start(struct turn *turns, int members)
{
	bool started = turn_give(&turns[members - 1]);

	ring_join(turns, members, -1);
	return started;
}

/* Holds live tiles, checked after each turn of the others on the same CPU. Exits with 0 if they stay intact. */
static int hold_tiles(struct turn *turn, uint32_t seed)
{
	struct tiles tiles;

	tiles_fill(&tiles, seed);
	tiles_configure();
	for (int i = 0; i < ROUNDS; i++) {
		if (!turn_wait(turn))
			return 2;
		if (i && !tiles_hold(&tiles))
			return 3;
		tiles_load(&tiles);
		/* After the last round there may be no one left to take a turn. */
		if (!turn_give(turn) && i < ROUNDS - 1)
			return 2;
	}
	return 0;
}

/* Without permission every attempt is refused, whichever task just used tiles on this CPU. */
static int try_tiles(struct turn *turn)
{
	faults_catch();
	tiles_configure();
	for (int i = 0; i < ROUNDS; i++) {
		if (!turn_wait(turn))
			return 2;
		TRY("tilestored %%tmm0, (%[mem],%[stride],1)");
		if (fault.signo != SIGILL || fault.code != ILL_ILLOPC || fault.addr != fault.at)
			return 3;
		/* After the last round there may be no one left to take a turn. */
		if (!turn_give(turn) && i < ROUNDS - 1)
			return 2;
	}
	return 0;
}

static int exit_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

TEST(permitted_and_not_side_by_side)
{
	struct counters before = counters_now();
	struct turn turns[2];
	pid_t permitted, not;

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	ASSERT_TRUE(ring(turns, 2));
	permitted = fork();
	if (!permitted)
		_exit(xcomp(XCOMP_REQ_PERM, TILE_DATA) ? 4 :
		      hold_tiles(ring_join(turns, 2, 0), 1));
	not = fork();
	if (!not)
		_exit(try_tiles(ring_join(turns, 2, 1)));
	ASSERT_TRUE(ring_start(turns, 2));
	EXPECT_EQ(0, exit_status(permitted));
	EXPECT_EQ(0, exit_status(not));
	EXPECT_COUNTED(before, 1, ROUNDS);
}

/* The same without turns, with each process on a CPU to itself if there are two. */
TEST(permitted_and_not_at_the_same_time)
{
	struct counters before = counters_now();
	struct turn turns[2];
	pid_t permitted, not;

	REQUIRE_TILES();
	/* Each passes the turn to itself. */
	ASSERT_TRUE(ring(&turns[0], 1));
	ASSERT_TRUE(ring(&turns[1], 1));
	permitted = fork();
	if (!permitted) {
		pin_to(0);
		_exit(xcomp(XCOMP_REQ_PERM, TILE_DATA) ? 4 :
		      hold_tiles(ring_join(turns, 2, 0), 1));
	}
	not = fork();
	if (!not) {
		pin_to(1);
		_exit(try_tiles(ring_join(turns, 2, 1)));
	}
	ASSERT_TRUE(turn_give(&turns[0]));
	ASSERT_TRUE(turn_give(&turns[1]));
	EXPECT_EQ(0, exit_status(permitted));
	EXPECT_EQ(0, exit_status(not));
	EXPECT_COUNTED(before, 1, ROUNDS);
}

#define MEMBERS 6

TEST(tiles_of_many_processes_on_one_cpu)
{
	struct counters before = counters_now();
	struct turn turns[MEMBERS];
	pid_t pid[MEMBERS];

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(ring(turns, MEMBERS));
	for (int i = 0; i < MEMBERS; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(hold_tiles(ring_join(turns, MEMBERS, i), i));
	}
	ASSERT_TRUE(ring_start(turns, MEMBERS));
	for (int i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(0, exit_status(pid[i]))
			TH_LOG("process %d", i);
	}
	EXPECT_COUNTED(before, MEMBERS, 0);
}

/* A fresh process on a CPU with another's live tiles sees zeros. */
TEST(a_fresh_process_finds_zeros)
{
	static const struct tiles zero;
	struct tiles secret;
	struct turn turns[2];
	pid_t fresh;

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(ring(turns, 2));
	fresh = fork();
	if (!fresh) {
		tiles_configure();
		if (!turn_wait(ring_join(turns, 2, 1)))
			_exit(2);
		_exit(!tiles_hold(&zero));
	}
	ring_join(turns, 2, 0);
	tiles_fill(&secret, 42);
	tiles_configure();
	tiles_load(&secret);
	ASSERT_TRUE(turn_give(&turns[0]));
	EXPECT_EQ(0, exit_status(fresh));
	EXPECT_TRUE(tiles_hold(&secret));
}

static void *zeros_in_a_fresh_thread(void *arg)
{
	static const struct tiles zero;

	tiles_configure();
	*(bool *)arg = tiles_hold(&zero);
	return NULL;
}

TEST(a_fresh_thread_finds_zeros)
{
	struct tiles secret;
	pthread_t thread;
	bool zeros = false;

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&secret, 43);
	tiles_configure();
	tiles_load(&secret);
	ASSERT_EQ(0, pthread_create(&thread, NULL, zeros_in_a_fresh_thread, &zeros));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_TRUE(zeros);
	EXPECT_TRUE(tiles_hold(&secret));
}

/* A later process cannot use the permission of one that has exited. */
TEST(after_a_permitted_process_is_gone)
{
	struct counters before = counters_now();
	struct turn alone;
	pid_t pid;

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	pid = fork();
	if (!pid) {
		if (xcomp(XCOMP_REQ_PERM, TILE_DATA))
			_exit(4);
		tiles_configure();
		tilezero0();
		_exit(0);
	}
	ASSERT_EQ(0, exit_status(pid));
	ASSERT_TRUE(ring(&alone, 1));
	pid = fork();
	if (!pid)
		_exit(try_tiles(&alone));
	ASSERT_TRUE(turn_give(&alone));
	EXPECT_EQ(0, exit_status(pid));
	EXPECT_COUNTED(before, 1, ROUNDS);
}

TEST_HARNESS_MAIN
