/* SPDX-License-Identifier: GPL-2.0 */
/* The 32-bit program, embedded in the test that runs it; empty if the compiler cannot build it. */
	.section .rodata
	.globl ia32_child, ia32_child_end
ia32_child:
#ifdef IA32_CHILD
	.incbin IA32_CHILD
#endif
ia32_child_end:
	.section .note.GNU-stack, "", @progbits
