/* SPDX-License-Identifier: GPL-2.0 */
/* Slow pages: a task that touches one sleeps until it is supplied (userfaultfd). */
#ifndef XFD_TEST_SLOW_H
#define XFD_TEST_SLOW_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL

static int slow_faults = -1;

static inline bool slow_begin(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	/* poll() works only if it is non-blocking. */
	slow_faults = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return slow_faults >= 0 && !ioctl(slow_faults, UFFDIO_API, &api);
}

/* From here on these pages are missing. */
static inline bool slow_make(void *start, size_t size)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)start, size }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return !madvise(start, size, MADV_DONTNEED) && !ioctl(slow_faults, UFFDIO_REGISTER, &range);
}

/* Waits until a task sleeps on a page, and returns the page; NULL if none does within @ms milliseconds. */
static inline void *slow_wanted_within(int ms)
{
	struct pollfd faults = { .fd = slow_faults, .events = POLLIN };
	struct uffd_msg message;

	if (poll(&faults, 1, ms) != 1)
		return NULL;
	if (read(slow_faults, &message, sizeof(message)) != sizeof(message))
		return NULL;
	return (void *)(uintptr_t)(message.arg.pagefault.address & -PAGE);
}

/* NULL means that no task is going to. */
static inline void *slow_wanted(void)
{
	return slow_wanted_within(60 * 1000);
}

static inline bool slow_bring(void *page, const void *content)
{
	struct uffdio_copy copy = { .dst = (uintptr_t)page, .src = (uintptr_t)content, .len = PAGE };

	return !ioctl(slow_faults, UFFDIO_COPY, &copy);
}

#endif
