/* SPDX-License-Identifier: GPL-2.0 */
/* The processor's answers: one name and one word each. */
#ifndef XARCH_ANSWERS_H
#define XARCH_ANSWERS_H

#include <stdbool.h>
#include <stdio.h>

/* Records an answer. @name must be unique and without spaces; the value is one word of at most 47 bytes. */
void answer(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints all answers recorded so far, one "name value" per line. */
void print_answers(FILE *to);

/*
 * Compares all answers with @recorded (lines of "name value", '#' starts a comment) and prints the
 * result as KTAP. Returns true if all match and none is missing.
 */
bool compare_answers(const char *recorded);

/* The questions, in the order in which they must be asked. */
void ask_cpuid(void);		/* what CPUID reports about tiles and XSAVE */
void ask_armed(void);		/* without permission, with XFD[18] set */
void ask_extent_armed(void);	/* how much memory the XSAVE family accesses */
void ask_encoding(void);	/* from here on with permission: invalid encodings */
void ask_config(void);		/* LDTILECFG, STTILECFG */
void ask_in_use(void);		/* XGETBV(1) */
void ask_memory(void);		/* addresses, strides, start_row */
void ask_dots(void);		/* dot products of bytes and of bfloat16 */
void ask_xsave(void);		/* the standard format */
void ask_compacted(void);	/* the compacted format */
void ask_extent(void);
void ask_mxcsr(void);
void ask_platform(void);	/* not tiles: what the kernel and code patching rely on */

#endif
