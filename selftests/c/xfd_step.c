// SPDX-License-Identifier: GPL-2.0
/*
 * Single-steps over a thread's first tile instruction, with its own TF and under a tracer. A served
 * instruction is one step, although the processor starts it twice; a refused one is not a step.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "step.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>

#define NM	7

static struct {
	int at_tilezero, behind;	/* single steps that ended there */
	int refused;
	uintptr_t rip, addr;		/* of the refused instruction */
	long trapno;
} seen;

static void on_trap(int signo, siginfo_t *info, void *ucontext)
{
	uintptr_t rip = ((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];

	seen.at_tilezero += rip == (uintptr_t)step_tilezero;
	seen.behind += rip == (uintptr_t)step_behind;
}

static void on_ill(int signo, siginfo_t *info, void *ucontext)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	seen.refused++;
	seen.rip = gregs[REG_RIP];
	seen.addr = (uintptr_t)info->si_addr;
	seen.trapno = gregs[REG_TRAPNO];
	gregs[REG_RIP] = (uintptr_t)step_behind;
}

FIXTURE(step)
{
	struct counters before;
};

FIXTURE_SETUP(step)
{
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct sigaction ill = { .sa_sigaction = on_ill, .sa_flags = SA_SIGINFO };

	REQUIRE_TILES();
	ASSERT_EQ(0, sigaction(SIGTRAP, &trap, NULL));
	ASSERT_EQ(0, sigaction(SIGILL, &ill, NULL));
	tiles_configure();
	self->before = counters_now();
}

FIXTURE_TEARDOWN(step)
{
}

TEST_F(step, by_itself_when_served)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	step_run_with_tf();
	EXPECT_EQ(1, seen.at_tilezero);
	EXPECT_EQ(1, seen.behind);
	EXPECT_EQ(0, seen.refused);
	step_run_with_tf();
	EXPECT_EQ(2, seen.behind);
	EXPECT_COUNTED(self->before, 1, 0);
}

/* The return from the handler sets TF again, so the next step ends after the next instruction. */
TEST_F(step, by_itself_when_refused)
{
	step_run_with_tf();
	EXPECT_EQ(1, seen.at_tilezero);
	EXPECT_EQ(0, seen.behind);
	EXPECT_EQ(1, seen.refused);
	EXPECT_EQ((uintptr_t)step_tilezero, seen.rip);
	EXPECT_EQ((uintptr_t)step_tilezero, seen.addr);
	/* The stock kernel reports the number of the step before. */
	if (xfd_module())
		EXPECT_EQ(NM, seen.trapno);
	EXPECT_COUNTED(self->before, 0, 1);
}

/* A stopped child, with or without @permission, that executes the instruction when continued. */
static pid_t stopped_child(bool permission)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (permission && xcomp(XCOMP_REQ_PERM, TILE_DATA))
			_exit(2);
		tiles_configure();
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(3);
		syscall(SYS_kill, getpid(), SIGSTOP);
		step_run();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) ? pid : -1;
}

/* Resumes it with @request and returns the signal of its next stop, with its position in @rip. */
static int next_stop(pid_t pid, int request, uintptr_t *rip)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(request, pid, 0, 0) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return -1;
	*rip = regs.rip;
	return WSTOPSIG(status);
}

/* Steps it as far as the tile instruction. */
static bool step_there(pid_t pid)
{
	uintptr_t rip = 0;

	for (int i = 0; i < 100000 && rip != (uintptr_t)step_tilezero; i++)
		if (next_stop(pid, PTRACE_SINGLESTEP, &rip) != SIGTRAP)
			return false;
	return rip == (uintptr_t)step_tilezero;
}

TEST_F(step, by_a_tracer_when_served)
{
	pid_t pid = stopped_child(true);
	uintptr_t rip;
	int status;

	ASSERT_LT(0, pid);
	ASSERT_TRUE(step_there(pid));
	EXPECT_EQ(SIGTRAP, next_stop(pid, PTRACE_SINGLESTEP, &rip));
	EXPECT_EQ((uintptr_t)step_behind, rip);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_COUNTED(self->before, 1, 0);
}

/* The tracer can suppress the signal any number of times. */
TEST_F(step, by_a_tracer_when_refused)
{
	pid_t pid = stopped_child(false);
	siginfo_t info;
	uintptr_t rip;
	int status;

	ASSERT_LT(0, pid);
	ASSERT_TRUE(step_there(pid));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(SIGILL, next_stop(pid, PTRACE_SINGLESTEP, &rip));
		EXPECT_EQ((uintptr_t)step_tilezero, rip);
		ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
		EXPECT_EQ(ILL_ILLOPC, info.si_code);
		EXPECT_EQ((uintptr_t)step_tilezero, (uintptr_t)info.si_addr);
	}
	ASSERT_EQ(0, ptrace(PTRACE_KILL, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_COUNTED(self->before, 0, 3);
}

TEST_HARNESS_MAIN
