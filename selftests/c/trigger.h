/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The emulator's trigger: it stops a CPU between two instructions, or interrupts it there. See
 * Documentation/machine.rst.
 */
#ifndef XFD_TEST_TRIGGER_H
#define XFD_TEST_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

#define TRIGGER_LEAF	0x58464401

/* Events; any other value is an address. */
#define TRIGGER_NOW	0
#define TRIGGER_NM	1
#define TRIGGER_VMEXIT	2

/* Actions; any other value is the vector of an interrupt. */
#define TRIGGER_PAUSE	0
#define TRIGGER_NMI	1

enum trigger_state {
	TRIGGER_OFF, TRIGGER_AWAITS, TRIGGER_COUNTS, TRIGGER_PAUSED, TRIGGER_FIRED, TRIGGER_RETURNED
};

/* Flag bits, above the CPL in the lowest two. */
#define TRIGGER_IF		(1 << 2)
#define TRIGGER_BY_ITSELF	(1 << 3)

struct trigger {
	uint64_t state, passed, rip, flags;
};

/* Arming parameters beyond RBX. */
struct trigger_request {
	uint64_t event, action, at_most, in_function, cpu, low, high;
};

static inline struct trigger trigger_ask(uint64_t command, uint64_t rbx, struct trigger_request request)
{
	register uint64_t r8 asm("r8") = request.at_most, r9 asm("r9") = request.in_function;
	register uint64_t r10 asm("r10") = request.cpu, r11 asm("r11") = request.low, r12 asm("r12") = request.high;
	struct trigger seen = { TRIGGER_LEAF, rbx, command, 0 };

	asm volatile("cpuid" : "+a" (seen.state), "+b" (seen.passed), "+c" (seen.rip), "=d" (seen.flags)
			     : "S" (request.event), "D" (request.action), "r" (r8), "r" (r9), "r" (r10), "r" (r11), "r" (r12)
			     : "memory");
	return seen;
}

static inline bool trigger_is_there(void)
{
	return trigger_ask(0, 0, (struct trigger_request){ 0 }).passed == 0x20646658;
}

/*
 * Fires @after instructions after the event on that CPU. A pause ends by itself once the other CPUs have executed
 * request.at_most instructions.
 */
static inline bool trigger_arm(uint64_t after, struct trigger_request request)
{
	return trigger_ask(1, after, request).state == 1;
}

static inline struct trigger trigger_look(int cpu)
{
	return trigger_ask(2, cpu, (struct trigger_request){ 0 });
}

static inline struct trigger trigger_let_go(int cpu)
{
	return trigger_ask(3, cpu, (struct trigger_request){ 0 });
}

/* Lets a paused CPU continue, and pauses it again @after instructions later, at least one; false if it is not paused. */
static inline bool trigger_pause_again(uint64_t after, uint64_t at_most, int cpu)
{
	return trigger_ask(5, after, (struct trigger_request){ .at_most = at_most, .cpu = cpu }).state == 1;
}

static inline struct trigger trigger_disarm(int cpu)
{
	return trigger_ask(4, cpu, (struct trigger_request){ 0 });
}

#endif
