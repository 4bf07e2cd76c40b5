/* SPDX-License-Identifier: GPL-2.0 */
/* A uprobe on an instruction in this program, set through tracefs; only in the machine. */
#ifndef XFD_TEST_UPROBE_H
#define XFD_TEST_UPROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

#define TRACING		"/sys/kernel/tracing/"
#define UPROBE		"xfd_test/probed"

/* The file offset of the code at @address; -1 if it is not file-backed. */
static inline long file_offset(const void *address)
{
	unsigned long start, end, offset;
	long found = -1;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    (unsigned long)address >= start && (unsigned long)address < end)
			found = (unsigned long)address - start + offset;
	if (maps)
		fclose(maps);
	return found;
}

/* Avoids stdio, which would first seek to the end of the file. */
static inline bool append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, line, strlen(line)) == strlen(line);

	if (fd >= 0)
		close(fd);
	return done;
}

static inline bool uprobe_set(const void *address)
{
	char path[200], line[300];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length < 0)
		return false;
	path[length] = '\0';
	snprintf(line, sizeof(line), "p:" UPROBE " %s:%#lx\n", path, file_offset(address));
	return append(TRACING "uprobe_events", line) &&
	       write_setting(TRACING "events/" UPROBE "/enable", "1");
}

static inline bool uprobe_remove(void)
{
	return write_setting(TRACING "events/" UPROBE "/enable", "0") &&
	       append(TRACING "uprobe_events", "-:" UPROBE "\n");
}

/* Number of hits; -1 if the uprobe does not exist. */
static inline long uprobe_hits(void)
{
	char line[512], name[64];
	long hits = -1, of_line;
	FILE *profile = fopen(TRACING "uprobe_profile", "r");

	while (profile && fgets(line, sizeof(line), profile))
		if (sscanf(line, "%*s %63s %ld", name, &of_line) == 2 && !strcmp(name, "probed"))
			hits = of_line;
	if (profile)
		fclose(profile);
	return hits;
}

#endif
