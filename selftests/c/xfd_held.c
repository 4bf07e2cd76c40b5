// SPDX-License-Identifier: GPL-2.0
/*
 * A task asleep in its first-use handler, at each point where it can sleep: it is killed, stopped, traced, frozen,
 * migrated or signalled, or its process exits or executes another program. Meanwhile another task uses tiles on the
 * same CPU.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "amx.h"
#include "held.h"
#include "machine.h"

#include "kselftest_harness.h"

/* The numbers are those in faults.rs. */
enum point { CLEARED = 1, PERMITTED, ALLOCATED, DECIDED };

FIXTURE(held) {
	struct counters before;
	pid_t neighbour;	/* uses tiles on CPU 0 throughout */
	pid_t task;		/* waits in the handler */
};

FIXTURE_VARIANT(held) {
	enum point point;
};

FIXTURE_VARIANT_ADD(held, cleared) { .point = CLEARED };
FIXTURE_VARIANT_ADD(held, permitted) { .point = PERMITTED };
FIXTURE_VARIANT_ADD(held, allocated) { .point = ALLOCATED };
FIXTURE_VARIANT_ADD(held, decided) { .point = DECIDED };

FIXTURE_SETUP(held)
{
	int ready[2];
	char byte;

	REQUIRE_TILES();
	REQUIRE_KNOBS();
	ASSERT_EQ(0, pipe(ready));
	self->neighbour = fork();
	ASSERT_LE(0, self->neighbour);
	if (!self->neighbour)
		neighbour(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	self->before = counters_now();
	ASSERT_TRUE(parameter_set("hold", variant->point));
}

/* Whatever happened, no task is left in the handler, and the neighbour's tiles are intact. */
FIXTURE_TEARDOWN(held)
{
	int status;

	EXPECT_TRUE(parameter_set("hold", 0));
	if (self->neighbour > 0) {
		EXPECT_EQ(0, waitpid(self->neighbour, &status, WNOHANG))
			TH_LOG("the neighbour's tiles changed");
		kill(self->neighbour, SIGKILL);
		waitpid(self->neighbour, &status, 0);
	}
	EXPECT_EQ(0, counter("in_flight"));
	EXPECT_EQ(0, parameter("held"));
	EXPECT_EQ(0, counter("repeated"));
}

/* Waits until the task's process is exiting and SIGKILL is pending for the task. */
static void wait_until_doomed(pid_t task)
{
	unsigned long pending = 0;
	char path[64], line[128];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", task, task);
	while (!(pending & BIT_ULL(SIGKILL - 1))) {
		status = fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			sscanf(line, "SigPnd: %lx", &pending);
		if (status)
			fclose(status);
		sched_yield();
	}
}

#define RELEASE() ASSERT_TRUE(parameter_set("hold", 0))

#define EXPECT_EXIT(code)							\
	do {									\
		int _status;							\
										\
		ASSERT_EQ(self->task, waitpid(self->task, &_status, 0));	\
		EXPECT_TRUE(WIFEXITED(_status))					\
			TH_LOG("wait status %#x", _status);			\
		EXPECT_EQ(code, WEXITSTATUS(_status));				\
	} while (0)

#define EXPECT_SERVED(n) EXPECT_EQ(n, counter("first_uses") - self->before.first_uses)

TEST_F(held, goes_on)
{
	self->task = start_held(NULL);
	EXPECT_EQ(1, counter("in_flight"));
	RELEASE();
	EXPECT_EXIT(0);
	EXPECT_SERVED(1);
}

TEST_F(held, killed)
{
	int status;

	self->task = start_held(NULL);
	ASSERT_EQ(0, kill(self->task, SIGKILL));
	RELEASE();
	ASSERT_EQ(self->task, waitpid(self->task, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_F(held, stopped)
{
	int status;

	self->task = start_held(NULL);
	ASSERT_EQ(0, kill(self->task, SIGSTOP));
	RELEASE();
	ASSERT_EQ(self->task, waitpid(self->task, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(self->task, SIGCONT));
	EXPECT_EXIT(0);
	EXPECT_SERVED(1);
}

/* The tracer sees it served, about to execute the instruction again. */
TEST_F(held, traced)
{
	static uint8_t image[65536];
	struct iovec iov = { image, sizeof(image) };
	uint64_t xstate_bv;
	int status;

	self->task = start_held(NULL);
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->task, 0, 0));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->task, 0, 0));
	RELEASE();
	ASSERT_EQ(self->task, waitpid(self->task, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_GETREGSET, self->task, NT_X86_XSTATE, &iov));
	memcpy(&xstate_bv, image + 512, sizeof(xstate_bv));
	EXPECT_EQ(xsave_size(xgetbv0()), iov.iov_len);
	EXPECT_EQ(BIT_ULL(TILE_CFG), xstate_bv & (BIT_ULL(TILE_CFG) | BIT_ULL(TILE_DATA)));
	EXPECT_EQ(0, ptrace(PTRACE_SETREGSET, self->task, NT_X86_XSTATE, &iov));
	EXPECT_SERVED(1);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->task, 0, 0));
	EXPECT_EXIT(0);
	EXPECT_SERVED(1);
}

