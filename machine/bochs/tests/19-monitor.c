// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, MONITOR and MWAIT: a store to the monitored line ends the wait, whatever the storing
 * CPU did with the line before. MONITOR itself ends nobody's wait.
 *
 * cpu: count=2
 */
#include "test.h"

#define LINE	((volatile u32 *)window_memory)		/* also at WINDOW */

static volatile u32 waits, wakes;

static void monitor(volatile void *at)
{
	asm volatile("monitor" : : "a"(at), "c"(0), "d"(0) : "memory");
}

void other_cpu(void)
{
	for (;;) {
		monitor(LINE);
		if (*LINE)
			break;
		waits++;
		asm volatile("mwait" : : "a"(0), "c"(0) : "memory");
		wakes++;
	}
	for (;;)
		asm volatile("cli; hlt");
}

static void give_it_time(void)
{
	for (int i = 0; i < 10000; i++)
		asm volatile("pause");
}

void test(void)
{
	*(volatile u32 *)WINDOW = 0;
	*apic(APIC_SPURIOUS) = 0x1ff;
	*apic(APIC_ICR_LOW) = 0xc4500;		/* INIT and SIPI to all others */
	*apic(APIC_ICR_LOW) = 0xc46ff;
	for (int i = 0; i < 100 && !waits; i++)
		give_it_time();
	is("waits of the other CPU", waits, 1);
	give_it_time();
	monitor(window_memory + 4096);
	give_it_time();
	is("wake-ups by MONITOR on this CPU", wakes, 0);
	*(volatile u32 *)WINDOW = 1;
	give_it_time();
	is("wake-ups by a store", wakes, 1);
}
