// SPDX-License-Identifier: GPL-2.0
/*
 * Puts the Rust code in charge while the kernel boots, and later as the parameter says.
 */
#include <linux/init.h>
#include <linux/jump_label.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xfd_rust.h>

#include "../seam/seam.h"

/* Rust: xfd_tree.rs */
bool xfd_start(void);

DEFINE_STATIC_KEY_FALSE(xfd_rust_key);

/* Protects both of these. */
static DEFINE_MUTEX(xfd_enable_mutex);
static bool xfd_enable = true;
static bool xfd_started;

/*
 * Each of the two can free, enlarge and use what the other one has allocated, so tasks need not be
 * waited for. A task whose buffer is reclaimed gets one before it is in user mode, whoever is in charge.
 */
static void switch_to(bool enable)
{
	if (enable) {
		static_branch_enable(&xfd_rust_key);
		xfd_background_start();
	} else {
		xfd_background_stop();
		static_branch_disable(&xfd_rust_key);
	}
}

static int set_enable(const char *value, const struct kernel_param *param)
{
	bool enable;
	int error = kstrtobool(value, &enable);

	if (error)
		return error;
	guard(mutex)(&xfd_enable_mutex);
	/* Before the initcall this is a word of the command line. */
	if (xfd_started && enable != xfd_enable)
		switch_to(enable);
	xfd_enable = enable;
	return 0;
}

static const struct kernel_param_ops enable_ops = {
	.set = set_enable,
	.get = param_get_bool,
};
module_param_cb(enable, &enable_ops, &xfd_enable, 0644);
MODULE_PARM_DESC(enable, "whether the Rust code handles first uses of dynamic xfeatures, rather than the C code (default 1)");

/* There is no user program before this, so nobody has used a dynamic component. */
static int __init xfd_init(void)
{
	guard(mutex)(&xfd_enable_mutex);
	xfd_started = boot_cpu_has(X86_FEATURE_XFD) && xfd_start();
	if (xfd_started && xfd_enable)
		switch_to(true);
	return 0;
}
arch_initcall(xfd_init);
