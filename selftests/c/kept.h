/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Acts like a user-space scheduler: the handler saves the register contents from its signal frame, or writes saved
 * ones into it. The kernel's own description of the frame, bytes 464 to 511, is left alone.
 */
#ifndef XFD_TEST_KEPT_H
#define XFD_TEST_KEPT_H

#include "frame.h"

struct kept {
	uint32_t size;			/* bytes of state, followed by magic2 */
	uint8_t area[16384];
};

static inline void kept_from(struct kept *kept, const uint8_t *area)
{
	kept->size = get32(area, AT_XSTATE_SIZE);
	memcpy(kept->area, area, kept->size + 4);
}

static inline void kept_into(const struct kept *kept, uint8_t *area)
{
	uint32_t room = get32(area, AT_XSTATE_SIZE);

	if (room > kept->size)
		room = kept->size;
	memcpy(area, kept->area, SW_BYTES);
	memcpy(area + AT_XSTATE_BV, kept->area + AT_XSTATE_BV, room - AT_XSTATE_BV);
}

/* The whole frame, as a C library's swapcontext() does. */
static inline void kept_whole_into(const struct kept *kept, uint8_t *area)
{
	memcpy(area, kept->area, kept->size + 4);
}

/* Tiles that were never in a frame. */
static inline void made_up_into(const struct tiles *tiles, uint8_t *area)
{
	struct tilecfg cfg = tilecfg_full();

	memcpy(area + xsave_offset(TILE_CFG), &cfg, sizeof(cfg));
	memcpy(area + xsave_offset(TILE_DATA), tiles, sizeof(*tiles));
	put64(area, AT_XSTATE_BV, get64(area, AT_XSTATE_BV) | TILE_BITS);
}

#endif
