// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that gave its enlarged buffer back gets tiles again that were somewhere else meanwhile: in
 * a signal frame, or in a tracer's hands. Its frames keep their size. With the module only.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include "frame.h"
#include "idler.h"
#include "tracee.h"

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

TEST_HARNESS_MAIN
