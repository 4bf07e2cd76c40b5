// SPDX-License-Identifier: GPL-2.0
/* How permission spreads: threads share it, fork copies it, exec ends it. */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "faults.h"

#include <pthread.h>

#define HOST BIT_ULL(TILE_DATA)

struct report {
	uint64_t perm, guest;
	struct fault fault;
};

/* The masks, and what the calling thread's first tile instruction does. */
static struct report report_now(void)
{
	struct report report = {
		.perm = xcomp_mask(XCOMP_PERM),
		.guest = xcomp_mask(XCOMP_GUEST_PERM),
	};

	faults_catch();
	tiles_configure();
	TRY("tilezero %%tmm0");
	report.fault = fault;
	tilerelease();
	return report;
}

/* exec does not return, so the new program reports here, before the harness starts. */
static __attribute__((constructor)) void report_after_exec(void)
{
	const char *fd = getenv("XCOMP_REPORT_FD");
	struct report report;

	if (!fd)
		return;
	report = report_now();
	_exit(write(atoi(fd), &report, sizeof(report)) != sizeof(report));
}

/* Runs @child in a forked process and collects its report. */
static bool forked(void (*child)(int fd), struct report *report)
{
	int fd[2], status;
	pid_t pid;

	if (pipe(fd))
		return false;
	pid = fork();
	if (!pid) {
		child(fd[1]);
		_exit(2);
	}
	close(fd[1]);
	if (read(fd[0], report, sizeof(*report)) != sizeof(*report))
		memset(report, 0, sizeof(*report));
	close(fd[0]);
	return waitpid(pid, &status, 0) == pid && !status;
}

static void just_report(int fd)
{
	struct report report = report_now();

	_exit(write(fd, &report, sizeof(report)) != sizeof(report));
}

static void exec_and_report(int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	setenv("XCOMP_REPORT_FD", number, 1);
	execl("/proc/self/exe", "xcomp_inherit", NULL);
}

static void request_and_report(int fd)
{
	if (xcomp(XCOMP_REQ_PERM, TILE_DATA) || xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA))
		_exit(3);
	just_report(fd);
}

static void use_then_exec(int fd)
{
	tiles_configure();
	tilezero0();
	exec_and_report(fd);
}

static void *thread_report(void *arg)
{
	*(struct report *)arg = report_now();
	return NULL;
}

static void *thread_request(void *arg)
{
	*(long *)arg = xcomp(XCOMP_REQ_PERM, TILE_DATA);
	return NULL;
}

struct waiting {
	pthread_barrier_t started, granted;
	struct report report;
};

static void *thread_report_when_granted(void *arg)
{
	struct waiting *waiting = arg;

	pthread_barrier_wait(&waiting->started);
	pthread_barrier_wait(&waiting->granted);
	waiting->report = report_now();
	return NULL;
}

TEST(a_running_thread_has_it_at_once)
{
	struct counters before = counters_now();
	struct waiting waiting;
	pthread_t thread;

	REQUIRE_TILES();
	pthread_barrier_init(&waiting.started, NULL, 2);
	pthread_barrier_init(&waiting.granted, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_report_when_granted, &waiting));
	pthread_barrier_wait(&waiting.started);
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	pthread_barrier_wait(&waiting.granted);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_TRUE(waiting.report.perm & HOST);
	EXPECT_EQ(0, waiting.report.fault.signo);
	EXPECT_COUNTED(before, 1, 0);
}

/* Permission belongs to the process, whichever thread asked, and outlives that thread. */
TEST(a_threads_request_is_for_all)
{
	struct report leader;
	pthread_t thread;
	long outcome = -1;

	REQUIRE_TILES();
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_request, &outcome));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, outcome);
	leader = report_now();
	EXPECT_TRUE(leader.perm & HOST);
	EXPECT_EQ(0, leader.fault.signo);
}

/* Each thread starts armed and takes its own #NM. */
TEST(each_thread_has_its_own_first_use)
{
	struct counters before = counters_now();
	struct report main_thread, second;
	pthread_t thread;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	main_thread = report_now();
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_report, &second));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, main_thread.fault.signo);
	EXPECT_EQ(0, second.fault.signo);
	EXPECT_COUNTED(before, 2, 0);
}

