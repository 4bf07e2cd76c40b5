// SPDX-License-Identifier: GPL-2.0
/*
 * Gets in the way of xfd.ko, as other people's modules may. For the emulated machine only.
 *
 * how=livepatch   a livepatch of `functions`, each of which works as before but is counted in `calls`
 * how=denies      a livepatch of fpu_xstate_prctl() that fails all requests with ENOSYS
 * how=cumulative  a livepatch of something else that replaces all others, as distributions ship them
 * how=ftrace      an ftrace user on the first of `functions` with IPMODIFY
 */
#include <linux/ftrace.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <asm/ibt.h>
#include <asm/text-patching.h>

static char *how = "";
module_param(how, charp, 0);

#define MOST 8
static char *names[MOST];
static unsigned int count;
module_param_array_named(functions, names, charp, &count, 0);
MODULE_PARM_DESC(functions, "names, with commas between them (fpu_xstate_prctl)");

/* again.S */
void rival_again_0(void);
void rival_again_1(void);
void rival_again_2(void);
void rival_again_3(void);
void rival_again_4(void);
void rival_again_5(void);
void rival_again_6(void);
void rival_again_7(void);

static void (*const again[MOST])(void) = {
	rival_again_0, rival_again_1, rival_again_2, rival_again_3,
	rival_again_4, rival_again_5, rival_again_6, rival_again_7,
};
u64 rival_way_on[MOST];
unsigned int rival_calls[MOST];
module_param_array_named(calls, rival_calls, uint, NULL, 0444);
MODULE_PARM_DESC(calls, "how often each of them was called");

static long denies(int option, unsigned long arg2)
{
	return -ENOSYS;
}

static int rival_cmdline(struct seq_file *m, void *v)
{
	seq_puts(m, "rival\n");
	return 0;
}

static struct klp_func functions[MOST + 1];
static struct klp_object objects[] = { { .funcs = functions }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

/* Called once the functions are found but not yet replaced. The ftrace call follows ENDBR, if there is one. */
static int find_ways_on(struct klp_object *object)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		u8 *start = functions[i].old_func;
		bool at_once = *start == CALL_INSN_OPCODE || !memcmp(start, "\x0f\x1f\x44\x00", CALL_INSN_SIZE);

		rival_way_on[i] = (u64)start + (at_once ? 0 : ENDBR_INSN_SIZE) + CALL_INSN_SIZE;
	}
	return 0;
}

static int livepatch(void)
{
	unsigned int i;

	if (!count)
		names[count++] = "fpu_xstate_prctl";
	for (i = 0; i < count; i++) {
		functions[i].old_name = names[i];
		functions[i].new_func = again[i];
	}
	objects[0].callbacks.pre_patch = find_ways_on;
	return klp_enable_patch(&patch);
}

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
	if (!strcmp(how, "livepatch"))
		return livepatch();
	if (!strcmp(how, "denies")) {
		functions[0].old_name = "fpu_xstate_prctl";
		functions[0].new_func = denies;
		return klp_enable_patch(&patch);
	}
	if (!strcmp(how, "cumulative")) {
		functions[0].old_name = "cmdline_proc_show";
		functions[0].new_func = rival_cmdline;
		patch.replace = true;
		return klp_enable_patch(&patch);
	}
	if (!strcmp(how, "ftrace")) {
		char *name = count ? names[0] : "fpu_flush_thread";
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
