/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From reset to C in 64-bit mode, without a BIOS. Memory below 4 GiB is mapped to itself, for ring
 * 0. The boot processor calls test(), another one that gets a SIPI with vector FFH calls
 * other_cpu().
 */
#define CR4_PAE_OSFXSR_OSXMMEXCPT_OSXSAVE	0x40620
#define CR4_LA57	0x1000
#define IA32_APIC_BASE	0x1b
#define IA32_EFER	0xc0000080
#define EFER_SCE_LME_NXE	0x901

	.section .start, "ax"
	.globl start
	.code16
start:				/* FF00:0000, at reset and after a SIPI */
	cli
	lgdtl %cs:(rom_gdtr - start)
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $8, $in_protected_mode

	.code32
in_protected_mode:
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $IA32_APIC_BASE, %ecx
	rdmsr
	mov $other_stack + 4096, %esp
	mov $other_cpu, %ebp
	test $0x100, %eax	/* the boot processor */
	jz to_long_mode

	mov $0xffff0000, %esi
	mov $ram, %edi
	mov $copied, %ecx
	rep movsb
	mov $bss, %edi
	mov $bss_size, %ecx
	xor %eax, %eax
	rep stosb
	mov $stack + 16384, %esp
	mov $main, %ebp

	/* 2048 pages of 2 MiB; user mode may use what the test maps elsewhere */
	mov $0xe3, %eax
	mov $directories, %edi
1:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	jnc 1b
	movl $directories + 0x0007, pointers
	movl $directories + 0x1007, pointers + 8
	movl $directories + 0x2007, pointers + 16
	movl $directories + 0x3007, pointers + 24
	movl $pointers + 7, level4
	movl $level4 + 7, level5

to_long_mode:
	lgdt gdtr
	mov $level4, %eax
	testl $CR4_LA57, boot_cr4
	jz 1f
	mov $level5, %eax
1:	mov %eax, %cr3
	mov $CR4_PAE_OSFXSR_OSXMMEXCPT_OSXSAVE, %eax
	or boot_cr4, %eax
	mov %eax, %cr4
	mov $IA32_EFER, %ecx
	mov $EFER_SCE_LME_NXE, %eax
	xor %edx, %edx
	wrmsr
	mov $0x80010023, %eax	/* PG, WP, NE, MP, PE */
	mov %eax, %cr0
	ljmp $0x18, $in_long_mode

	.code64
in_long_mode:
	mov %ebp, %eax
	call *%rax
1:	hlt
	jmp 1b

	.balign 8
rom_gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
rom_gdtr:
	.word . - rom_gdt - 1
	.long rom_gdt

	.section .vector, "ax"
	.code16
	ljmp $0xff00, $0

	.data
	.balign 8
	.globl gdt
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	/* 08H: 32-bit code */
	.quad 0x00cf93000000ffff	/* 10H: data */
	.quad 0x00af9b000000ffff	/* 18H: 64-bit code */
	.quad 0x00cf93000000ffff	/* 20H: data, for SYSCALL */
gdt_end:
	.globl gdtr
gdtr:	.word gdt_end - gdt - 1
	.quad gdt

	/* A test that wants more of CR4 from the start has its own. */
	.weak boot_cr4
boot_cr4:
	.long 0

	.bss
	.balign 4096
	.globl level4, level5
level5:		.skip 4096
level4:		.skip 4096
pointers:	.skip 4096
directories:	.skip 4 * 4096
stack:		.skip 16384
other_stack:	.skip 4096

	/* 256 stubs of 16 bytes, which leave a struct frame (test.h) on the stack. */
	.text
	.code64
	.weak other_cpu
	.globl stubs
	.balign 16
stubs:
	vector = 0
	.rept 256
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push $0
	.endif
	push $vector
	jmp common
	vector = vector + 1
	.endr

common:
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rbp
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rbx
	push %rax
	cld
	mov %rsp, %rdi
	mov %rsp, %rbx
	and $-16, %rsp
	call on_event
	mov %rbx, %rsp
	pop %rax
	pop %rbx
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	pop %rbp
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	add $16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
