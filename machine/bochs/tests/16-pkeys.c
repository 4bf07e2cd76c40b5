// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Protection Keys: PKRU is for the data of user pages, at any CPL; supervisor pages do
 * not obey it.
 */
#include "test.h"

#define KEY	3UL
#define NO_ACCESS	(1 << 2 * KEY)
#define NO_WRITE	(2 << 2 * KEY)

static void wrpkru(u32 value)
{
	asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

#define READ(page)	TRY("movb (%0), %%al", "r"(WINDOW + 4096 * (page)) : "rax", "memory")
#define STORE(page)	TRY("movb $1, (%0)", "r"(WINDOW + 4096 * (page)) : "memory")

void test(void)
{
	write_cr4(read_cr4() | CR4_PKE);
	map(0, PRESENT | WRITE | USER | KEY << 59);
	map(1, PRESENT | WRITE | KEY << 59);

	wrpkru(0);
	raises("free: read of a user page in ring 0", READ(0), NOTHING);
	raises("free: store to a user page in ring 0", STORE(0), NOTHING);
	wrpkru(NO_ACCESS);
	raises("no access: read of a user page in ring 0", READ(0), PF);
	is("no access: error code", trap.error, 0x21);
	raises("no access: store to a user page in ring 0", STORE(0), PF);
	raises("no access: read of a supervisor page", READ(1), NOTHING);
	raises("no access: store to a supervisor page", STORE(1), NOTHING);
	wrpkru(NO_WRITE);
	raises("no write: read of a user page in ring 0", READ(0), NOTHING);
	raises("no write: store to a user page in ring 0", STORE(0), PF);
	raises("no write: store to a supervisor page", STORE(1), NOTHING);
	/* the same without what the TLB knows */
	map(0, PRESENT | WRITE | USER | KEY << 59);
	map(1, PRESENT | WRITE | KEY << 59);
	raises("no write: store to a user page, not in the TLB", STORE(0), PF);
	raises("no write: store to a supervisor page, not in the TLB", STORE(1), NOTHING);
}
