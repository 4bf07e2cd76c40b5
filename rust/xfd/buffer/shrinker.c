// SPDX-License-Identifier: GPL-2.0
/*
 * The pool's limit, and its shrinker: memory pressure and /proc/sys/vm/drop_caches empty the pool.
 */
#include <linux/moduleparam.h>
#include <linux/shrinker.h>

#include "../seam/seam.h"

unsigned int xfd_pool = 64;

/* A lower limit takes effect at once, in a worker. */
static int set_pool(const char *value, const struct kernel_param *param)
{
	int error = param_set_uint(value, param);

	if (!error)
		xfd_background_run();
	return error;
}

static const struct kernel_param_ops pool_ops = {
	.set = set_pool,
	.get = param_get_uint,
};
module_param_cb(pool, &pool_ops, &xfd_pool, 0644);
MODULE_PARM_DESC(pool, "number of free register buffers that each CPU keeps for first uses, 12 KiB each; 0 for none (default 64)");

/* Rust: pool.rs */
unsigned long xfd_pool_count(void);
unsigned long xfd_pool_shrink(unsigned long wanted);

static struct shrinker *xfd_shrinker;

static unsigned long count(struct shrinker *shrinker, struct shrink_control *sc)
{
	return xfd_pool_count() ?: SHRINK_EMPTY;
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	return xfd_pool_shrink(sc->nr_to_scan);
}

int xfd_shrinker_register(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "xfd");

	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker_register(shrinker);
	xfd_shrinker = shrinker;
	return 0;
}

void xfd_shrinker_unregister(void)
{
	shrinker_free(xfd_shrinker);
	xfd_shrinker = NULL;
}
