// SPDX-License-Identifier: GPL-2.0
/*
 * xfd_exec_storm COUNT: asks for tile data, uses a tile, and executes itself again, COUNT times. A
 * helper: its caller checks what the kernel leaks in the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "amx.h"

int main(int argc, char **argv)
{
	char left[24];
	long count;
	char *end;

	if (argc != 2 || (count = strtol(argv[1], &end, 10), *end || count < 0)) {
		fprintf(stderr, "usage: xfd_exec_storm COUNT\n");
		return 2;
	}
	if (!count)
		return 0;
	if (xcomp(XCOMP_REQ_PERM, TILE_DATA)) {
		fprintf(stderr, "xfd_exec_storm: no permission for tile data: no AMX here?\n");
		return 1;
	}
	tiles_configure();
	tilezero0();
	snprintf(left, sizeof(left), "%ld", count - 1);
	execl("/proc/self/exe", argv[0], left, NULL);
	perror("xfd_exec_storm: exec of itself");
	return 1;
}
