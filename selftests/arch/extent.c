// SPDX-License-Identifier: GPL-2.0
/*
 * How far the XSAVE family reaches: the smallest number of bytes, in steps of 64, that must be accessible for
 * the instruction to run. The SDM says what is loaded and stored (vol. 1, 13.7 to 13.10), not what is checked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

#define SPACE	(4 * 4096)	/* bytes; a larger extent is reported as this */
#define GUARD	(4 * 4096)	/* inaccessible bytes after that */
#define HEADER	(X87 | SSE | AVX | OPMASK)

typedef void (*instruction)(void *area, uint64_t rfbm);

static uint8_t *space;

/* The register contents and, for XRSTOR, the area's header. */
struct state {
	uint64_t live;		/* which of TILES are in use before the instruction */
	uint64_t xstate_bv, xcomp_bv;
};

static void set_tiles(uint64_t live)
{
	struct tile_config cfg = uniform(16, 64);

	if (!live) {
		tilerelease();
		return;
	}
	ldtilecfg(&cfg);
	if (live & TILEDATA)
		tilezero(0);
}

static uint8_t *area_of(unsigned int bytes, const struct state *s)
{
	struct tile_config cfg = uniform(16, 64);
	uint8_t *at = space + SPACE - bytes;
	unsigned int at_cfg = s->xcomp_bv ? EXTENDED : component_offset(TILECFG_BIT);
	uint32_t mxcsr = 0x1f80;

	memset(at, 0, bytes);
	memcpy(at + 24, &mxcsr, sizeof(mxcsr));
	set64(at, XSTATE_BV, s->xstate_bv);
	set64(at, XCOMP_BV, s->xcomp_bv);
	if ((s->xstate_bv & TILECFG) && bytes >= at_cfg + sizeof(cfg))
		memcpy(at + at_cfg, &cfg, sizeof(cfg));
	return at;
}

static bool runs_with(unsigned int bytes, instruction run, uint64_t rfbm, const struct state *s)
{
	uint8_t *at = area_of(bytes, s);

	TRY(set_tiles(s->live); run(at, rfbm));
	return !fault.signal;
}

/* Searches from the end of the header, which they all access. */
static unsigned int least(instruction run, uint64_t rfbm, const struct state *s)
{
	unsigned int fails = EXTENDED - 64, runs = SPACE;

	while (runs - fails > 64) {
		unsigned int middle = fails + (runs - fails) / 128 * 64;

		if (runs_with(middle, run, rfbm, s))
			runs = middle;
		else
			fails = middle;
	}
	return runs;
}

static void ask(const char *name, instruction run, uint64_t rfbm, struct state s)
{
	answer(name, "%u", least(run, rfbm, &s));
}

static void ask_saves(void)
{
	const struct state initial = {}, configured = { .live = TILECFG }, live = { .live = TILES };

	ask("extent.xsave.live", xsave, TILES, live);
	ask("extent.xsave.initial", xsave, TILES, initial);
	ask("extent.xsave.config", xsave, TILECFG, live);
	ask("extent.xsave.others", xsave, HEADER, live);
	ask("extent.xsaveopt.live", xsaveopt, TILES, live);
	ask("extent.xsaveopt.configured", xsaveopt, TILES, configured);
	ask("extent.xsaveopt.initial", xsaveopt, TILES, initial);
	ask("extent.xsavec.live", xsavec, TILES, live);
	ask("extent.xsavec.configured", xsavec, TILES, configured);
	ask("extent.xsavec.initial", xsavec, TILES, initial);
	ask("extent.xsavec.after_pkru", xsavec, TILES | PKRU, live);
}

static void ask_standard(void)
{
	ask("extent.xrstor.both", xrstor, TILES, (struct state){ .xstate_bv = TILES });
	ask("extent.xrstor.data_initial", xrstor, TILES, (struct state){ .xstate_bv = TILECFG });
	ask("extent.xrstor.config_initial", xrstor, TILES, (struct state){ .xstate_bv = TILEDATA });
	ask("extent.xrstor.initial", xrstor, TILES, (struct state){});
	ask("extent.xrstor.initial_over_live", xrstor, TILES, (struct state){ .live = TILES });
	ask("extent.xrstor.data_not_asked", xrstor, TILECFG, (struct state){ .xstate_bv = TILES });
	ask("extent.xrstor.others_initial", xrstor, HEADER, (struct state){});
	ask("extent.xrstor.nothing", xrstor, 0, (struct state){});
}

