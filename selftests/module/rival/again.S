/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Our livepatch's replacement for a function: counts the call, then continues in the function itself after its
 * ftrace call, at an address filled in by main.c. ftrace gets here by a return.
 */
#include <linux/annotate.h>
#include <linux/linkage.h>
#include <asm/unwind_hints.h>

	.text
.macro again number
SYM_CODE_START(rival_again_\number)
	UNWIND_HINT_FUNC
	ANNOTATE_NOENDBR
	lock incl	rival_calls + 4 * \number(%rip)
	pushq	rival_way_on + 8 * \number(%rip)
	RET
SYM_CODE_END(rival_again_\number)
.endm

	again 0
	again 1
	again 2
	again 3
	again 4
	again 5
	again 6
	again 7
