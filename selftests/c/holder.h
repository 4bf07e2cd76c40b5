/* SPDX-License-Identifier: GPL-2.0 */
/* A process that holds live tiles on one CPU while something happens to that CPU. */
#ifndef XFD_TEST_HOLDER_H
#define XFD_TEST_HOLDER_H

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "amx.h"

/* How a holder waits: keeping its CPU busy, or leaving it idle. */
enum holding { HOLD_SPINNING, HOLD_BLOCKED };

struct holder {
	pid_t pid;
	int end;		/* close to end the holder */
	volatile int *looks;	/* checks that found its tiles intact */
};

#define HOLDER_LOST_TILES	3

/* The child. Checks its tiles in each round, and once more at the end. */
static inline int hold(int cpu, uint32_t seed, enum holding how, int end, volatile int *looks)
{
	struct tiles tiles;
	char byte;

	if (!pin_to(cpu) || xcomp(XCOMP_REQ_PERM, TILE_DATA))
		return 2;
	tiles_fill(&tiles, seed);
	tiles_configure();
	tiles_load(&tiles);
	fcntl(end, F_SETFL, how == HOLD_SPINNING ? O_NONBLOCK : 0);
	do {
		*looks += 1;
		syscall(SYS_futex, looks, FUTEX_WAKE, 1, NULL, NULL, 0);
		/* Long enough in user mode that most disturbances hit it there. */
		for (int i = 0; how == HOLD_SPINNING && i < 10000; i++)
			asm volatile("pause");
		if (how == HOLD_SPINNING && !tiles_hold(&tiles))
			return HOLDER_LOST_TILES;
	} while (read(end, &byte, 1) < 0);
	return tiles_hold(&tiles) ? 0 : HOLDER_LOST_TILES;
}

static inline bool holder_lives(struct holder *holder)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, holder->pid, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
}

/* Waits until the holder has checked its tiles once more, or has died. */
static inline void holder_looks_again(struct holder *holder)
{
	int before = *holder->looks;

	while (*holder->looks == before && holder_lives(holder))
		syscall(SYS_futex, holder->looks, FUTEX_WAIT, before,
			&(struct timespec) { .tv_nsec = 10 * 1000 * 1000 }, NULL, 0);
}

/* When this returns, the holder's tiles are loaded. */
static inline bool holder_start(struct holder *holder, int cpu, uint32_t seed, enum holding how)
{
	int fd[2];

	holder->looks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (holder->looks == MAP_FAILED || pipe(fd))
		return false;
	holder->pid = fork();
	if (!holder->pid) {
		close(fd[1]);
		_exit(hold(cpu, seed, how, fd[0], holder->looks));
	}
	close(fd[0]);
	holder->end = fd[1];
	holder_looks_again(holder);
	return *holder->looks > 0;
}

/* Returns 0 if the holder's tiles were intact to the end, -SIGNAL if it was killed. */
static inline int holder_end(struct holder *holder)
{
	int status;

	close(holder->end);
	if (waitpid(holder->pid, &status, 0) != holder->pid)
		return -1000;
	munmap((void *)holder->looks, 4096);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
