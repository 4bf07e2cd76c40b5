// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in the way of xfd.ko, as other people's modules may. For the emulated machine only.
 *
 * how=livepatch   a livepatch of fpu_xstate_prctl(), one of the functions that xfd.ko replaces
 * how=cumulative  a livepatch of something else that replaces all others, as distributions make them
 * how=ftrace      an ftrace user of fpu_flush_thread() that claims its instruction pointer
 */
#include <linux/ftrace.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static char *how = "";
module_param(how, charp, 0);

static long rival_prctl(int option, unsigned long arg2)
{
	return -ENOSYS;
}

static int rival_cmdline(struct seq_file *m, void *v)
{
	seq_puts(m, "rival\n");
	return 0;
}

static struct klp_func functions[] = { { }, { } };
static struct klp_object objects[] = { { .funcs = functions }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static void notrace rival_traced(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *op,
				 struct ftrace_regs *fregs)
{
}

static struct ftrace_ops ops = {
	.func = rival_traced,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int __init rival_init(void)
{
	if (!strcmp(how, "livepatch")) {
		functions[0].old_name = "fpu_xstate_prctl";
		functions[0].new_func = rival_prctl;
		return klp_enable_patch(&patch);
	}
	if (!strcmp(how, "cumulative")) {
		functions[0].old_name = "cmdline_proc_show";
		functions[0].new_func = rival_cmdline;
		patch.replace = true;
		return klp_enable_patch(&patch);
	}
	if (!strcmp(how, "ftrace")) {
		char name[] = "fpu_flush_thread";
		int error = ftrace_set_filter(&ops, name, strlen(name), 1);

		return error ?: register_ftrace_function(&ops);
	}
	return -EINVAL;
}

static void __exit rival_exit(void)
{
	if (!strcmp(how, "ftrace"))
		unregister_ftrace_function(&ops);
}

module_init(rival_init);
module_exit(rival_exit);

MODULE_DESCRIPTION("Stands in the way of xfd.ko");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
