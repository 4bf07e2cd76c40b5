/* SPDX-License-Identifier: GPL-2.0 */
/* A guest in 64-bit mode on the same page tables, for one VM entry. */
#ifndef VMX_H
#define VMX_H

#include "test.h"

/* VMCS fields. */
enum {
	POSTED_VECTOR = 0x0002, GUEST_INTERRUPT_STATUS = 0x0810, VIRTUAL_APIC = 0x2012, POSTED_DESCRIPTOR = 0x2016,
	EPT_POINTER = 0x201a, GUEST_LINK = 0x2800,
	PIN_CONTROLS = 0x4000, PRIMARY_CONTROLS = 0x4002, EXIT_CONTROLS = 0x400c, ENTRY_CONTROLS = 0x4012,
	SECONDARY_CONTROLS = 0x401e,
	INSTRUCTION_ERROR = 0x4400, EXIT_REASON = 0x4402, IDT_VECTORING = 0x4408,
	GUEST_GDTR_LIMIT = 0x4810, GUEST_IDTR_LIMIT = 0x4812,
	GUEST_CR0 = 0x6800, GUEST_CR3 = 0x6802, GUEST_CR4 = 0x6804, GUEST_GDTR = 0x6816, GUEST_IDTR = 0x6818,
	GUEST_DR7 = 0x681a, GUEST_RSP = 0x681c, GUEST_RIP = 0x681e, GUEST_RFLAGS = 0x6820,
	HOST_CR0 = 0x6c00, HOST_CR3 = 0x6c02, HOST_CR4 = 0x6c04, HOST_GDTR = 0x6c0c, HOST_IDTR = 0x6c0e,
	HOST_RSP = 0x6c14, HOST_RIP = 0x6c16,
};

enum { EXTERNAL_INTERRUPT = 1, VMCALL = 18, EPT_VIOLATION = 48 };	/* exit reasons */
enum { PIN_EXTERNAL_INTERRUPT = 1 << 0, PIN_POSTED = 1 << 7 };
enum { PRIMARY_TPR_SHADOW = 1 << 21 };
enum { SECONDARY_EPT = 1 << 1, SECONDARY_VIRTUAL_INTERRUPTS = 1 << 9 };
enum { EXIT_ACKNOWLEDGE = 1 << 15 };
#define IF	(1UL << 9)

/* The virtual-APIC page, of which VTPR is at APIC_TPR. */
extern u8 virtual_apic[4096];
#define APIC_TPR	0x080

void vmwrite(u64 field, u64 value);
u64 vmread(u64 field);

/* Enters VMX operation, with a VMCS for a guest that begins at @start with these RFLAGS. */
void make_guest(void (*start)(void), u64 rflags, u32 pin, u32 primary, u32 secondary, u32 exit);
/* Guest-physical addresses are physical ones, but this page is missing. */
void ept_without(const void *page);
/* Enters the guest, until a VM exit. Returns the exit reason, or fails if there was no entry. */
u32 enter_guest(void);

/* One-shot interrupt from the local APIC, after so many ticks. */
void start_timer(u8 vector, u32 ticks);

#endif
