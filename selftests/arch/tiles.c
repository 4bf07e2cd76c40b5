// SPDX-License-Identifier: GPL-2.0
/* Memory shared by the test groups. */
#include "tiles.h"

uint8_t area[AREA_BYTES] __attribute__((aligned(64)));
uint8_t memory[TILES_BYTES] __attribute__((aligned(64)));

/* Next number from a linear congruential generator. */
static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 24;
}

void fill_pattern(void *at, unsigned int bytes, uint32_t seed)
{
	uint8_t *byte = at;

	while (bytes--)
		*byte++ = next(&seed);
}

const char *contents(const void *at, unsigned int bytes, uint32_t seed)
{
	const uint8_t *byte = at;
	int zero = 1, untouched = 1, pattern = 1;

	for (unsigned int i = 0; i < bytes; i++) {
		zero &= byte[i] == 0;
		untouched &= byte[i] == 0xaa;
		pattern &= byte[i] == next(&seed);
	}
	return zero ? "zero" : untouched ? "untouched" : pattern ? "pattern" : "other";
}
