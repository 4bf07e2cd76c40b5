// SPDX-License-Identifier: GPL-2.0
/* The list of answers, and the comparison with a recorded list. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"

#define MAX_ANSWERS 400

static struct {
	char name[64];
	char value[48];
} answers[MAX_ANSWERS];
static int count;

static int find(const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(answers[i].name, name))
			return i;
	return -1;
}

/* For an error in this program, not in the processor. */
static void bail_out(const char *why, const char *name)
{
	printf("Bail out! %s: %s\n", why, name);
	exit(1);
}

void answer(const char *name, const char *format, ...)
{
	va_list args;
	int len;

	if (count == MAX_ANSWERS || strlen(name) >= sizeof(answers[0].name))
		bail_out("no space for this answer", name);
	if (find(name) >= 0)
		bail_out("asked twice", name);
	strcpy(answers[count].name, name);
	va_start(args, format);
	len = vsnprintf(answers[count].value, sizeof(answers[0].value), format, args);
	va_end(args);
	if (len <= 0 || (size_t)len >= sizeof(answers[0].value) || strchr(answers[count].value, ' '))
		bail_out("not a word of at most 47 bytes", name);
	count++;
}

void print_answers(FILE *to)
{
	for (int i = 0; i < count; i++)
		fprintf(to, "%s %s\n", answers[i].name, answers[i].value);
}

/* Reads the next "name value" of a recording. Returns false at the end. */
static bool next_recorded(const char **at, char name[64], char value[48])
{
	while (**at) {
		size_t len = strcspn(*at, "\n");
		char line[256];

		snprintf(line, sizeof(line), "%.*s", (int)len, *at);
		*at += len + ((*at)[len] == '\n');
		line[strcspn(line, "#")] = '\0';
		/* '#' starts a comment, so exceptions are recorded without the '#'. */
		switch (sscanf(line, "%63s %47s", name, value)) {
		case 2:
			return true;
		case 1:
			bail_out("recorded answer has no value", name);
		}
	}
	return false;
}

bool compare_answers(const char *recorded)
{
	static bool expected[MAX_ANSWERS];
	int test = 0, failed = 0, missing = 0;
	char name[64], value[48];
	const char *at;

	for (at = recorded; next_recorded(&at, name, value); )
		missing += find(name) < 0;
	printf("TAP version 13\n1..%d\n", count + missing);
	for (at = recorded; next_recorded(&at, name, value); ) {
		int i = find(name);

		test++;
		if (i < 0) {
			printf("# recorded: %s, no answer here\nnot ok %d %s\n", value, test, name);
			failed++;
			continue;
		}
		if (expected[i])
			bail_out("recorded twice", name);
		expected[i] = true;
		if (strcmp(answers[i].value, value)) {
			printf("# recorded: %s, here: %s\nnot ok %d %s\n", value, answers[i].value, test, name);
			failed++;
		} else {
			printf("ok %d %s\n", test, name);
		}
	}
	for (int i = 0; i < count; i++) {
		if (expected[i])
			continue;
		printf("# not recorded, here: %s\nnot ok %d %s\n", answers[i].value, ++test, answers[i].name);
		failed++;
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:0 error:0\n", test - failed, failed);
	return !failed;
}
