// SPDX-License-Identifier: GPL-2.0
/*
 * The gates: static calls to kernel functions that modules cannot link to (seam.h says why).
 */
#include <linux/cpu.h>
#include <linux/elf.h>
#include <linux/entry-common.h>
#include <linux/kallsyms.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/static_call.h>
#include <linux/uprobes.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xstate.h>
#include <asm/text-patching.h>

#include "gates.h"
#include "seam.h"

#define XFD_DEFINE_GATE(symbol) DEFINE_STATIC_CALL_NULL(xfd_gate_##symbol, symbol);
XFD_GATES(XFD_DEFINE_GATE)

#define XFD_GATE_ENTRY(symbol) \
	{ #symbol, &STATIC_CALL_KEY(xfd_gate_##symbol), STATIC_CALL_TRAMP_ADDR(xfd_gate_##symbol) },

const struct xfd_gate xfd_gates[] = {
	XFD_GATES(XFD_GATE_ENTRY)
	{ }
};

void xfd_gate_bind(const struct xfd_gate *gate, unsigned long address)
{
	__static_call_update(gate->key, gate->trampoline, (void *)address);
}

unsigned long xfd_gate_lookup(const char *symbol)
{
	return static_call(xfd_gate_kallsyms_lookup_name)(symbol);
}

void xfd_gate_force_sig_fault(int sig, int code, unsigned long address)
{
	static_call(xfd_gate_force_sig_fault)(sig, code, (void __user *)address);
}

unsigned long xfd_gate_trap_address(struct pt_regs *regs)
{
	return static_call(xfd_gate_uprobe_get_trap_addr)(regs);
}

unsigned long xfd_gate_sigframe_size(void)
{
	return static_call(xfd_gate_get_sigframe_size)();
}

void xfd_gate_load_fpregs(void)
{
	static_call(xfd_gate_switch_fpu_return)();
}

void xfd_gate_reset_fpstate(struct fpu *fpu)
{
	static_call(xfd_gate_fpstate_reset)(fpu);
}

int xfd_gate_poke5(void *site, const u8 old[5], const u8 new[5], struct mutex *text_mutex)
{
	int error = -EBUSY;

	cpus_read_lock();
	mutex_lock(text_mutex);
	if (!memcmp(site, old, CALL_INSN_SIZE)) {
		static_call(xfd_gate_smp_text_poke_single)(site, new, CALL_INSN_SIZE, NULL);
		error = 0;
	}
	mutex_unlock(text_mutex);
	cpus_read_unlock();
	return error;
}

unsigned long xfd_gate_size_of(unsigned long function)
{
	unsigned long size, offset;

	if (!static_call(xfd_gate_kallsyms_lookup_size_offset)(function, &size, &offset))
		return 0;
	return size - offset;
}

struct variants {
	const char *name;
	size_t length;
	unsigned long *next, *end;
};

static int is_variant(void *data, const char *name, unsigned long address)
{
	struct variants *variants = data;

	if (strncmp(name, variants->name, variants->length) ||
	    (name[variants->length] && name[variants->length] != '.'))
		return 0;
	*variants->next++ = address;
	return variants->next == variants->end;
}

void xfd_gate_find_variants(const char *name, unsigned long found[XFD_VARIANTS])
{
	struct variants variants = {
		.name = name, .length = strlen(name), .next = found, .end = found + XFD_VARIANTS,
	};

	static_call(xfd_gate_kallsyms_on_each_symbol)(is_variant, &variants);
}

bool xfd_gate_is_livepatched(void *function, struct mutex *klp_mutex)
{
	bool found;

	mutex_lock(klp_mutex);
	found = static_call(xfd_gate_klp_find_ops)(function);
	mutex_unlock(klp_mutex);
	return found;
}
