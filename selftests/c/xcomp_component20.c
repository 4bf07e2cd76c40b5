// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU with a state component unknown to Linux, the first beyond XFEATURE_MAX, which IA32_XFD can arm like
 * tile data. It stays off, cannot be requested, and tiles work as on any other CPU.
 */
#include "kselftest_harness.h"
#include "amx.h"
#include "answer.h"

#include <inttypes.h>
#include <stdio.h>

#define COMPONENT	20
#define HAS_XFD		BIT_ULL(2)

static bool enumerated(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid_count(0xd, 0, eax, ebx, ecx, edx);
	if (!(eax & BIT_ULL(COMPONENT)))
		return false;
	__cpuid_count(0xd, COMPONENT, eax, ebx, ecx, edx);
	return eax && ecx & HAS_XFD;
}

FIXTURE(component20)
{
};

FIXTURE_SETUP(component20)
{
	if (!enumerated())
		SKIP(return, "the CPU has no component 20 that XFD arms (CPUID.(DH,20))");
}

FIXTURE_TEARDOWN(component20)
{
}

TEST_F(component20, is_off)
{
	EXPECT_EQ(0, xgetbv0() & BIT_ULL(COMPONENT));
	for (int option = XCOMP_SUPP; option <= XCOMP_GUEST_PERM; option++)
		if (option != XCOMP_REQ_PERM)
			EXPECT_EQ(0, xcomp_mask(option) & ~(BIT_ULL(XFEATURE_MAX) - 1));
}

/* Requests all other numbers twice: before and after tiles are permitted. */
TEST_F(component20, no_request_is_for_it)
{
	static const int options[] = { XCOMP_REQ_PERM, XCOMP_REQ_GUEST_PERM };

	for (int round = 0; round < 2; round++) {
		for (int guest = 0; guest < 2; guest++) {
			for (int nr = 0; nr <= 64; nr++) {
				char name[48];
				long result;

				if (nr == TILE_DATA)
					continue;
				result = xcomp(options[guest], nr);
				EXPECT_EQ(nr < XFEATURE_MAX ? -EOPNOTSUPP : -EINVAL, result);
				snprintf(name, sizeof(name), "component20.%s.%s.%d",
					 round ? "after" : "before", guest ? "guest" : "host", nr);
				if (nr >= TILE_CFG && nr <= COMPONENT + 1)
					answer(name, "%ld", result);
			}
		}
		ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	}
	EXPECT_EQ(0, xcomp_mask(XCOMP_PERM) & BIT_ULL(COMPONENT));
}

TEST_F(component20, tiles_are_used)
{
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	tiles_configure();
	tilezero0();
	EXPECT_EQ(BIT_ULL(TILE_CFG) | BIT_ULL(TILE_DATA), in_use() & ~(BIT_ULL(TILE_CFG) - 1));
}

TEST_HARNESS_MAIN
