// SPDX-License-Identifier: GPL-2.0
/*
 * The process that CRIU saves: two threads with live tiles, asleep.
 *   criu_target FILE   creates FILE when the second thread has loaded its registers, and then loads the first one's.
 *                      At SIGUSR1 both write to FILE what they find in their registers, and it exits
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include "../c/amx.h"

static const uint64_t zmm_content[8] __attribute__((aligned(64))) = {
	11, 22, 33, 44, 55, 66, 77, 88,
};

static _Atomic bool loaded;
static _Thread_local sigjmp_buf after_signal;

static void fill_registers(struct tiles *t, uint32_t seed)
{
	tiles_fill(t, seed);
	tiles_configure();
	tiles_load(t);
	/* The compiler does not use ZMM20 here, and leaves it alone. */
	asm volatile("vmovdqu64 %0, %%zmm20" :: "m"(zmm_content));
}

static void on_sigill(int signal)
{
	siglongjmp(after_signal, 1);
}

/* What the calling thread finds. SIGILL: the tiles cannot even be stored. */
static const char *state_of_tiles(const struct tiles *expected)
{
	if (sigsetjmp(after_signal, 1))
		return "SIGILL";
	return tiles_hold(expected) ? "kept" : "changed";
}

static const char *use_of_tiles(struct tiles *t)
{
	long error = xcomp(XCOMP_REQ_PERM, TILE_DATA);

	if (error)
		return "refused";
	if (sigsetjmp(after_signal, 1))
		return "SIGILL";
	fill_registers(t, 3);
	return tiles_hold(t) ? "works" : "wrong";
}

static void tell(FILE *file, const char *thread, struct tiles *t)
{
	uint64_t zmm[8] __attribute__((aligned(64)));
	const char *tiles;

	asm volatile("vmovdqu64 %%zmm20, %0" : "=m"(zmm));
	tiles = state_of_tiles(t);
	fprintf(file, "%s.tiles %s\n", thread, tiles);
	fprintf(file, "%s.zmm %s\n", thread, memcmp(zmm, zmm_content, sizeof(zmm)) ? "changed" : "kept");
	fprintf(file, "%s.request_and_use %s\n", thread, use_of_tiles(t));
}

/* A bare system call that leaves all registers as they are, without the C library in between. */
static long wait_for_signal(const uint64_t *set)
{
	register long size asm("r10") = sizeof(*set);
	long result = SYS_rt_sigtimedwait;

	asm volatile("syscall" : "+a"(result) : "D"(set), "S"(NULL), "d"(NULL), "r"(size) : "rcx", "r11", "memory");
	return result;
}

static void wait_for(int signal)
{
	const uint64_t set = BIT_ULL(signal - 1);

	/* CRIU interrupts it. */
	while (wait_for_signal(&set) != signal)
		;
}

static void *second(void *file)
{
	struct tiles t;

	fill_registers(&t, 2);
	loaded = true;
	wait_for(SIGUSR2);
	tell(file, "second", &t);
	return NULL;
}

int main(int argc, char **argv)
{
	struct tiles t;
	pthread_t thread;
	sigset_t signals;
	bool permitted;
	FILE *file;

	if (argc != 2 || xcomp(XCOMP_REQ_PERM, TILE_DATA))
		return 2;
	signal(SIGILL, on_sigill);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	file = fopen("/dev/null", "w");
	if (!file || pthread_create(&thread, NULL, second, file))
		return 2;
	while (!loaded)
		sched_yield();
	if (!freopen(argv[1], "w", file))
		return 2;
	fill_registers(&t, 1);
	wait_for(SIGUSR1);
	permitted = xcomp_mask(XCOMP_PERM) & BIT_ULL(TILE_DATA);
	tell(file, "first", &t);
	fprintf(file, "permission %s\n", permitted ? "kept" : "lost");
	pthread_kill(thread, SIGUSR2);
	pthread_join(thread, NULL);
	return fclose(file) != 0;
}
