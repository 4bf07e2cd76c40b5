// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/xfd (Documentation/ABI/procfs-xfd). An open file holds a reference to the module. Without it,
 * rmmod would wait unkillably while a reader faults in slow memory.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "../seam/seam.h"
#include "threads.h"

/* Rust: mod.rs */
void xfd_show_numbers(struct seq_file *seq, const void *gauges);

static int show_counters(struct seq_file *seq, void *unused)
{
	xfd_show_numbers(seq, seq->private);
	return 0;
}

static int open_counters(struct inode *inode, struct file *file)
{
	int error;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	error = single_open(file, show_counters, pde_data(inode));
	if (error)
		module_put(THIS_MODULE);
	return error;
}

static int release_counters(struct inode *inode, struct file *file)
{
	int error = single_release(inode, file);

	module_put(THIS_MODULE);
	return error;
}

static int open_threads(struct inode *inode, struct file *file)
{
	int error;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	error = xfd_threads_open(file);
	if (error)
		module_put(THIS_MODULE);
	return error;
}

static int release_threads(struct inode *inode, struct file *file)
{
	int error = xfd_threads_release(inode, file);

	module_put(THIS_MODULE);
	return error;
}

static const struct proc_ops counters_ops = {
	.proc_open = open_counters,
	.proc_read_iter = seq_read_iter,
	.proc_lseek = seq_lseek,
	.proc_release = release_counters,
};

static const struct proc_ops threads_ops = {
	.proc_open = open_threads,
	.proc_read_iter = seq_read_iter,
	.proc_lseek = seq_lseek,
	.proc_release = release_threads,
};

struct proc_dir_entry *xfd_proc_make(const void *gauges)
{
	struct proc_dir_entry *dir = proc_mkdir("xfd", NULL);

	if (!dir || !proc_create_data("counters", 0444, dir, &counters_ops, (void *)gauges) ||
	    !proc_create("tasks", 0444, dir, &threads_ops)) {
		proc_remove(dir);
		return NULL;
	}
	return dir;
}

void xfd_proc_remove(struct proc_dir_entry *dir)
{
	proc_remove(dir);
}
