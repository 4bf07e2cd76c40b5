// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts another CPU, for tests: writing its number to `nmi` sends an NMI that walks the stack, as perf does;
 * writing it to `fpu` sends an interrupt that uses the FPU if allowed. Neither waits for that CPU. `nmis`,
 * `fpu_uses` and `fpu_unusable` count the outcomes. `xfd` has a line for each CPU: its number, IA32_XFD, the
 * per-CPU copy of IA32_XFD, and IA32_XFD_ERR. For the emulated machine only.
 */
#include <linux/atomic.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/stacktrace.h>
#include <linux/sysfs.h>
#include <asm/apic.h>
#include <asm/fpu/api.h>
#include <asm/nmi.h>

static atomic_t nmis, fpu_uses, fpu_unusable;
static DEFINE_PER_CPU(bool, nmi_expected);
static DEFINE_PER_CPU(unsigned long[64], entries);

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	if (!this_cpu_read(nmi_expected))
		return NMI_DONE;
	this_cpu_write(nmi_expected, false);
	if (!stack_trace_save(*this_cpu_ptr(&entries), ARRAY_SIZE(entries), 0))
		return NMI_DONE;
	atomic_inc(&nmis);
	return NMI_HANDLED;
}

static int send_nmi(const char *text, const struct kernel_param *param)
{
	unsigned int cpu;
	int error = kstrtouint(text, 0, &cpu);

	if (error || cpu >= nr_cpu_ids || !cpu_online(cpu))
		return error ?: -EINVAL;
	per_cpu(nmi_expected, cpu) = true;
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
	return 0;
}

static void use_fpu(void *unused)
{
	if (!irq_fpu_usable()) {
		atomic_inc(&fpu_unusable);
		return;
	}
	kernel_fpu_begin();
	asm volatile(".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
		     "vpcmpeqd %%ymm\\r, %%ymm\\r, %%ymm\\r\n\t"
		     ".endr" ::: "memory");
	kernel_fpu_end();
	atomic_inc(&fpu_uses);
}

static int send_fpu_use(const char *text, const struct kernel_param *param)
{
	unsigned int cpu;
	int error = kstrtouint(text, 0, &cpu);

	return error ?: smp_call_function_single(cpu, use_fpu, NULL, 0);
}

static int count_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(param->arg));
}

/* Address of the kernel's xfd_state, which is not exported; the test that loads this module looks it up. */
static unsigned long xfd_state;
module_param(xfd_state, ulong, 0);

struct xfd {
	u64 msr, copy, err;
};

static void read_xfd(void *place)
{
	struct xfd *xfd = place;

	rdmsrq(MSR_IA32_XFD, xfd->msr);
	rdmsrq(MSR_IA32_XFD_ERR, xfd->err);
	xfd->copy = *this_cpu_ptr((u64 __percpu *)xfd_state);
}

static int xfd_get(char *buffer, const struct kernel_param *param)
{
	struct xfd xfd;
	int cpu, size = 0;

	for_each_online_cpu(cpu) {
		if (smp_call_function_single(cpu, read_xfd, &xfd, 1))
			continue;
		size += sysfs_emit_at(buffer, size, "%d %#llx %#llx %#llx\n", cpu, xfd.msr, xfd.copy, xfd.err);
	}
	return size;
}

static const struct kernel_param_ops xfd_ops = { .get = xfd_get };
static const struct kernel_param_ops nmi_ops = { .set = send_nmi };
static const struct kernel_param_ops fpu_ops = { .set = send_fpu_use };
static const struct kernel_param_ops count_ops = { .get = count_get };
module_param_cb(xfd, &xfd_ops, NULL, 0400);
module_param_cb(nmi, &nmi_ops, NULL, 0200);
module_param_cb(fpu, &fpu_ops, NULL, 0200);
module_param_cb(nmis, &count_ops, &nmis, 0444);
module_param_cb(fpu_uses, &count_ops, &fpu_uses, 0444);
module_param_cb(fpu_unusable, &count_ops, &fpu_unusable, 0444);

static int __init interrupts_init(void)
{
	if (!xfd_state)
		return -EINVAL;
	return register_nmi_handler(NMI_LOCAL, on_nmi, 0, "xfd-test");
}
module_init(interrupts_init);

static void __exit interrupts_exit(void)
{
	unregister_nmi_handler(NMI_LOCAL, "xfd-test");
}
module_exit(interrupts_exit);

MODULE_DESCRIPTION("Interrupts of another CPU on request, for tests");
MODULE_LICENSE("GPL");
