// SPDX-License-Identifier: GPL-2.0
/* XGETBV(1): which of the two components are in use. */
#include <string.h>
#include <sys/mman.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

static void note(const char *name)
{
	answer(name, "%s", tiles_in(xgetbv(1)));
}

void ask_in_use(void)
{
	struct tile_config cfg = uniform(16, 64), none = {};
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 0, sizeof(memory));
	tilerelease();
	note("in_use.tilerelease");
	ldtilecfg(&cfg);
	note("in_use.ldtilecfg");
	tilezero(3);
	note("in_use.tilezero");
	ldtilecfg(&cfg);
	note("in_use.ldtilecfg.again");
	tileloadd(5, memory, 64);
	note("in_use.tileloadd.zeros");
	tilerelease();
	note("in_use.tilerelease.again");
	ldtilecfg(&cfg);
	tdp(tdpbssd, 0, 1, 2);
	note("in_use.tdpbssd.zeros");
	ldtilecfg(&none);
	note("in_use.ldtilecfg.palette0");

	/* The signal frame shows what was in use when the exception was raised. */
	mprotect(page + 4096, 4096, PROT_NONE);
	TRY(ldtilecfg(&cfg); tileloadd(0, page + 4096, 64));
	answer("in_use.page_fault.row0", "%s,%s,start_row=%d", fault_name(), tiles_in(fault.xstate_bv),
	       fault.tilecfg[1]);
	TRY(ldtilecfg(&cfg); tileloadd(0, page + 4096 - 3 * 64, 64));
	answer("in_use.page_fault.row3", "%s,%s,start_row=%d", fault_name(), tiles_in(fault.xstate_bv),
	       fault.tilecfg[1]);
	munmap(page, 8192);
	tilerelease();
}
