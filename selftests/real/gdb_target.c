// SPDX-License-Identifier: GPL-2.0
/*
 * The debugger's target: two threads with live tiles, one asleep in read(), one counting.
 *   gdb_target         prints "ready PID", waits for a line, and prints whether each thread's tiles
 *                      are intact; exits with 0 if they are
 *   gdb_target crash   uses tiles at first_tile_use, and dies of SIGSEGV at last_store with live tiles
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "../c/amx.h"

/* What gdb must show in each thread's ZMM20. */
static const uint64_t zmm_content[8] __attribute__((aligned(64))) = {
	11, 22, 33, 44, 55, 66, 77, 88,
};

static _Atomic bool counting, over;
static volatile unsigned long counter;

static void fill_registers(struct tiles *t, uint32_t seed)
{
	tiles_fill(t, seed);
	tiles_configure();
	tiles_load(t);
	/* The compiler does not use ZMM20 here. */
	asm volatile("vmovdqu64 %0, %%zmm20" :: "m"(zmm_content));
}

static int tell(const char *thread, bool same)
{
	printf("%s: tiles %s\n", thread, same ? "intact" : "changed");
	fflush(stdout);
	return !same;
}

static void *count(void *unused)
{
	struct tiles t;

	fill_registers(&t, 2);
	counting = true;
	while (!over)
		counter++;
	return (void *)(long)tell("counting", tiles_hold(&t));
}

/* A bare system call that preserves all registers, bypassing the C library. */
static long read_line(char *line, size_t size)
{
	long result = SYS_read;

	asm volatile("syscall" : "+a"(result) : "D"(0L), "S"(line), "d"(size) : "rcx", "r11", "memory");
	return result;
}

__attribute__((noinline)) static void crash(void)
{
	struct tiles t;

	tiles_configure();
	asm volatile(".globl first_tile_use\n"
		     "first_tile_use: tilezero %%tmm0" ::: "memory");
	fill_registers(&t, 3);
	asm volatile(".globl last_store\n"
		     "last_store: movl $0, 0" ::: "memory");
}

int main(int argc, char **argv)
{
	struct tiles t;
	pthread_t thread;
	char line[16];
	void *changed;
	int failed;

	if (xcomp(XCOMP_REQ_PERM, TILE_DATA)) {
		fprintf(stderr, "no permission to use tiles\n");
		return 2;
	}
	if (argc > 1 && !strcmp(argv[1], "crash"))
		crash();
	pthread_create(&thread, NULL, count, NULL);
	while (!counting)
		sched_yield();
	printf("ready %d\n", getpid());
	fflush(stdout);
	fill_registers(&t, 1);
	if (read_line(line, sizeof(line)) <= 0)
		return 2;
	failed = tell("sleeping", tiles_hold(&t));
	over = true;
	pthread_join(thread, &changed);
	return failed | (int)(long)changed;
}
