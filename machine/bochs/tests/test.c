// SPDX-License-Identifier: GPL-2.0
/*
 * Starts a test, receives its exceptions, and prints its result: to port E9H, which Bochs copies
 * to its output.
 */
#include "test.h"

extern u8 stubs[];

struct trap trap;
u64 resume;
u64 window_table[512] __attribute__((aligned(4096)));
u8 window_memory[WINDOW_PAGES * 4096] __attribute__((aligned(4096)));
static u64 window_directory[512] __attribute__((aligned(4096)));
static u64 window_pointers[512] __attribute__((aligned(4096)));
static u64 idt[512] __attribute__((aligned(16)));
struct descriptor_table idtr = { sizeof(idt) - 1, (u64)idt };

/* GCC calls these even in a freestanding program. */
void *memset(void *to, int byte, u64 n)
{
	for (u64 i = 0; i < n; i++)
		((volatile u8 *)to)[i] = byte;
	return to;
}

void *memcpy(void *to, const void *from, u64 n)
{
	for (u64 i = 0; i < n; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
	return to;
}

int memcmp(const void *a, const void *b, u64 n)
{
	for (u64 i = 0; i < n; i++)
		if (((const u8 *)a)[i] != ((const u8 *)b)[i])
			return 1;
	return 0;
}

static void print(const char *text)
{
	while (*text)
		outb(0xe9, *text++);
}

static void print_number(u64 value)
{
	int shift = 60;

	print("0x");
	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		outb(0xe9, "0123456789abcdef"[value >> shift & 15]);
}

static void print_vector(int vector)
{
	static const char *const names[] = { [DB] = "#DB", [UD] = "#UD", [NM] = "#NM", [GP] = "#GP", [PF] = "#PF" };

	if (vector == NOTHING)
		print("no exception");
	else if (vector < (int)(sizeof(names) / sizeof(*names)) && names[vector])
		print(names[vector]);
	else {
		print("vector ");
		print_number(vector);
	}
}

static __attribute__((noreturn)) void power_off(void)
{
	for (const char *c = "Shutdown"; *c; c++)
		outb(0x8900, *c);
	for (;;)
		asm volatile("cli; hlt");
}

void fail(const char *what)
{
	print("FAIL ");
	print(what);
	print("\n");
	power_off();
}

void is(const char *what, u64 got, u64 want)
{
	if (got == want)
		return;
	print("FAIL ");
	print(what);
	print(": ");
	print_number(got);
	print(", expected ");
	print_number(want);
	print("\n");
	power_off();
}

void raises(const char *what, int got, int want)
{
	if (got == want)
		return;
	print("FAIL ");
	print(what);
	print(": ");
	print_vector(got);
	print(", expected ");
	print_vector(want);
	print("\n");
	power_off();
}

__attribute__((weak)) void on_interrupt(struct frame *frame)
{
	print("FAIL unexpected ");
	print_vector(frame->vector);
	print(" at ");
	print_number(frame->rip);
	print("\n");
	power_off();
}

void on_event(struct frame *frame)
{
	if (frame->vector >= 32 || !resume) {
		on_interrupt(frame);
		return;
	}
	trap = (struct trap){ frame->vector, frame->error, frame->rip, 0 };
	asm volatile("mov %%cr2, %0" : "=r"(trap.cr2));
	frame->rip = resume;
	resume = 0;
}

void map(int page, u64 flags)
{
	window_table[page] = ((u64)window_memory + page * 4096) | flags;
	asm volatile("invlpg %0" : : "m"(WINDOW[page * 4096]) : "memory");
}

/* start.S jumps here. */
void main(void)
{
	for (int i = 0; i < 256; i++) {
		u64 stub = (u64)stubs + i * 16;

		idt[2 * i] = (stub & 0xffff) | CODE64 << 16 | 0x8e00UL << 32 | (stub >> 16) << 48;
		idt[2 * i + 1] = 0;
	}
	asm volatile("lidt %0" : : "m"(idtr));
	level4[1] = (u64)window_pointers | PRESENT | WRITE | USER;
	window_pointers[0] = (u64)window_directory | PRESENT | WRITE | USER;
	window_directory[0] = (u64)window_table | PRESENT | WRITE | USER;
	for (int i = 0; i < WINDOW_PAGES; i++)
		map(i, PRESENT | WRITE);
	test();
	print("PASS\n");
	power_off();
}
