/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An exact value by which two machines or two kernels can be compared, on a line of its own:
 * "# answer NAME VALUE". NAME consists of [a-z0-9_.]; VALUE is the same in each run: no address, no PID.
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
