// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, FRED Event Delivery: events in ring 0. The event data of an #NM that XFD raised is
 * what IA32_XFD_ERR got.
 *
 * cpu: add_features="fred"
 */
#include "tiles.h"

struct {
	u64 error, rip, cs, rflags, rsp, ss, data, zero;
} event;
u64 events;
static struct tile_config config;

/*
 * An event in ring 0 enters 256 bytes above the page in IA32_FRED_CONFIG. It ends by ERETS, behind
 * the instruction.
 */
asm(".pushsection .text\n\t"
    ".balign 4096\n"
    "entry:\t.skip 256, 0xcc\n\t"
    "push %rsi; push %rdi; push %rcx\n\t"
    "lea 24(%rsp), %rsi\n\t"
    "mov $event, %edi\n\t"
    "mov $8, %ecx\n\t"
    "rep movsq\n\t"
    "mov resume, %rcx\n\t"
    "mov %rcx, 24+8(%rsp)\n\t"
    "incq events\n\t"
    "pop %rcx; pop %rdi; pop %rsi\n\t"
    ".byte 0xf2, 0x0f, 0x01, 0xca\n"	/* ERETS */
    ".popsection");
extern u8 entry[];

static void came(const char *what, u64 vector, u64 data)
{
	is(what, events, 1);
	is("its vector and type (hardware exception)", event.ss >> 32 & 0xf00ff, 3 << 16 | vector);
	is("its event data", event.data, data);
	events = 0;
}

void test(void)
{
	u64 cr0;

	is("CPUID.(7,1):EAX, FRED and LKGS", cpuid(7, 1).eax >> 17 & 3, 3);
	xsetbv(ALL);
	config = all_tiles(16, 64);
	ldtilecfg(&config);
	wrmsr(IA32_FRED_CONFIG, (u64)entry);
	write_cr4(read_cr4() | 1UL << 32);
	is("CR4.FRED", read_cr4() >> 32, 1);

	wrmsr(IA32_XFD, TILEDATA);
	(void)TRY("tilezero %%tmm0", "i"(0) : "memory");
	came("#NM by XFD", NM, TILEDATA);
	is("IA32_XFD_ERR", rdmsr(IA32_XFD_ERR), TILEDATA);
	wrmsr(IA32_XFD, 0);
	wrmsr(IA32_XFD_ERR, 0);

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	asm volatile("mov %0, %%cr0" : : "r"(cr0 | 8));
	(void)TRY("fnop", "i"(0) : "memory");
	came("#NM by CR0.TS", NM, 0);
	asm volatile("clts");

	map(5, 0);
	(void)TRY("movb $0, (%0)", "r"(WINDOW + 5 * 4096 + 7) : "memory");
	came("#PF", PF, (u64)WINDOW + 5 * 4096 + 7);
}
