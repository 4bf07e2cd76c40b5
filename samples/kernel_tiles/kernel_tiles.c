// SPDX-License-Identifier: GPL-2.0
/*
 * Multiplies byte matrices with AMX tiles in the kernel, using xfd_kernel_tiles_begin() and
 * xfd_kernel_tiles_end() from xfd.ko.
 *
 * A write to /proc/xfd_kernel_tiles runs one of these in the writer's context:
 *
 *   tiles, fpu   an empty section: tiles, or kernel_fpu_begin() and kernel_fpu_end()
 *   nothing      the same without a section
 *   other text   one multiplication, checked against a plain loop; -EIO on a mismatch
 *
 * A read shows the number of multiplications and how many TSC ticks the last begin and the last end
 * took. At load time the module also checks that tiles are refused where they must be: in hard
 * interrupt context and in a nested section.
 */
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/xfd.h>
#include <asm/fpu/api.h>
#include <asm/msr.h>

/* A tile has 16 rows of 64 bytes. The product of 16 x 64 and 64 x 16 bytes has 16 x 16 words. */
#define ROWS	16
#define COLSB	64
#define DEPTH	64

struct product {
	u8 config[64] __aligned(64);
	s8 a[ROWS][DEPTH] __aligned(64);
	/* The layout TDPBSSD expects: four rows of the matrix in each row of the tile */
	s8 b[DEPTH / 4][ROWS][4] __aligned(64);
	s32 c[ROWS][ROWS] __aligned(64);
};

static atomic_t products = ATOMIC_INIT(0);
/* TSC ticks taken by the last begin and the last end */
static u64 begin_ticks, end_ticks;

#define TIMED(ticks, call)				\
	do {						\
		u64 from = rdtsc_ordered();		\
							\
		call;					\
		(ticks) = rdtsc_ordered() - from;	\
	} while (0)

/* Palette 1, with tiles 0, 1 and 2 at full size */
static void configure(struct product *p)
{
	int i;

	p->config[0] = 1;
	for (i = 0; i < 3; i++) {
		*(u16 *)&p->config[16 + 2 * i] = COLSB;
		p->config[48 + i] = ROWS;
	}
}

static int multiply_on_tiles(struct product *p)
{
	long stride = COLSB;
	int error;

	TIMED(begin_ticks, error = xfd_kernel_tiles_begin());
	if (error)
		return error;
	asm volatile("ldtilecfg %[config]\n\t"
		     "tilezero %%tmm0\n\t"
		     "tileloadd (%[a],%[stride],1), %%tmm1\n\t"
		     "tileloadd (%[b],%[stride],1), %%tmm2\n\t"
		     "tdpbssd %%tmm2, %%tmm1, %%tmm0\n\t"
		     "tilestored %%tmm0, (%[c],%[stride],1)\n\t"
		     :
		     : [config] "m" (p->config), [a] "r" (p->a), [b] "r" (p->b), [c] "r" (p->c),
		       [stride] "r" (stride)
		     : "memory");
	TIMED(end_ticks, xfd_kernel_tiles_end());
	return 0;
}

static bool is_right(const struct product *p)
{
	int i, j, k;

	for (i = 0; i < ROWS; i++)
		for (j = 0; j < ROWS; j++) {
			s32 sum = 0;

			for (k = 0; k < DEPTH; k++)
				sum += p->a[i][k] * p->b[k / 4][j][k % 4];
			if (sum != p->c[i][j])
				return false;
		}
	return true;
}

static int multiply(void)
{
	struct product *p = kzalloc(sizeof(*p), GFP_KERNEL);
	int error;

	if (!p)
		return -ENOMEM;
	configure(p);
	get_random_bytes(p->a, sizeof(p->a));
	get_random_bytes(p->b, sizeof(p->b));
	error = multiply_on_tiles(p);
	if (!error && !is_right(p))
		error = -EIO;
	if (!error)
		atomic_inc(&products);
	kfree(p);
	return error;
}

static int empty_tiles_section(void)
{
	int error;

	TIMED(begin_ticks, error = xfd_kernel_tiles_begin());
	if (!error)
		TIMED(end_ticks, xfd_kernel_tiles_end());
	return error;
}

static int empty_fpu_section(void)
{
	TIMED(begin_ticks, kernel_fpu_begin());
	TIMED(end_ticks, kernel_fpu_end());
	return 0;
}

static int no_section(void)
{
	TIMED(begin_ticks, );
	TIMED(end_ticks, );
	return 0;
}

static ssize_t write_does(struct file *file, const char __user *text, size_t count, loff_t *at)
{
	char what[16] = "";
	int error;

	if (copy_from_user(what, text, min(count, sizeof(what) - 1)))
		return -EFAULT;
	if (!strcmp(what, "tiles"))
		error = empty_tiles_section();
	else if (!strcmp(what, "fpu"))
		error = empty_fpu_section();
	else if (!strcmp(what, "nothing"))
		error = no_section();
	else
		error = multiply();
	return error ?: count;
}

static int show(struct seq_file *m, void *v)
{
	seq_printf(m, "products %d\nbegin_ticks %llu\nend_ticks %llu\n",
		   atomic_read(&products), begin_ticks, end_ticks);
	return 0;
}

static int open(struct inode *inode, struct file *file)
{
	return single_open(file, show, NULL);
}

static const struct proc_ops ops = {
	.proc_open = open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
	.proc_write = write_does,
};

static int in_interrupt_result;

static void ask_in_interrupt(struct irq_work *work)
{
	in_interrupt_result = xfd_kernel_tiles_begin();
	if (!in_interrupt_result)
		xfd_kernel_tiles_end();
}

static struct irq_work interrupt = IRQ_WORK_INIT_HARD(ask_in_interrupt);

static int refused_where_it_must_be(void)
{
	int nested;

	irq_work_queue(&interrupt);
	irq_work_sync(&interrupt);

	nested = xfd_kernel_tiles_begin();
	if (nested)
		return nested;
	nested = xfd_kernel_tiles_begin();
	xfd_kernel_tiles_end();

	if (in_interrupt_result == -EBUSY && nested == -EBUSY)
		return 0;
	pr_err("kernel_tiles: begin returned %d in a hard interrupt and %d nested, expected %d\n",
	       in_interrupt_result, nested, -EBUSY);
	return -EINVAL;
}

static int __init kernel_tiles_init(void)
{
	int error = refused_where_it_must_be() ?: multiply();

	if (error)
		return error;
	return proc_create("xfd_kernel_tiles", 0600, NULL, &ops) ? 0 : -ENOMEM;
}

static void __exit kernel_tiles_exit(void)
{
	remove_proc_entry("xfd_kernel_tiles", NULL);
}

module_init(kernel_tiles_init);
module_exit(kernel_tiles_exit);

MODULE_DESCRIPTION("Multiplies matrices with AMX tiles in the kernel");
MODULE_LICENSE("GPL");
