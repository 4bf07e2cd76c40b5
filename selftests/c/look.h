/* SPDX-License-Identifier: GPL-2.0 */
/* The permission, tiles and buffer that a new task or program starts with. */
#ifndef XFD_TEST_LOOK_H
#define XFD_TEST_LOOK_H

#include "counters.h"
#include "faults.h"
#include "frame.h"

/* A task's initial state, and the outcome of its first tile instruction. */
struct report {
	bool done;
	long request;			/* result of the child's request, if it made one */
	uint64_t perm, guest, in_use, xfeatures, xfeatures_after;
	uint32_t xstate_size, xstate_size_after;
	struct tilecfg cfg;
	bool tiles_zero;
	struct fault fault;
};

static struct frame frame;
static struct report *report;		/* shared with all children */
static bool ask;
static const struct tiles zero;

static inline void report_answer(const char *test, const char *way)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", test, way);
	answer(name, "perm %#llx guest %#llx in_use %#llx xstate_size %u first use: signal %d xstate_size %u",
	       (unsigned long long)report->perm, (unsigned long long)report->guest,
	       (unsigned long long)report->in_use, report->xstate_size, report->fault.signo,
	       report->xstate_size_after);
}

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	frame_read(&frame, frame_area(ucontext));
}

static inline void prepare(void)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };

	sigaction(SIGUSR1, &action, NULL);
	faults_catch();
}

static __attribute__((noinline)) int look(void *arg)
{
	struct report *to = arg;

	to->in_use = in_use() & TILE_BITS;
	sttilecfg(&to->cfg);
	if (ask)
		to->request = xcomp(XCOMP_REQ_PERM, TILE_DATA);
	to->perm = xcomp_mask(XCOMP_PERM);
	to->guest = xcomp_mask(XCOMP_GUEST_PERM);
	signal_now(SIGUSR1);
	to->xfeatures = frame.xfeatures;
	to->xstate_size = frame.xstate_size;
	if (!to->cfg.palette)
		tiles_configure();
	TRY("tilestored %%tmm2, (%[mem],%[stride],1)");
	to->fault = fault;
	if (!fault.signo) {
		to->tiles_zero = tiles_hold(&zero);
		/* A buffer with tiles in use is not reclaimed. */
		tilezero0();
	}
	signal_now(SIGUSR1);
	to->xfeatures_after = frame.xfeatures;
	to->xstate_size_after = frame.xstate_size;
	to->done = true;
	return 0;
}

/* The program started by exec also reports, before the harness starts. */
static __attribute__((constructor)) void look_after_exec(void)
{
	const char *fd = getenv("XCOMP_EXEC_FD");
	struct report own = { 0 };

	if (!fd)
		return;
	prepare();
	look(&own);
	_exit(write(atoi(fd), &own, sizeof(own)) != sizeof(own));
}

static int report_file;		/* where it writes its report */

static inline int exec_self(void *arg)
{
	static char name[] = "look", fd[32];
	char *argv[] = { name, NULL }, *envp[] = { fd, NULL };

	snprintf(fd, sizeof(fd), "XCOMP_EXEC_FD=%d", report_file);
	execve("/proc/self/exe", argv, envp);
	return 2;
}

/* The initial buffer has no space for tiles, and grows if permitted. */
#define EXPECT_BEGINS_SMALL(ends)						\
	do {									\
		EXPECT_EQ(self->small, report->xfeatures);			\
		EXPECT_EQ(xsave_size(self->small), report->xstate_size);	\
		EXPECT_EQ((ends), report->xfeatures_after);			\
		EXPECT_EQ(xsave_size(ends), report->xstate_size_after);		\
	} while (0)

#endif
