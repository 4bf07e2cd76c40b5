// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that the kernel starts on behalf of one with live tiles: io_uring workers, which are threads
 * of the process that never run in user mode, and the helper that a core dump is piped into, which is
 * not a child of any process. They neither have the tiles nor disturb them.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "counters.h"
#include "faults.h"
#include "machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WORKERS 4

/* A minimal ring that submits one entry at a time. */
struct ring {
	int fd;
	struct io_uring_params params;
	uint8_t *queues;
	struct io_uring_sqe *sqe;
	unsigned int submitted, completed;
};

static bool ring_open(struct ring *ring)
{
	*ring = (struct ring) { 0 };
	ring->fd = syscall(SYS_io_uring_setup, WORKERS, &ring->params);
	if (ring->fd < 0)
		return false;
	/* One mapping holds both queues, the submission queue last (IORING_FEAT_SINGLE_MMAP). */
	ring->queues = mmap(NULL, ring->params.sq_off.array + WORKERS * sizeof(uint32_t),
			    PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->sqe = mmap(NULL, WORKERS * sizeof(*ring->sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			 ring->fd, IORING_OFF_SQES);
	return ring->queues != MAP_FAILED && ring->sqe != MAP_FAILED;
}

/*
 * Opens a FIFO for reading in a worker, which then waits for a writer; the ring cannot poll for
 * that instead.
 */
static bool ring_open_fifo(struct ring *ring, const char *path)
{
	uint32_t *tail = (uint32_t *)(ring->queues + ring->params.sq_off.tail);
	uint32_t *array = (uint32_t *)(ring->queues + ring->params.sq_off.array);
	unsigned int slot = ring->submitted++ % WORKERS;

	ring->sqe[slot] = (struct io_uring_sqe) {
		.opcode = IORING_OP_OPENAT,
		.flags = IOSQE_ASYNC,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)path,
		.open_flags = O_RDONLY,
	};
	array[slot] = slot;
	__atomic_store_n(tail, ring->submitted, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1;
}

/* Waits for the next result. */
static int ring_result(struct ring *ring)
{
	uint32_t *head = (uint32_t *)(ring->queues + ring->params.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(ring->queues + ring->params.cq_off.cqes);
	int result;

	if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	result = cqes[ring->completed++ & (ring->params.cq_entries - 1)].res;
	__atomic_store_n(head, ring->completed, __ATOMIC_RELEASE);
	return result;
}

/* Threads of this process named iou-wrk-PID. */
static int workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int count = 0;

	while (tasks && (task = readdir(tasks))) {
		char path[300], name[32];

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		read_setting(path, name, sizeof(name));
		count += !strncmp(name, "iou-wrk-", 8);
	}
	if (tasks)
		closedir(tasks);
	return count;
}

TEST(io_uring_workers)
{
	struct counters before = counters_now();
	char folder[] = "/tmp/xfd-fifos-XXXXXX", path[WORKERS][64];
	struct tiles tiles;
	struct ring ring;

	REQUIRE_TILES();
	if (!ring_open(&ring))
		SKIP(return, "no io_uring: %s", strerror(errno));
	ASSERT_NE(NULL, mkdtemp(folder));
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 41);
	tiles_configure();
	tiles_load(&tiles);
	for (int i = 0; i < WORKERS; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%d", folder, i);
		ASSERT_EQ(0, mkfifo(path[i], 0600));
		/* The workers start while the tiles are live. */
		ASSERT_TRUE(ring_open_fifo(&ring, path[i]));
		while (workers() < i + 1)
			sched_yield();
		EXPECT_TRUE(tiles_hold(&tiles));
	}
	for (int i = 0; i < WORKERS; i++) {
		int opened, fd = open(path[i], O_WRONLY);
		char byte = 0;

		ASSERT_LE(0, fd);
		opened = ring_result(&ring);
		ASSERT_LE(0, opened);
		EXPECT_TRUE(tiles_hold(&tiles));
		ASSERT_EQ(1, write(fd, &"abcd"[i], 1));
		ASSERT_EQ(1, read(opened, &byte, 1));
		EXPECT_EQ("abcd"[i], byte);
		unlink(path[i]);
	}
	rmdir(folder);
	/* They needed no buffer. */
	EXPECT_COUNTED(before, 1, 0);
}

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
/* A dumping process waits for its helper while at most this many dumps are in progress. */
#define CORE_PIPE_LIMIT	"/proc/sys/kernel/core_pipe_limit"
#define HELPER		"--core-helper"
#define HELPER_SAYS	"/tmp/xfd-core-helper"

/* The helper's report about itself. */
struct helper_says {
	uint32_t begins_with;		/* the core's first bytes */
	uint32_t refused, granted;	/* permission before, and after asking */
	int signo;			/* signal from an earlier use */
	int tiles_are_zero, tiles_hold;
};

/* Started by the kernel with no environment, the core as standard input, and nothing else open. */
static int help(void)
{
	static const struct tiles zero;
	struct helper_says says = { 0 };
	struct tiles tiles;
	static char rest[65536];
	int fd;

	if (read(0, &says.begins_with, 4) != 4)
		return 2;
	faults_catch();
	says.refused = !(xcomp_mask(XCOMP_PERM) & BIT_ULL(TILE_DATA));
	tiles_configure();
	TRY("tilestored %%tmm0, (%[mem],%[stride],1)");
	says.signo = fault.signo;
	says.granted = !xcomp(XCOMP_REQ_PERM, TILE_DATA);
	says.tiles_are_zero = tiles_hold(&zero);
	tiles_fill(&tiles, 42);
	tiles_load(&tiles);
	while (read(0, rest, sizeof(rest)) > 0)
		;
	says.tiles_hold = tiles_hold(&tiles);
	fd = open(HELPER_SAYS, O_WRONLY);
	return write(fd, &says, sizeof(says)) != sizeof(says);
}

static void die_with_tiles(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct tiles tiles;

	if (xcomp(XCOMP_REQ_PERM, TILE_DATA) || setrlimit(RLIMIT_CORE, &all))
		_exit(2);
	tiles_fill(&tiles, 43);
	tiles_configure();
	tiles_load(&tiles);
	abort();
}

/* It would be a leak if the dumping process had the helper's state, or the helper the process's. */
TEST(core_helper)
{
	char pattern[256], was[256];
	struct helper_says says;
	struct tiles tiles;
	ssize_t length;
	int fd, status;
	pid_t pid;

	REQUIRE_TILES();
	if (!in_the_machine())
		SKIP(return, "changes " CORE_PATTERN ": only in the emulated machine");
	ASSERT_TRUE(pin_to(0));
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_fill(&tiles, 44);
	tiles_configure();
	tiles_load(&tiles);
	read_setting(CORE_PATTERN, was, sizeof(was));
	length = readlink("/proc/self/exe", pattern + 1, sizeof(pattern) - 1 - sizeof(" " HELPER));
	ASSERT_LT(0, length);
	pattern[0] = '|';
	strcpy(pattern + 1 + length, " " HELPER);
	unlink(HELPER_SAYS);
	ASSERT_EQ(0, mkfifo(HELPER_SAYS, 0600));
	fd = open(HELPER_SAYS, O_RDWR | O_NONBLOCK);
	ASSERT_TRUE(write_setting(CORE_PATTERN, pattern));
	ASSERT_TRUE(write_setting(CORE_PIPE_LIMIT, "1"));

	pid = fork();
	if (!pid)
		die_with_tiles();
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	write_setting(CORE_PATTERN, was);
	write_setting(CORE_PIPE_LIMIT, "0");
	EXPECT_EQ(SIGABRT, WTERMSIG(status));
	ASSERT_TRUE(WCOREDUMP(status));
	ASSERT_EQ(sizeof(says), read(fd, &says, sizeof(says)));
	unlink(HELPER_SAYS);
	EXPECT_EQ(0x464c457f, says.begins_with);
	EXPECT_TRUE(says.refused);
	EXPECT_EQ(SIGILL, says.signo);
	EXPECT_TRUE(says.granted);
	EXPECT_TRUE(says.tiles_are_zero);
	EXPECT_TRUE(says.tiles_hold);
	EXPECT_TRUE(tiles_hold(&tiles));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], HELPER))
		return help();
	return test_harness_run(argc, argv);
}