static void ask_compact(void)
{
	const uint64_t format = COMPACTED | TILES;

	ask("extent.xrstor.compacted.both", xrstor, TILES,
	    (struct state){ .xcomp_bv = format, .xstate_bv = TILES });
	ask("extent.xrstor.compacted.data_initial", xrstor, TILES,
	    (struct state){ .xcomp_bv = format, .xstate_bv = TILECFG });
	ask("extent.xrstor.compacted.initial", xrstor, TILES, (struct state){ .xcomp_bv = format });
	ask("extent.xrstor.compacted.data_not_asked", xrstor, TILECFG,
	    (struct state){ .xcomp_bv = format, .xstate_bv = TILES });
	ask("extent.xrstor.compacted.data_not_in_format", xrstor, TILES,
	    (struct state){ .xcomp_bv = COMPACTED | TILECFG, .xstate_bv = TILECFG });
}

/* What is reported when only @bytes are accessible. The address is relative to the first inaccessible byte. */
static void ask_failure(const char *name, unsigned int bytes, instruction run, struct state s)
{
	if (runs_with(bytes, run, TILES, &s))
		answer(name, "runs");
	else
		answer(name, "%s,%s,%ld", fault_name(), tiles_in(fault.xstate_bv),
		       (long)(fault.addr - (uint64_t)(space + SPACE)));
}

static void ask_failures(void)
{
	const struct state both = { .xstate_bv = TILES }, over = { .live = TILES, .xstate_bv = TILECFG };
	const struct state live = { .live = TILES }, initial = {};
	unsigned int in_data = component_offset(TILEDATA_BIT) + TILE_BYTES;

	ask_failure("extent.failed.xrstor", in_data, xrstor, both);
	ask_failure("extent.failed.xrstor.data_initial", in_data, xrstor, over);
	ask_failure("extent.failed.xrstor.before_config", EXTENDED, xrstor, both);
	ask_failure("extent.failed.xsave", in_data, xsave, live);
	ask_failure("extent.failed.xsave.before_config", EXTENDED, xsave, live);
	ask_failure("extent.failed.xsavec", EXTENDED, xsavec, live);
	mprotect(space + SPACE, GUARD, PROT_READ);
	ask_failure("extent.read_only.xsave", in_data, xsave, live);
	ask_failure("extent.read_only.xsaveopt.initial", in_data, xsaveopt, initial);
	ask_failure("extent.read_only.xsavec.initial", EXTENDED, xsavec, initial);
	ask_failure("extent.read_only.xrstor", in_data, xrstor, (struct state){});
	mprotect(space + SPACE, GUARD, PROT_NONE);
}

static void open_space(void)
{
	space = mmap(NULL, SPACE + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (space == MAP_FAILED || mprotect(space + SPACE, GUARD, PROT_NONE)) {
		printf("Bail out! no memory: %s\n", strerror(errno));
		exit(1);
	}
}

static void close_space(void)
{
	munmap(space, SPACE + GUARD);
	tilerelease();
}

void ask_extent_armed(void)
{
	const struct state initial = {};

	open_space();
	ask("extent.armed.xsave", xsave, TILES, initial);
	ask("extent.armed.xsaveopt", xsaveopt, TILES, initial);
	ask("extent.armed.xsavec", xsavec, TILES, initial);
	ask("extent.armed.xrstor.initial", xrstor, TILES, initial);
	ask_failure("extent.armed.xrstor", EXTENDED, xrstor, (struct state){ .xstate_bv = TILEDATA });
	close_space();
}

void ask_extent(void)
{
	open_space();
	ask_saves();
	ask_standard();
	ask_compact();
	ask_failures();
	close_space();
}
