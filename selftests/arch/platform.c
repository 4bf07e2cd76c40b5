// SPDX-License-Identifier: GPL-2.0
/*
 * Two things other than tiles that the kernel relies on: newly written code takes effect at once,
 * and a page's protection key also applies to the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

/* Writes "mov $value, %eax; ret" at @at and calls it. */
static int write_and_call(uint8_t *at, int value)
{
	uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(code + 1, &value, 4);
	for (unsigned int i = 0; i < sizeof(code); i++)
		((volatile uint8_t *)at)[i] = code[i];
	return ((int (*)(void))at)();
}

static void ask_code(void)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int stale = 0;

	for (int offset = 0; offset + 6 <= 4096; offset += 8)
		stale += write_and_call(page + offset, offset) != offset;
	for (int offset = 0; offset + 6 <= 4096; offset += 8)
		stale += write_and_call(page + offset, ~offset) != ~offset;
	answer("platform.new_code.stale", "%d", stale);
	munmap(page, 4096);
}

static const char *written(int fd, const void *from)
{
	return write(fd, from, 1) == 1 ? "runs" : errno == EFAULT ? "EFAULT" : "other";
}

static const char *read_in(int fd, void *to)
{
	return read(fd, to, 1) == 1 ? "runs" : errno == EFAULT ? "EFAULT" : "other";
}

static void ask_keys(void)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = syscall(SYS_pkey_alloc, 0, 0), pipes[2];
	uint32_t pkru, no_access = 1U << (2 * key), no_write = 2U << (2 * key);

	if (key < 1 || pipe(pipes) || syscall(SYS_pkey_mprotect, page, 4096UL, 3, key)) {
		answer("platform.keys", "unusable");
		return;
	}
	page[0] = 1;
	asm volatile("rdpkru" : "=a"(pkru) : "c"(0) : "edx");
#define SET(value) asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory")
	SET(pkru | no_access);
	answer("platform.keys.no_access.user_read", "%s", TRY((void)*(volatile uint8_t *)page));
	SET(pkru | no_access);
	answer("platform.keys.no_access.kernel_read", "%s", written(pipes[1], page));
	SET(pkru | no_write);
	answer("platform.keys.no_write.user_read", "%s", TRY((void)*(volatile uint8_t *)page));
	SET(pkru | no_write);
	answer("platform.keys.no_write.user_write", "%s", TRY(*(volatile uint8_t *)page = 2));
	SET(pkru | no_write);
	answer("platform.keys.no_write.kernel_read", "%s", written(pipes[1], page));
	answer("platform.keys.no_write.kernel_write", "%s", read_in(pipes[0], page));
	SET(pkru);
	answer("platform.keys.free.kernel_write", "%s", (written(pipes[1], "x"), read_in(pipes[0], page)));
	close(pipes[0]);
	close(pipes[1]);
	munmap(page, 4096);
	syscall(SYS_pkey_free, key);
}

void ask_platform(void)
{
	ask_code();
	ask_keys();
}
