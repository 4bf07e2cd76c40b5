/* SPDX-License-Identifier: GPL-2.0 */
/* A process stopped with a chosen extended state, and access to that state through ptrace. */
#ifndef XFD_TEST_TRACEE_H
#define XFD_TEST_TRACEE_H

#include <elf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "amx.h"
#include "pkru.h"

enum extent {
	UNPERMITTED,
	NO_BUFFER,	/* permitted, never used */
	INITIAL,	/* used and released */
	LIVE,
};

/* What the tracee sees when it continues. */
struct seen {
	uint32_t pkru;
	struct tilecfg cfg;
	struct tiles tiles;	/* if configured and there is a buffer */
};

struct tracee {
	pid_t pid;
	uint32_t size;		/* of an XSAVE area with all components the machine has */
	struct seen *seen;
	struct tiles tiles;	/* the tiles it loaded, if LIVE */
};

/* As much of XSAVE's standard format as current machines write. */
union xsave {
	uint8_t byte[16384];
	struct {
		uint8_t legacy[24];
		uint32_t mxcsr;
		uint8_t more[436];
		uint64_t xcr0;			/* byte 464 */
		uint8_t sw_reserved[40];
		uint64_t xstate_bv, xcomp_bv;	/* byte 512 */
		uint8_t reserved[48];
	};
} __attribute__((aligned(64)));

#define PKRU_AT_FIRST 0x55555550U	/* keys 0 and 1 allowed, which Linux never sets by itself */

static inline int tracee_run(enum extent extent, const struct tiles *tiles, struct seen *seen)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		return 2;
	if (extent > UNPERMITTED && xcomp(XCOMP_REQ_PERM, TILE_DATA))
		return 3;
	if (extent > NO_BUFFER) {
		tiles_configure();
		tiles_load(tiles);
	}
	if (extent == INITIAL)
		tilerelease();
	wrpkru(PKRU_AT_FIRST);
	syscall(SYS_kill, getpid(), SIGSTOP);
	seen->pkru = rdpkru();
	sttilecfg(&seen->cfg);
	if (extent > NO_BUFFER && seen->cfg.palette)
		tiles_store(&seen->tiles);
	return 0;
}

/* The tracee is stopped when this returns true. */
static inline bool tracee_start(struct tracee *tracee, enum extent extent)
{
	int status;

	tracee->size = xsave_size(xcomp_mask(XCOMP_SUPP));
	tracee->seen = mmap(NULL, sizeof(*tracee->seen), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tiles_fill(&tracee->tiles, 11);
	tracee->pid = fork();
	if (!tracee->pid)
		_exit(tracee_run(extent, &tracee->tiles, tracee->seen));
	return waitpid(tracee->pid, &status, 0) == tracee->pid && WIFSTOPPED(status) &&
	       WSTOPSIG(status) == SIGSTOP;
}

/* Lets it record its state and exit. Returns 0 on success. */
static inline int tracee_finish(struct tracee *tracee)
{
	int status;

	if (ptrace(PTRACE_CONT, tracee->pid, 0, 0) ||
	    waitpid(tracee->pid, &status, 0) != tracee->pid)
		return -1;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void tracee_kill(struct tracee *tracee)
{
	kill(tracee->pid, SIGKILL);
	waitpid(tracee->pid, NULL, 0);
}

/* One request for @length bytes at @buffer. Returns the bytes moved, or the negative errno. */
static inline long regset(struct tracee *tracee, int request, int type, void *buffer, size_t length)
{
	struct iovec iov = { buffer, length };

	return ptrace(request, tracee->pid, type, &iov) ? -errno : (long)iov.iov_len;
}

static inline long xstate_get(struct tracee *tracee, union xsave *area)
{
	memset(area, 0xa5, sizeof(*area));
	return regset(tracee, PTRACE_GETREGSET, NT_X86_XSTATE, area, sizeof(*area));
}

static inline long xstate_set(struct tracee *tracee, union xsave *area)
{
	return regset(tracee, PTRACE_SETREGSET, NT_X86_XSTATE, area, sizeof(*area));
}

static inline struct tiles *tiles_in(union xsave *area)
{
	return (struct tiles *)(area->byte + xsave_offset(TILE_DATA));
}

static inline struct tilecfg *config_in(union xsave *area)
{
	return (struct tilecfg *)(area->byte + xsave_offset(TILE_CFG));
}

static inline uint32_t *pkru_in(union xsave *area)
{
	return (uint32_t *)(area->byte + xsave_offset(9));
}

#endif
