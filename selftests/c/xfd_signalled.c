// SPDX-License-Identifier: GPL-2.0
/*
 * Signals for tasks with and without tiles on one CPU. CVE-2025-68171: a signal was delivered with the
 * IA32_XFD of the task that ran before (fixed in 7.2 in fpu__clear_user_states(), fpu/core.c:851). Also: a
 * handler, a child and a new program start in the initial state, and see none of the memory after
 * init_fpstate.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "machine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 500
#define STARTS_OVER "--starts-over"

static volatile int handled;

static void count_it(int signo)
{
	handled++;
}

/*
 * Waits for signals repeatedly with XMM15 set; sigreturn must restore it. Exits with 0 if it always
 * does.
 */
static int be_signalled(int answers)
{
	uint64_t now, before = 0x0123456789abcdef;
	sigset_t usr1, none;

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	signal(SIGUSR1, count_it);
	for (int i = 1; i <= ROUNDS; i++) {
		long suspend = SYS_rt_sigsuspend;

		if (write(answers, "r", 1) != 1)
			return 2;
		asm volatile("movq %2, %%xmm15; syscall; movq %%xmm15, %1"
			     : "+a"(suspend), "=r"(now)
			     : "r"(before), "D"(&none), "S"(8L)
			     : "rcx", "r11", "xmm15", "memory");
		if (suspend != -EINTR || handled != i || now != before)
			return 3;
	}
	return 0;
}

/*
 * The signal finds its task blocked in the kernel. The task returns towards user mode with the IA32_XFD left behind
 * by the AMX task.
 */
TEST(without_tiles_beside_tiles)
{
	struct counters before = counters_now();
	struct tiles tiles;
	int answers[2], status;
	char byte;
	pid_t pid;

	REQUIRE_TILES();
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, pipe(answers));
	pid = fork();
	if (!pid) {
		close(answers[0]);
		_exit(be_signalled(answers[1]));
	}
	close(answers[1]);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 31);
	tiles_configure();
	tiles_load(&tiles);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(1, read(answers[0], &byte, 1));
		/* Give it time to get from write() into sigsuspend(). */
		sched_yield();
		if (!tiles_hold(&tiles))
			break;
		ASSERT_EQ(0, kill(pid, SIGUSR1));
	}
	EXPECT_TRUE(tiles_hold(&tiles));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_COUNTED(before, 1, 0);
}

static volatile bool starts_over;

/* Whether the tiles are initial: no configuration, and zeros once there is one. */
static bool tiles_are_initial(void)
{
	static const struct tiles zero;
	struct tilecfg cfg;

	sttilecfg(&cfg);
	if (cfg.palette)
		return false;
	tiles_configure();
	return tiles_hold(&zero);
}

static void look(int signo)
{
	starts_over = tiles_are_initial();
}

static int exit_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* A signal, a fork and an exec, all with live tiles. */
static int start_over(uint32_t seed, int rounds)
{
	struct tiles tiles;

	if (xcomp(XCOMP_REQ_PERM, TILE_DATA))
		return 2;
	signal(SIGUSR1, look);
	tiles_fill(&tiles, seed);
	tiles_configure();
	tiles_load(&tiles);
	for (int i = 0; i < rounds; i++) {
		pid_t pid;

		starts_over = false;
		syscall(SYS_kill, getpid(), SIGUSR1);
		if (!starts_over || !tiles_hold(&tiles))
			return 3;
		pid = fork();
		if (!pid) {
			/* The configuration is inherited, the tile data is not. */
			static const struct tiles zero;

			if (!tiles_hold(&zero))
				_exit(4);
			tiles_load(&tiles);
			execl("/proc/self/exe", "xfd_signalled", STARTS_OVER, NULL);
			_exit(5);
		}
		if (exit_status(pid) || !tiles_hold(&tiles))
			return 6;
	}
	return 0;
}

TEST(signals_forks_and_execs)
{
	pid_t pid[3];

	REQUIRE_TILES();
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(start_over(32 + i, 10));
	}
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, exit_status(pid[i]));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], STARTS_OVER))
		return xcomp(XCOMP_REQ_PERM, TILE_DATA) || !tiles_are_initial();
	return test_harness_run(argc, argv);
}
