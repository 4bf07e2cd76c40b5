/* SPDX-License-Identifier: GPL-2.0 */
/* The tasks for xfd_held.c: one that sleeps in its first-use handler, and a neighbour on the same CPU. */
#ifndef XFD_TEST_HELD_H
#define XFD_TEST_HELD_H

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "amx.h"
#include "counters.h"
#include "faults.h"
#include "knobs.h"

#define EXECUTED "XFD_HELD_EXECUTED"

static void neighbour(int ready)
{
	struct tiles mine;

	pin_to(0);
	xcomp(XCOMP_REQ_PERM, TILE_DATA);
	tiles_configure();
	tiles_fill(&mine, 77);
	tiles_load(&mine);
	if (write(ready, "", 1) != 1)
		_exit(2);
	while (tiles_hold(&mine))
		sched_yield();
	_exit(1);
}

/* Loads all tiles and checks that they and a register of another component keep their contents. */
static bool first_use_is_right(void)
{
	struct tiles mine;
	uint8_t before[32], after[32];

	tiles_configure();
	tiles_fill(&mine, getpid());
	memset(before, 0x3c, sizeof(before));
	asm volatile("vmovdqu %0, %%ymm15" :: "m"(before) : "xmm15");
	tiles_load(&mine);
	asm volatile("vmovdqu %%ymm15, %0" : "=m"(after));
	return !memcmp(before, after, sizeof(before)) && tiles_hold(&mine);
}

static void handler_with_tiles(int signo)
{
	struct tiles other;

	tiles_configure();
	tiles_fill(&other, 5);
	tiles_load(&other);
	if (!tiles_hold(&other))
		_exit(3);
}

static volatile int leave;

static void *leave_or_execute(void *how)
{
	char *argv[] = { "xfd_held", NULL };

	while (!leave)
		sched_yield();
	if (!strcmp(how, "exit"))
		_exit(7);
	setenv(EXECUTED, "1", 1);
	execv("/proc/self/exe", argv);
	_exit(4);
}

/* A new program has no permission: SIGILL. Runs before main() if EXECUTED is in the environment. */
__attribute__((constructor)) static void executed(void)
{
	if (!getenv(EXECUTED))
		return;
	faults_catch();
	tiles_configure();
	TRY("tilezero %%tmm0");
	_exit(fault.signo == SIGILL && fault.code == ILL_ILLOPC ? 8 : 9);
}

static void leave_now(int signo)
{
	leave = 1;
}

static void use_tiles(void)
{
	pin_to(0);
	signal(SIGUSR1, handler_with_tiles);
	xcomp(XCOMP_REQ_PERM, TILE_DATA);
	_exit(first_use_is_right() ? 0 : 1);
}

/* The first thread waits in the handler. On SIGUSR2 the second does as @how says. */
static void use_tiles_beside(const char *how)
{
	pthread_t other;
	sigset_t usr2;

	signal(SIGUSR2, leave_now);
	xcomp(XCOMP_REQ_PERM, TILE_DATA);
	if (pthread_create(&other, NULL, leave_or_execute, (void *)how))
		_exit(5);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);
	_exit(first_use_is_right() ? 0 : 1);
}

static pid_t start_held(const char *how)
{
	pid_t task = fork();

	if (!task) {
		if (how)
			use_tiles_beside(how);
		use_tiles();
	}
	wait_until_held(1);
	return task;
}

#endif