#define CGROUPS "/tmp/xfd_held.cgroup"
#define GROUP CGROUPS "/xfd_held"

static bool frozen(int events)
{
	char text[128];
	ssize_t length = pread(events, text, sizeof(text) - 1, 0);

	text[length < 0 ? 0 : length] = 0;
	return strstr(text, "frozen 1");
}

TEST_F(held, frozen)
{
	struct pollfd events = { .events = POLLPRI };
	char pid[16];

	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL))
		SKIP(return, "cannot mount cgroup v2: %s", strerror(errno));
	mkdir(GROUP, 0700);
	self->task = start_held(NULL);
	snprintf(pid, sizeof(pid), "%d", self->task);
	ASSERT_TRUE(write_setting(GROUP "/cgroup.procs", pid));
	ASSERT_TRUE(write_setting(GROUP "/cgroup.freeze", "1"));
	events.fd = open(GROUP "/cgroup.events", O_RDONLY);
	ASSERT_LE(0, events.fd);
	EXPECT_FALSE(frozen(events.fd));
	RELEASE();
	while (!frozen(events.fd))
		poll(&events, 1, -1);
	EXPECT_SERVED(1);
	ASSERT_TRUE(write_setting(GROUP "/cgroup.freeze", "0"));
	EXPECT_EXIT(0);
	close(events.fd);
	rmdir(GROUP);
	umount(CGROUPS);
}

TEST_F(held, migrated)
{
	cpu_set_t other;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "only one CPU: nowhere to migrate to");
	CPU_ZERO(&other);
	CPU_SET(1, &other);
	self->task = start_held(NULL);
	ASSERT_EQ(0, sched_setaffinity(self->task, sizeof(other), &other));
	RELEASE();
	EXPECT_EXIT(0);
	EXPECT_SERVED(1);
}

TEST_F(held, signalled)
{
	self->task = start_held(NULL);
	ASSERT_EQ(0, kill(self->task, SIGUSR1));
	RELEASE();
	EXPECT_EXIT(0);
	EXPECT_SERVED(1);
}

TEST_F(held, process_exits)
{
	self->task = start_held("exit");
	ASSERT_EQ(0, kill(self->task, SIGUSR2));
	wait_until_doomed(self->task);
	RELEASE();
	EXPECT_EXIT(7);
}

TEST_F(held, process_executes)
{
	self->task = start_held("execute");
	ASSERT_EQ(0, kill(self->task, SIGUSR2));
	wait_until_doomed(self->task);
	RELEASE();
	EXPECT_EXIT(8);
	EXPECT_EQ(1, counter("denied") - self->before.denied);
}

TEST_HARNESS_MAIN
