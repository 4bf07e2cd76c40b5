// SPDX-License-Identifier: GPL-2.0
/*
 * The debugfs files. An open file holds a reference to the module (.owner). The kernel crate's files do
 * not (rust/kernel/debugfs/file_ops.rs): closing one of those after rmmod would cause an oops.
 */
#include <linux/debugfs.h>
#include <linux/module.h>

#include "../seam/seam.h"

/* Rust: files.rs */
s64 xfd_number(const void *number);

static int number_get(void *number, u64 *value)
{
	*value = xfd_number(number);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(number_fops, number_get, NULL, "%lld\n");

struct dentry *xfd_files_make(void)
{
	return debugfs_create_dir("xfd", NULL);
}

void xfd_file_add(struct dentry *dir, const char *name, const void *number)
{
	debugfs_create_file_unsafe(name, 0444, dir, (void *)number, &number_fops);
}

void xfd_files_remove(struct dentry *dir)
{
	debugfs_remove(dir);
}
