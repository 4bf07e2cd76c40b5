// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that needs no tiles any more gives its enlarged buffer back, and notices nothing: not
 * while it sleeps, nor while it computes. Tiles in use are kept, and those in a signal frame or in
 * a tracer's hands come back. With the module only.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <pthread.h>
#include <stdatomic.h>

#include "counters.h"
#include "frame.h"
#include "reclaim.h"
#include "tracee.h"

static struct tiles tiles;
static int wake[2];
static long interval;

FIXTURE(reclaim) {
	long reclaimed, regrown, uses;
};

FIXTURE_SETUP(reclaim)
{
	REQUIRE_TILES();
	if (!xfd_module())
		SKIP(return, "no module, and the C code keeps a buffer until its thread ends");
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, pipe(wake));
	interval = parameter("reclaim_ms");
	ASSERT_TRUE(parameter_set("reclaim_ms", INTERVAL_MS));
	tiles_fill(&tiles, 7);
	self->reclaimed = counter("reclaimed");
	self->regrown = counter("regrown");
	self->uses = counter("first_uses");
}

FIXTURE_TEARDOWN(reclaim)
{
	EXPECT_TRUE(parameter_set("reclaim_ms", interval));
	EXPECT_EQ(0, counter("in_flight"));
	EXPECT_EQ(0, counter("repeated"));
}

#define EXPECT_RECLAIMED(n)	EXPECT_TRUE(reclaimed_since(self->reclaimed, n))
#define EXPECT_USES(n)		EXPECT_EQ(n, counter("first_uses") - self->uses)
#define EXPECT_REGROWN(n)	EXPECT_EQ(n, counter("regrown") - self->regrown)

/* A thread of a test, beside the one that waits for the passes. */
struct worker {
	pthread_t thread;
	bool (*run)(struct worker *worker);
	int from;		/* it sleeps until there is a byte */
	volatile int stop;	/* or computes until this is set */
	atomic_bool ready;
	bool right;
};

static void use_tiles(void)
{
	tiles_configure();
	tiles_load(&tiles);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	use_tiles();
	worker->right = worker->run(worker);
	return NULL;
}

static bool worker_start(struct worker *worker)
{
	if (!worker->from)
		worker->from = wake[0];
	if (pthread_create(&worker->thread, NULL, worker_thread, worker))
		return false;
	while (!atomic_load(&worker->ready))
		sched_yield();
	return true;
}

static bool worker_end(struct worker *worker)
{
	worker->stop = 1;
	return (worker->from != wake[0] || write(wake[1], "", 1) == 1) && !pthread_join(worker->thread, NULL);
}

static bool sleeps(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 3);
	atomic_store(&worker->ready, true);
	return read_with_registers(worker->from, &before, &after) && !memcmp(&before, &after, sizeof(before));
}

static bool computes(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 4);
	atomic_store(&worker->ready, true);
	spin_with_registers(&worker->stop, &before, &after);
	return !memcmp(&before, &after, sizeof(before));
}

/* Whether the thread still has the configuration; its tiles can be loaded again. */
static bool uses_tiles_again(void)
{
	struct tilecfg want = tilecfg_full(), got;

	sttilecfg(&got);
	if (memcmp(&want, &got, sizeof(got)))
		return false;
	tiles_load(&tiles);
	return tiles_hold(&tiles);
}

static bool sleeps_without_tiles(struct worker *worker)
{
	tiles_configure();	/* which releases their data */
	return sleeps(worker) && uses_tiles_again();
}

static bool computes_without_tiles(struct worker *worker)
{
	tiles_configure();
	return computes(worker) && uses_tiles_again();
}

static bool sleeps_with_tiles(struct worker *worker)
{
	return sleeps(worker) && tiles_hold(&tiles);
}

static bool computes_with_tiles(struct worker *worker)
{
	return computes(worker) && tiles_hold(&tiles);
}

#define EXPECT_RIGHT(worker)			\
	do {					\
		ASSERT_TRUE(worker_end(&(worker)));	\
		EXPECT_TRUE((worker).right);	\
	} while (0)