TEST(fork_copies_both_masks)
{
	struct counters before = counters_now();
	struct report child;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(forked(just_report, &child));
	EXPECT_EQ(xcomp_mask(XCOMP_PERM), child.perm);
	EXPECT_EQ(xcomp_mask(XCOMP_GUEST_PERM), child.guest);
	EXPECT_FALSE(child.guest & HOST);
	EXPECT_EQ(0, child.fault.signo);

	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	ASSERT_TRUE(forked(just_report, &child));
	EXPECT_EQ(xcomp_mask(XCOMP_GUEST_PERM), child.guest);
	EXPECT_TRUE(child.guest & HOST);
	EXPECT_COUNTED(before, 2, 0);
}

TEST(fork_from_a_thread_copies_it_too)
{
	struct report child;
	pthread_t thread;
	long outcome = -1;

	REQUIRE_TILES();
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_request, &outcome));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, outcome);
	ASSERT_TRUE(forked(just_report, &child));
	EXPECT_TRUE(child.perm & HOST);
	EXPECT_EQ(0, child.fault.signo);
}

TEST(what_a_child_is_granted_stays_with_it)
{
	struct counters before = counters_now();
	struct report child, parent;

	REQUIRE_TILES();
	ASSERT_TRUE(forked(request_and_report, &child));
	EXPECT_TRUE(child.perm & HOST);
	EXPECT_EQ(0, child.fault.signo);
	parent = report_now();
	EXPECT_FALSE(parent.perm & HOST);
	EXPECT_FALSE(parent.guest & HOST);
	EXPECT_EQ(SIGILL, parent.fault.signo);
	EXPECT_COUNTED(before, 1, 1);
}

/* fork copies the tile configuration, but not the tile data. */
TEST(fork_of_live_tiles)
{
	struct tiles live, seen;
	struct tilecfg cfg;
	int fd[2], status;
	pid_t pid;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, pipe(fd));
	tiles_fill(&live, 1);
	tiles_configure();
	tiles_load(&live);
	pid = fork();
	if (!pid) {
		memset(&cfg, 0x5a, sizeof(cfg));
		sttilecfg(&cfg);
		memset(&seen, 0x5a, sizeof(seen));
		tiles_store(&seen);
		if (write(fd[1], &cfg, sizeof(cfg)) != sizeof(cfg))
			_exit(2);
		_exit(write(fd[1], &seen, sizeof(seen)) != sizeof(seen));
	}
	close(fd[1]);
	EXPECT_TRUE(tiles_hold(&live));
	ASSERT_EQ(sizeof(cfg), read(fd[0], &cfg, sizeof(cfg)));
	ASSERT_EQ(sizeof(seen), read(fd[0], &seen, sizeof(seen)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);

	struct tilecfg full = tilecfg_full();
	static const struct tiles zero;

	EXPECT_EQ(0, memcmp(&full, &cfg, sizeof(cfg)));
	EXPECT_EQ(0, memcmp(&zero, &seen, sizeof(seen)));
	EXPECT_TRUE(tiles_hold(&live));
}

TEST(exec_ends_both)
{
	struct report after;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	ASSERT_TRUE(forked(exec_and_report, &after));
	EXPECT_EQ(xcomp_mask(XCOMP_SUPP) & ~HOST, after.perm);
	EXPECT_EQ(xcomp_mask(XCOMP_SUPP) & ~HOST, after.guest);
	EXPECT_EQ(SIGILL, after.fault.signo);
	/* The parent keeps its own. */
	EXPECT_TRUE(xcomp_mask(XCOMP_PERM) & HOST);
}

/*
 * exec arms XFD again. On each exec after a first use, the 7.2 C code leaks the enlarged fpstate,
 * 12 KiB of vmalloc space.
 */
TEST(exec_after_a_first_use)
{
	struct counters before = counters_now();
	struct report after;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	ASSERT_TRUE(forked(use_then_exec, &after));
	EXPECT_FALSE(after.perm & HOST);
	EXPECT_EQ(SIGILL, after.fault.signo);
	EXPECT_EQ(ILL_ILLOPC, after.fault.code);
	EXPECT_COUNTED(before, 1, 1);
}

TEST_HARNESS_MAIN
