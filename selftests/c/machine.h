/* SPDX-License-Identifier: GPL-2.0 */
/* Operations available to tests only in the emulated machine, and access to a CPU's MSRs. */
#ifndef XFD_TEST_MACHINE_H
#define XFD_TEST_MACHINE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The file through which the runner controls the guest. Only there may a test change settings. */
static inline bool in_the_machine(void)
{
	return !access("/job/settings", F_OK);
}

/* A single write, as /proc and /sys require. Sets errno on failure. */
static inline bool write_setting(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return written;
}

/* Reads the first line; empty on failure. */
static inline void read_setting(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[length < 0 ? 0 : length] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* Loads a module that the machine's kernel ships but does not load itself. Sets errno on failure. */
static inline bool load_module(const char *name)
{
	char path[64];
	int fd, error;
	bool loaded;

	snprintf(path, sizeof(path), "/lib/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	loaded = !syscall(SYS_finit_module, fd, "", 0) || errno == EEXIST;
	error = errno;
	close(fd);
	errno = error;
	return loaded;
}

#define IA32_XFD	0x1c4
#define NO_MSR		UINT64_MAX

/* An MSR of CPU @cpu; NO_MSR if it cannot be read because msr.ko is missing or we are not root. */
static inline uint64_t msr_of(int cpu, uint32_t msr)
{
	uint64_t value = NO_MSR;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && in_the_machine() && load_module("msr"))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NO_MSR;
	if (pread(fd, &value, sizeof(value), msr) != sizeof(value))
		value = NO_MSR;
	close(fd);
	return value;
}

#endif
