/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test of the emulator is written with. It runs in ring 0, in 64-bit mode, with interrupts
 * disabled.
 */
#ifndef TEST_H
#define TEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* The test. It passes if it returns. */
void test(void);

/* Fails, with both numbers, unless @got is @want. */
void is(const char *what, u64 got, u64 want);
/* The same for the vector of an exception, or NOTHING. */
void raises(const char *what, int got, int want);
void fail(const char *what) __attribute__((noreturn));

enum { NOTHING = -1, DB = 1, UD = 6, NM = 7, GP = 13, PF = 14 };

/* What stubs in start.S leave on the stack. */
struct frame {
	u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* An interrupt, or an exception outside TRY(). The default is to fail. */
void on_interrupt(struct frame *frame);

/* The last exception within TRY(). */
extern struct trap {
	int vector;
	u64 error, rip, cr2;
} trap;
extern u64 resume;

/* Executes an instruction, and yields the vector of the exception that it raised, or NOTHING. */
#define TRY(instruction, ...) ({							\
	trap.vector = NOTHING;								\
	asm volatile("movq $9f, resume\n\t" instruction "\n9:\tmovq $0, resume"		\
		     : : __VA_ARGS__);							\
	trap.vector; })

/*
 * 64 pages that a test may map as it likes, and the memory that is mapped there at first, for ring
 * 0.
 */
#define WINDOW_PAGES	64
#define WINDOW		((u8 *)0x8000000000)
extern u64 window_table[512];
extern u8 window_memory[WINDOW_PAGES * 4096];
enum { PRESENT = 1, WRITE = 2, USER = 4 };
void map(int page, u64 flags);

extern u64 level4[512], level5[512], gdt[];
extern struct descriptor_table {
	u16 limit;
	u64 base;
} __attribute__((packed)) gdtr, idtr;

#define CODE32	0x08
#define DATA	0x10
#define CODE64	0x18

#define IA32_FRED_RSP0		0x1cc
#define IA32_FRED_CONFIG	0x1d4
#define IA32_XFD		0x1c4
#define IA32_XFD_ERR		0x1c5
#define IA32_STAR		0xc0000081
#define IA32_LSTAR		0xc0000082
#define IA32_FMASK		0xc0000084
#define CR4_PKE			(1UL << 22)
#define CR4_LA57		(1UL << 12)

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "a"((u32)value), "d"(value >> 32), "c"(msr) : "memory");
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

static inline u64 read_cr4(void)
{
	u64 value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static inline void write_cr4(u64 value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

void *memset(void *to, int byte, u64 n);
void *memcpy(void *to, const void *from, u64 n);
int memcmp(const void *a, const void *b, u64 n);

/* The local APIC, in xAPIC mode. */
#define APIC_ID		0x020
#define APIC_EOI	0x0b0
#define APIC_SPURIOUS	0x0f0
#define APIC_ICR_LOW	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_TIMER	0x320
#define APIC_COUNT	0x380
#define APIC_DIVIDE	0x3e0

static inline volatile u32 *apic(u32 offset)
{
	return (volatile u32 *)(0xfee00000UL + offset);
}

/* Sends an IPI to the CPU with this APIC ID; @command is the lower half of the ICR. */
static inline void send_ipi(u32 to, u32 command)
{
	*apic(APIC_SPURIOUS) = 0x1ff;
	*apic(APIC_ICR_HIGH) = to << 24;
	*apic(APIC_ICR_LOW) = command;
}

#endif
