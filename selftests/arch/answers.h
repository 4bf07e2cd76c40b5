/* SPDX-License-Identifier: GPL-2.0 */
/* The answers that a processor gives, one name and one word each. */
#ifndef XARCH_ANSWERS_H
#define XARCH_ANSWERS_H

#include <stdbool.h>
#include <stdio.h>

/* Notes an answer: @name has no spaces and is new; the formatted value is one word of at most 47 bytes. */
void answer(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints all answers noted so far, "name value" each. */
void print_answers(FILE *to);

/*
 * Compares all answers with @recorded (lines "name value", '#' begins a comment) and prints the
 * result as KTAP. True if every answer is the recorded one and no recorded one is missing.
 */
bool compare_answers(const char *recorded);

/* The questions, in the order in which they must be asked. */
void ask_cpuid(void);		/* what CPUID says about tiles and XSAVE */
void ask_armed(void);		/* without permission: XFD[18] is 1 */
void ask_extent_armed(void);	/* how much memory the XSAVE family looks at */
void ask_encoding(void);	/* from here on with permission: forms that are no instructions */
void ask_config(void);		/* LDTILECFG, STTILECFG */
void ask_in_use(void);		/* XGETBV(1) */
void ask_memory(void);		/* addresses, strides, start_row */
void ask_dots(void);		/* dot products of bytes and of bfloat16 */
void ask_xsave(void);		/* the standard format */
void ask_compacted(void);	/* the compacted format */
void ask_extent(void);
void ask_mxcsr(void);
void ask_platform(void);	/* beside tiles: what the kernel and its patching rest on */

#endif
