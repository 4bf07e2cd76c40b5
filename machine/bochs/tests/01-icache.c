// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Self-Modifying Code: a store to code is seen by the next fetch, also with tiles
 * enabled.
 */
#include "tiles.h"

/* Writes "mov $value, %eax; ret" and calls it. */
static u32 write_and_call(volatile u8 *at, u32 value)
{
	at[0] = 0xb8;
	for (int i = 0; i < 4; i++)
		at[1 + i] = value >> 8 * i;
	at[5] = 0xc3;
	return ((u32 (*)(void))at)();
}

void test(void)
{
	u32 stale = 0;

	xsetbv(ALL);
	for (u32 offset = 0; offset + 6 <= 4096; offset += 8)
		stale += write_and_call(WINDOW + offset, offset) != offset;
	for (u32 offset = 0; offset + 6 <= 4096; offset += 8)
		stale += write_and_call(WINDOW + offset, ~offset) != ~offset;
	is("calls that ran the code of before", stale, 0);
}