TEST_F(reclaim, of_a_thread_that_sleeps)
{
	struct worker worker = { .run = sleeps_without_tiles };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

TEST_F(reclaim, of_a_thread_that_computes)
{
	struct worker worker = { .run = computes_without_tiles };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

/* Those without tiles show that passes have been. */
TEST_F(reclaim, not_of_live_tiles)
{
	struct worker sleeping = { .run = sleeps_with_tiles }, computing = { .run = computes_with_tiles };
	struct worker passes = { .run = computes_without_tiles };

	ASSERT_TRUE(worker_start(&sleeping));
	ASSERT_TRUE(worker_start(&computing));
	for (int i = 1; i <= 3; i++) {
		passes.stop = 0;
		atomic_store(&passes.ready, false);
		ASSERT_TRUE(worker_start(&passes));
		EXPECT_RECLAIMED(i);
		passes.stop = 1;
		ASSERT_EQ(0, pthread_join(passes.thread, NULL));
		EXPECT_TRUE(passes.right);
	}
	EXPECT_RIGHT(computing);
	EXPECT_RIGHT(sleeping);
	EXPECT_EQ(self->reclaimed + 3, counter("reclaimed"));
	EXPECT_USES(2 + 3 * 2);
}

static struct frame frame;
static struct worker *interrupted;

/* The tiles of the interrupted code are in the frame; the handler has none, and takes its time. */
static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	char byte;

	if (interrupted) {
		atomic_store(&interrupted->ready, true);
		if (read(interrupted->from, &byte, 1) != 1)
			abort();
	}
	frame_read(&frame, frame_area(ucontext));
}

static bool is_interrupted(struct worker *worker)
{
	interrupted = worker;
	return signal_now(SIGUSR1) && tiles_hold(&tiles);
}

TEST_F(reclaim, tiles_in_a_frame_come_back)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };
	struct worker worker = { .run = is_interrupted };

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_REGROWN(1);
	EXPECT_USES(1);
}

static bool sleeps_then_signals(struct worker *worker)
{
	tilerelease();
	if (!sleeps(worker))
		return false;
	interrupted = NULL;
	return signal_now(SIGUSR1);
}

/* Frames keep their size; they name no tile data, since there is none. */
TEST_F(reclaim, frames_keep_their_size)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };
	struct worker worker = { .run = sleeps_then_signals };
	uint64_t small = xcomp_mask(XCOMP_PERM) & ~BIT_ULL(TILE_DATA);

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_EQ(xsave_size(small | BIT_ULL(TILE_DATA)), frame.xstate_size);
	EXPECT_EQ(MAGIC2, frame.magic2);
	EXPECT_EQ(small, frame.xfeatures);
	EXPECT_REGROWN(0);
	EXPECT_USES(1);
}

/* A tracee is left alone as long as it is one; then what the tracer keeps can still be written. */
TEST_F(reclaim, tiles_of_a_tracer_come_back)
{
	pid_t pid = fork();
	struct tracee tracee = { .pid = pid };
	union xsave area;
	int status;
	char byte;

	if (!pid) {
		use_tiles();
		raise(SIGSTOP);
		tilerelease();
		_exit(read(wake[0], &byte, 1) == 1 && tiles_hold(&tiles) ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_LT(0, xstate_get(&tracee, &area));
	EXPECT_EQ(0, memcmp(tiles_in(&area), &tiles, sizeof(tiles)));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	ASSERT_EQ(0, kill(pid, SIGCONT));
	EXPECT_RECLAIMED(1);

	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_LT(0, xstate_set(&tracee, &area));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	ASSERT_EQ(1, write(wake[1], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_REGROWN(1);
	EXPECT_USES(1);
}

static bool forks_after_sleep(struct worker *worker)
{
	int status;
	pid_t pid;

	tilerelease();
	if (!sleeps(worker))
		return false;
	pid = fork();
	if (!pid) {
		use_tiles();
		_exit(tiles_hold(&tiles) ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

/* A child of a thread that gave its buffer back is as any other. */
TEST_F(reclaim, then_fork)
{
	struct worker worker = { .run = forks_after_sleep };

	ASSERT_TRUE(worker_start(&worker));
	EXPECT_RECLAIMED(1);
	EXPECT_RIGHT(worker);
	EXPECT_USES(2);
}

TEST_HARNESS_MAIN
