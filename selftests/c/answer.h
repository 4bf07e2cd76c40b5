/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An exact value for comparing two machines or two kernels, on a line by itself: "# answer NAME VALUE".
 * NAME consists of [a-z0-9_.]; VALUE is the same in every run: no address, no PID.
 */
#ifndef XFD_TEST_ANSWER_H
#define XFD_TEST_ANSWER_H

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3)))
static inline void answer(const char *name, const char *format, ...)
{
	va_list values;

	printf("# answer %s ", name);
	va_start(values, format);
	vprintf(format, values);
	va_end(values);
	putchar('\n');
	fflush(stdout);
}

#endif
