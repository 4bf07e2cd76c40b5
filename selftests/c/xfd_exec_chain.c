// SPDX-License-Identifier: GPL-2.0
/*
 * xfd_exec_chain COUNT [tile]: asks for tile data, uses a tile if told to, and executes itself
 * again, COUNT times. As small as possible (nolibc): a helper for the exec benchmarks.
 */
#define TILE_DATA 18
#define REQ_XCOMP_PERM 0x1023	/* ARCH_REQ_XCOMP_PERM, uapi/asm/prctl.h */

static unsigned char config[64] __attribute__((aligned(64))) = {
	[0] = 1, [16] = 64, [48] = 16,	/* palette 1, full-size tile 0 */
};

int main(int argc, char **argv)
{
	char *next[] = { argv[0], 0, argc > 2 ? argv[2] : 0, 0 };
	int count;

	if (argc < 2)
		return 2;
	count = atoi(argv[1]);
	if (count <= 0)
		return 0;
	if (syscall(__NR_arch_prctl, REQ_XCOMP_PERM, TILE_DATA))
		return 1;
	/* ldtilecfg; tilezero tmm0; tilerelease */
	asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a" (config), "m" (config));
	if (argc > 2)
		asm volatile(".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0");
	asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0");
	next[1] = itoa(count - 1);
	execve(argv[0], next, environ);
	return 1;
}
