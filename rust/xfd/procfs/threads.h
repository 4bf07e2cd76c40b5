/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rows of /proc/xfd/tasks (threads.c).
 */
#ifndef XFD_THREADS_H
#define XFD_THREADS_H

struct file;
struct inode;

/* For that file's proc_ops. They may sleep, and return 0 or an errno. */
int xfd_threads_open(struct file *file);
int xfd_threads_release(struct inode *inode, struct file *file);

#endif
