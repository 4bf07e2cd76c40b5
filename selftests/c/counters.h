/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's counters, /sys/kernel/debug/xfd. The test runner sets XFD_MODULE=1 when the module
 * is loaded; otherwise there is nothing to compare.
 */
#ifndef XFD_TEST_COUNTERS_H
#define XFD_TEST_COUNTERS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XFD_COUNTERS "/sys/kernel/debug/xfd/"
#define XFD_PARAMETERS "/sys/module/xfd/parameters/"

struct counters {
	long first_uses, denied, failed_allocations, in_flight, repeated;
};

static inline bool xfd_module(void)
{
	const char *set = getenv("XFD_MODULE");

	return set && !strcmp(set, "1");
}

/* Returns -1 if it cannot be read; counters are never negative. */
static inline long number_in(const char *folder, const char *name)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static inline bool number_set(const char *folder, const char *name, long value)
{
	char path[128];
	FILE *file;
	bool done;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	file = fopen(path, "w");
	if (!file)
		return false;
	done = fprintf(file, "%ld\n", value) > 0;
	return !fclose(file) && done;
}

static inline long counter(const char *name)
{
	return number_in(XFD_COUNTERS, name);
}

/* Returns -1 if the parameter does not exist. */
static inline long parameter(const char *name)
{
	return number_in(XFD_PARAMETERS, name);
}

static inline bool parameter_set(const char *name, long value)
{
	return number_set(XFD_PARAMETERS, name, value);
}

/* Only the module counts the threads in it: nobody waits for those in a kernel into which the code is built. */
static inline long in_flight(void)
{
	return access("/sys/kernel/livepatch/xfd", F_OK) ? 0 : counter("in_flight");
}

static inline struct counters counters_now(void)
{
	return (struct counters) {
		.first_uses = counter("first_uses"),
		.denied = counter("denied"),
		.failed_allocations = counter("failed_allocations"),
		.in_flight = in_flight(),
		.repeated = counter("repeated"),
	};
}

/*
 * Since @before, exactly @uses first uses were served and @denials refused; none was served twice,
 * none failed, and no thread is still in the handler.
 */
#define EXPECT_COUNTED(before, uses, denials)					\
	do {									\
		struct counters _now = counters_now();				\
										\
		if (!xfd_module())						\
			break;							\
		ASSERT_LE(0, (before).first_uses)				\
			TH_LOG("no " XFD_COUNTERS "first_uses, though XFD_MODULE=1"); \
		EXPECT_EQ((uses), _now.first_uses - (before).first_uses);	\
		EXPECT_EQ((denials), _now.denied - (before).denied);		\
		EXPECT_EQ((before).failed_allocations, _now.failed_allocations); \
		EXPECT_EQ(0, _now.in_flight);					\
		EXPECT_EQ(0, _now.repeated);					\
	} while (0)

#endif
