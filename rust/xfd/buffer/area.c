// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for a thread that cannot go on without it: the buffer of one that was reclaimed. The C code would not
 * have taken its memory, so for as long as possible nobody must be killed to give it back.
 */
#include <linux/delay.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "../seam/seam.h"

/* The last of the pauses of 1, 2, 4 ... ms between the tries */
#define LONGEST_MS 256

/*
 * Without a node, vmalloc would follow the thread's memory policy, and a full node would be a reason for the OOM
 * killer though others have memory. (For page-table pages it still does; these rarely have to be allocated.) The
 * areas outlive the module, and so must not be accounted to it, as by the macros without _noprof.
 */
static void *zeroed(size_t bytes, gfp_t flag)
{
	return vrealloc_node_noprof(NULL, bytes, GFP_KERNEL | __GFP_ZERO | flag, numa_mem_id());
}

void *xfd_zalloc_nofail(size_t bytes)
{
	for (unsigned int ms = 1; ms <= LONGEST_MS; ms *= 2) {
		/* This reclaims memory, but does not call the OOM killer. */
		void *area = zeroed(bytes, __GFP_RETRY_MAYFAIL | __GFP_NOWARN);

		if (area)
			return area;
		msleep(ms);
	}
	return zeroed(bytes, __GFP_NOFAIL);
}
