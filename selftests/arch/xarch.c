// SPDX-License-Identifier: GPL-2.0
/*
 * xarch: observes the architecture of AMX and XFD from user space and compares it with what was
 * recorded for the processor (answers/FAMILY-MODEL.txt, built in).
 *
 *   xarch                  compare; KTAP on stdout
 *   xarch --record         print the answers of this processor in the form of such a file
 *   xarch --answers FILE   compare with FILE
 *
 * Exit status: 0 equal, 1 not, 2 wrong use, 4 skipped, with one line that says why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

#define SKIPPED 4

/* uapi/asm/prctl.h */
#define GET_XCOMP_SUPP 0x1021
#define REQ_XCOMP_PERM 0x1023

/* Made by the Makefile from answers/: name without ".txt", and contents. */
extern const struct recording {
	const char *cpu;
	const char *text;
} recordings[];

static char cpu[16];		/* family-model in hexadecimal, as in 06-8f */
static unsigned int stepping;
static char brand[49];

static void identify(void)
{
	uint32_t a, b, c, d, family, model;

	__cpuid(1, a, b, c, d);
	family = a >> 8 & 15;
	model = (a >> 4 & 15) | (a >> 12 & 0xf0);
	if (family == 15)
		family += a >> 20 & 255;
	stepping = a & 15;
	snprintf(cpu, sizeof(cpu), "%02x-%02x", family, model);
	for (uint32_t i = 0; i < 3; i++) {
		__cpuid(0x80000002 + i, a, b, c, d);
		memcpy(brand + 16 * i, (uint32_t[]){ a, b, c, d }, 16);
	}
}

static int skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return SKIPPED;
}

/* Why tiles cannot be used here; NULL if they can. */
static const char *unusable(void)
{
	uint32_t a, b, c, d;
	uint64_t supported = 0;

	__cpuid_count(7, 0, a, b, c, d);
	if (!(d >> 24 & 1))
		return "the processor has no AMX (CPUID.7.0:EDX[24] is 0)";
	if (syscall(SYS_arch_prctl, GET_XCOMP_SUPP, &supported) || !(supported & TILEDATA))
		return "the kernel does not support AMX (ARCH_GET_XCOMP_SUPP lacks bit 18)";
	return NULL;
}

static void ask_all(void)
{
	ask_cpuid();
	ask_armed();
	ask_extent_armed();
	if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILEDATA_BIT)) {
		printf("Bail out! ARCH_REQ_XCOMP_PERM(18): %s\n", strerror(errno));
		exit(1);
	}
	ask_encoding();
	ask_config();
	ask_in_use();
	ask_memory();
	ask_dots();
	ask_xsave();
	ask_compacted();
	ask_extent();
	ask_mxcsr();
	ask_platform();
}

static void record(void)
{
	struct utsname kernel;

	uname(&kernel);
	printf("# SPDX-License-Identifier: GPL-2.0\n# %s, family-model %s, stepping %u; %s %s\n"
	       "# All answers: seen on this processor, recorded by xarch --record.\n",
	       brand, cpu, stepping, kernel.sysname, kernel.release);
	print_answers(stdout);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (!file || !text || (fread(text, 1, (1 << 20) - 1, file), ferror(file))) {
		fprintf(stderr, "xarch: cannot read the answers in %s: %s\n", path, strerror(errno));
		exit(2);
	}
	fclose(file);
	return text;
}

int main(int argc, char **argv)
{
	const char *recorded = NULL, *why = unusable();
	static char missing[160];

	setvbuf(stdout, NULL, _IOLBF, 0);
	identify();
	if (argc == 3 && !strcmp(argv[1], "--answers")) {
		recorded = read_file(argv[2]);
	} else if (argc != 1 && !(argc == 2 && !strcmp(argv[1], "--record"))) {
		fprintf(stderr, "usage: xarch [--record | --answers FILE]\n");
		return 2;
	}
	if (why)
		return skip(why);
	if (argc == 1) {
		for (const struct recording *r = recordings; r->cpu; r++)
			if (!strcmp(r->cpu, cpu))
				recorded = r->text;
		snprintf(missing, sizeof(missing), "no answers recorded for family-model %s (%s); xarch --record makes them",
			 cpu, brand);
		if (!recorded)
			return skip(missing);
	}
	catch_faults();
	ask_all();
	if (!recorded) {
		record();
		return 0;
	}
	return compare_answers(recorded) ? 0 : 1;
}
