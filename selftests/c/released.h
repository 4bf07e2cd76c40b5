/* SPDX-License-Identifier: GPL-2.0 */
/* A process that has released its tiles and sleeps, and a tracer that attaches and writes new tiles. */
#ifndef XFD_TEST_RELEASED_H
#define XFD_TEST_RELEASED_H

#include "sleeper.h"
#include "tracee.h"

static inline int released_run(void)
{
	struct tilecfg cfg;
	char byte;

	use_tiles();
	tilerelease();
	if (read(wake[0], &byte, 1) != 1)
		return 2;
	sttilecfg(&cfg);
	return cfg.palette == 1 && tiles_hold(&tiles) ? 0 : 1;
}

/* The process exits with 0 if it has the tiles from use_tiles() when woken. */
static inline pid_t released_start(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(released_run());
	return pid;
}

/* Attaches like a debugger: with PTRACE_ATTACH or, if @seize, with PTRACE_SEIZE and PTRACE_INTERRUPT. */
static inline bool attach(pid_t pid, bool seize)
{
	int status;

	if (seize ? ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)
		  : ptrace(PTRACE_ATTACH, pid, 0, 0))
		return false;
	return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status);
}

/* Puts the tiles from use_tiles() into @area. */
static inline void put_tiles(union xsave *area)
{
	*config_in(area) = tilecfg_full();
	*tiles_in(area) = tiles;
	area->xstate_bv |= BIT_ULL(TILE_CFG) | BIT_ULL(TILE_DATA);
}

#define EXPECT_GOES_ON(pid)							\
	do {									\
		int _status;							\
										\
		ASSERT_EQ(1, write(wake[1], "", 1));				\
		ASSERT_EQ(pid, waitpid(pid, &_status, 0));			\
		EXPECT_EQ(0, _status);						\
	} while (0)

#endif
