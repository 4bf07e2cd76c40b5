// SPDX-License-Identifier: GPL-2.0
#include "vmx.h"

#define IA32_FEATURE_CONTROL	0x3a
#define IA32_VMX_BASIC		0x480
#define IA32_VMX_PINBASED	0x481
#define IA32_VMX_PRIMARY	0x482
#define IA32_VMX_EXIT		0x483
#define IA32_VMX_ENTRY		0x484
#define IA32_VMX_SECONDARY	0x48b
#define CR4_VMXE		(1UL << 13)
#define PRIMARY_SECONDARY	(1U << 31)
#define EXIT_TO_64BIT		(1U << 9)
#define ENTRY_TO_64BIT		(1U << 9)
#define TR			0x28

#define PAGE	__attribute__((aligned(4096)))
static u8 vmxon_region[4096] PAGE, vmcs[4096] PAGE, guest_stack[8192] PAGE;
u8 virtual_apic[4096] PAGE;
static u64 ept4[512] PAGE, ept3[512] PAGE, ept2[512] PAGE, ept1[512] PAGE;

void vmwrite(u64 field, u64 value)
{
	asm volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc", "memory");
}

u64 vmread(u64 field)
{
	u64 value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

/* What is wanted, and what the CPU insists on. */
static void controls(u64 field, u32 msr, u32 wanted)
{
	u64 allowed = rdmsr(msr);

	is("a VMX control that the CPU does not have", wanted & ~(allowed >> 32), 0);
	vmwrite(field, wanted | (u32)allowed);
}

static void segments(void)
{
	/* ES, CS, SS, DS, FS, GS, LDTR, TR; the host has no LDTR */
	static const u32 selectors[] = { DATA, CODE64, DATA, DATA, DATA, DATA, 0, TR };
	static const u32 rights[] = { 0xc093, 0xa09b, 0xc093, 0xc093, 0xc093, 0xc093, 0x10000, 0x8b };

	for (int i = 0; i < 8; i++) {
		vmwrite(0x800 + 2 * i, selectors[i]);
		vmwrite(0x4800 + 2 * i, i < 6 ? 0xffffffff : 0x67);
		vmwrite(0x4814 + 2 * i, rights[i]);
		if (i != 6)
			vmwrite(0xc00 + 2 * (i < 6 ? i : 6), selectors[i]);
	}
}

void make_guest(void (*start)(void), u64 rflags, u32 pin, u32 primary, u32 secondary, u32 exit)
{
	u64 cr0, cr3, region = (u64)vmxon_region;
	u8 failed;

	if (!(rdmsr(IA32_FEATURE_CONTROL) & 1))
		wrmsr(IA32_FEATURE_CONTROL, 5);
	write_cr4(read_cr4() | CR4_VMXE);
	*(u32 *)vmxon_region = *(u32 *)vmcs = rdmsr(IA32_VMX_BASIC);
	asm volatile("vmxon %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	is("VMXON fails", failed, 0);
	region = (u64)vmcs;
	asm volatile("vmclear %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	is("VMCLEAR fails", failed, 0);
	asm volatile("vmptrld %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	is("VMPTRLD fails", failed, 0);

	controls(PIN_CONTROLS, IA32_VMX_PINBASED, pin);
	controls(PRIMARY_CONTROLS, IA32_VMX_PRIMARY, primary | PRIMARY_SECONDARY);
	controls(SECONDARY_CONTROLS, IA32_VMX_SECONDARY, secondary);
	controls(EXIT_CONTROLS, IA32_VMX_EXIT, exit | EXIT_TO_64BIT);
	controls(ENTRY_CONTROLS, IA32_VMX_ENTRY, ENTRY_TO_64BIT);
	vmwrite(VIRTUAL_APIC, (u64)virtual_apic);
	vmwrite(GUEST_LINK, ~0UL);

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	asm volatile("mov %%cr3, %0" : "=r"(cr3));
	segments();
	vmwrite(GUEST_CR0, cr0);
	vmwrite(GUEST_CR3, cr3);
	vmwrite(GUEST_CR4, read_cr4());
	vmwrite(GUEST_GDTR, gdtr.base);
	vmwrite(GUEST_GDTR_LIMIT, gdtr.limit);
	vmwrite(GUEST_IDTR, idtr.base);
	vmwrite(GUEST_IDTR_LIMIT, idtr.limit);
	vmwrite(GUEST_DR7, 0x400);
	vmwrite(GUEST_RSP, (u64)guest_stack + sizeof(guest_stack) - 8);
	vmwrite(GUEST_RIP, (u64)start);
	vmwrite(GUEST_RFLAGS, rflags | 2);
	vmwrite(HOST_CR0, cr0);
	vmwrite(HOST_CR3, cr3);
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_GDTR, gdtr.base);
	vmwrite(HOST_IDTR, idtr.base);
}

void ept_without(const void *page)
{
	u64 missing = (u64)page, first = missing & ~0x1fffffUL;

	/*
	 * 1 GiB in pages of 2 MiB, and one of them in pages of 4 KiB; write-back, may be read,
	 * written and executed
	 */
	ept4[0] = (u64)ept3 | 7;
	ept3[0] = (u64)ept2 | 7;
	for (u64 i = 0; i < 512; i++) {
		ept2[i] = i << 21 | 0xb7;
		ept1[i] = (first + i * 4096) | 0x37;
	}
	ept2[first >> 21] = (u64)ept1 | 7;
	ept1[missing >> 12 & 511] = 0;
	vmwrite(EPT_POINTER, (u64)ept4 | 3 << 3 | 6);
}

/* 0 after a VM exit, else 1. The guest's registers are lost. */
u8 launch(void);
asm(".pushsection .text\n"
    "launch:\n\t"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t"
    "mov $0x6c14, %eax\n\t"			/* HOST_RSP */
    "vmwrite %rsp, %rax\n\t"
    "mov $0x6c16, %eax\n\t"			/* HOST_RIP */
    "mov $1f, %ecx\n\t"
    "vmwrite %rcx, %rax\n\t"
    "vmlaunch\n\t"
    "mov $1, %eax\n\t"
    "jmp 2f\n"
    "1:\txor %eax, %eax\n"
    "2:\tpop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n\t"
    "ret\n\t"
    ".popsection");

u32 enter_guest(void)
{
	if (launch())
		is("error of VMLAUNCH", vmread(INSTRUCTION_ERROR), 0);
	return vmread(EXIT_REASON);
}

void start_timer(u8 vector, u32 ticks)
{
	*apic(APIC_SPURIOUS) = 0x1ff;
	*apic(APIC_DIVIDE) = 0xb;
	*apic(APIC_TIMER) = vector;
	*apic(APIC_COUNT) = ticks;
}
