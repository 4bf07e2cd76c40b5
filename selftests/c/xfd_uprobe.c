// SPDX-License-Identifier: GPL-2.0
/*
 * A uprobe on a thread's first tile instruction. A copy of the instruction is single-stepped elsewhere. If it is
 * refused there, the thread must see the refusal at the instruction itself. The C code's handler does not tell the
 * uprobe about the exception, so the signal is deferred and the copy is started again, forever.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "knobs.h"
#include "step.h"
#include "stock.h"
#include "uprobe.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>

#define THREADS		4
#define MILLISECONDS	500	/* in machine time: a thousand times what the test needs */
#define WITHOUT_END	"single-steps a refused instruction under a uprobe forever"

/* What a child's handlers saw; shared. */
struct seen {
	volatile int signals;
	volatile int signo, code;
	volatile uintptr_t addr, rip;
};

static struct seen *seen;

static void note_signal(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	seen->signo = signo;
	seen->code = info->si_code;
	seen->addr = (uintptr_t)info->si_addr;
	seen->rip = gregs[REG_RIP];
	seen->signals++;
	gregs[REG_RIP] = (uintptr_t)step_behind;
}

FIXTURE(uprobe)
{
	struct counters before;
};

FIXTURE_SETUP(uprobe)
{
	REQUIRE_TILES();
	if (!in_the_machine())
		SKIP(return, "sets uprobes: only in the emulated machine");
	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, seen);
	ASSERT_TRUE(uprobe_set(step_tilezero));
	self->before = counters_now();
}

FIXTURE_TEARDOWN(uprobe)
{
	EXPECT_TRUE(uprobe_remove());
}

/* A child, permitted or not, catching signals or not, executes the probed instruction @times times. */
static pid_t child(bool permitted, bool catches, int times)
{
	struct sigaction action = { .sa_sigaction = note_signal, .sa_flags = SA_SIGINFO };
	pid_t pid = fork();

	if (pid)
		return pid;
	if (permitted && xcomp(XCOMP_REQ_PERM, TILE_DATA))
		_exit(2);
	if (catches && (sigaction(SIGILL, &action, NULL) || sigaction(SIGSEGV, &action, NULL)))
		_exit(3);
	tiles_configure();
	while (times--)
		step_run();
	_exit(0);
}

/* Returns its wait status, or -1 if it did not exit in time and was killed. */
static int ends(pid_t pid)
{
	int status;

	for (int i = 0; i < MILLISECONDS; i++) {
		pid_t is = waitpid(pid, &status, WNOHANG);

		if (is)
			return is == pid ? status : -1;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

TEST_F(uprobe, refused_kills)
{
	int status;

	REQUIRE_MENDED(WITHOUT_END);
	status = ends(child(false, false, 1));
	ASSERT_NE(-1, status)
		TH_LOG("it does not exit");
	EXPECT_EQ(SIGILL, WTERMSIG(status));
	EXPECT_EQ(1, uprobe_hits());
	EXPECT_COUNTED(self->before, 0, 1);
}

/* The handler gets the probed address, not the copy's. */
TEST_F(uprobe, refused_is_at_the_probed_address)
{
	REQUIRE_MENDED(WITHOUT_END);
	ASSERT_EQ(0, ends(child(false, true, 3)));
	EXPECT_EQ(3, seen->signals);
	EXPECT_EQ(SIGILL, seen->signo);
	EXPECT_EQ(ILL_ILLOPC, seen->code);
	EXPECT_EQ((uintptr_t)step_tilezero, seen->addr);
	EXPECT_EQ((uintptr_t)step_tilezero, seen->rip);
	EXPECT_EQ(3, uprobe_hits());
	EXPECT_COUNTED(self->before, 0, 3);
}

TEST_F(uprobe, without_memory)
{
	REQUIRE_MENDED(WITHOUT_END);
	REQUIRE_KNOBS();
	ASSERT_TRUE(parameter_set("fail_allocations", 2));
	ASSERT_EQ(0, ends(child(true, true, 3)));
	EXPECT_TRUE(parameter_set("fail_allocations", 0));
	EXPECT_EQ(2, seen->signals);
	EXPECT_EQ(SIGSEGV, seen->signo);
	EXPECT_EQ(SI_KERNEL, seen->code);
	EXPECT_EQ((uintptr_t)step_tilezero, seen->rip);
	EXPECT_EQ(3, uprobe_hits());
}

TEST_F(uprobe, served_once)
{
	ASSERT_EQ(0, ends(child(true, true, 3)));
	EXPECT_EQ(0, seen->signals);
	EXPECT_EQ(3, uprobe_hits());
	EXPECT_COUNTED(self->before, 1, 0);
}

static void *use_in_a_thread(void *unused)
{
	struct tiles tiles;

	tiles_configure();
	step_run();
	tiles_fill(&tiles, (uintptr_t)&tiles);
	tiles_load(&tiles);
	sched_yield();
	step_run();
	memset(tiles.byte[0], 0, sizeof(tiles.byte[0]));
	return (void *)(long)tiles_hold(&tiles);
}

/* All threads step through the same copy. */
TEST_F(uprobe, served_in_many_threads)
{
	pthread_t threads[THREADS];
	void *right;

	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_in_a_thread, NULL));
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &right));
		EXPECT_NE(NULL, right);
	}
	EXPECT_EQ(2 * THREADS, uprobe_hits());
	EXPECT_COUNTED(self->before, THREADS, 0);
}

/* A tracee stopped before it executes the probed instruction. */
static pid_t tracee(bool permitted)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if ((permitted && xcomp(XCOMP_REQ_PERM, TILE_DATA)) || ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(2);
		tiles_configure();
		syscall(SYS_kill, getpid(), SIGSTOP);
		step_run();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) ? pid : -1;
}

TEST_F(uprobe, served_under_a_tracer)
{
	pid_t pid = tracee(true);

	ASSERT_LT(0, pid);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(1, uprobe_hits());
	EXPECT_COUNTED(self->before, 1, 0);
}

TEST_F(uprobe, refused_under_a_tracer)
{
	struct user_regs_struct regs;
	siginfo_t info;
	pid_t pid;
	int status;

	REQUIRE_MENDED(WITHOUT_END);
	pid = tracee(false);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	status = ends(pid);
	ASSERT_NE(-1, status);
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(SIGILL, WSTOPSIG(status));
	ASSERT_EQ(0, ptrace(PTRACE_GETREGS, pid, 0, &regs));
	ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
	EXPECT_EQ((uintptr_t)step_tilezero, regs.rip);
	EXPECT_EQ((uintptr_t)step_tilezero, (uintptr_t)info.si_addr);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, SIGILL));
	EXPECT_EQ(SIGILL, WTERMSIG(ends(pid)));
	EXPECT_COUNTED(self->before, 0, 1);
}

/* The process can be killed while stepping, whatever it steps over. */
TEST_F(uprobe, refused_and_killed)
{
	int status;

	for (int i = 0; i < 20; i++) {
		pid_t pid = child(false, true, 1000);

		usleep(500 * i);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	}
}

TEST_HARNESS_MAIN
