// SPDX-License-Identifier: GPL-2.0
/* The dot products (SDM vol. 2: TDPBSSD and its siblings, TDPBF16PS), checked against plain C. */
#include <math.h>
#include <string.h>
#include <xmmintrin.h>

#include "answers.h"
#include "tiles.h"

/* Tiles A (m x 4k bytes), B (k x 4n bytes), C (m x 4n bytes), and the expected C. */
static uint8_t a[16][64], b[16][64], c[16][64], want[16][64];

static void load(int m, int n, int k)
{
	struct tile_config cfg = { .palette = 1 };

	cfg.rows[0] = m, cfg.row_bytes[0] = 4 * n;
	cfg.rows[1] = m, cfg.row_bytes[1] = 4 * k;
	cfg.rows[2] = k, cfg.row_bytes[2] = 4 * n;
	ldtilecfg(&cfg);
	tileloadd(0, c, 64);
	tileloadd(1, a, 64);
	tileloadd(2, b, 64);
}

static const char *compare(int m, int n)
{
	uint8_t got[16][64];

	tilestored(0, got, 64);
	for (int i = 0; i < m; i++)
		if (memcmp(got[i], want[i], 4 * n))
			return "differs";
	return "equal";
}

static uint32_t dword(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static void bytes_in_c(int m, int n, int k, int a_signed, int b_signed)
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			uint32_t sum = dword(&c[i][4 * j]);

			for (int l = 0; l < 4 * k; l++) {
				int x = a[i][l], y = b[l / 4][4 * j + l % 4];

				sum += (a_signed ? (int8_t)x : x) * (b_signed ? (int8_t)y : y);
			}
			memcpy(&want[i][4 * j], &sum, 4);
		}
}

#define ASK_BYTES(op, name, a_signed, b_signed)					\
	do {									\
		bytes_in_c(16, 16, 16, a_signed, b_signed);			\
		load(16, 16, 16);						\
		tdp(op, 0, 1, 2);						\
		answer("dots." name ".full", "%s", compare(16, 16));		\
		bytes_in_c(5, 7, 3, a_signed, b_signed);			\
		load(5, 7, 3);							\
		tdp(op, 0, 1, 2);						\
		answer("dots." name ".5x7x3", "%s", compare(5, 7));		\
	} while (0)

/* A bfloat16 is the upper half of a float; denormals count as zero, keeping the sign. */
static float from_bf16(const uint8_t *at)
{
	uint32_t bits = (uint32_t)(at[0] | at[1] << 8) << 16;
	float value;

	if (!(bits & 0x7f800000))
		bits &= 0x80000000;
	memcpy(&value, &bits, 4);
	return value;
}

/* Likewise for a result: a denormal becomes zero, keeping the sign. */
static float flush(float value)
{
	return fpclassify(value) == FP_SUBNORMAL ? copysignf(0, value) : value;
}

/* Even and odd elements are summed separately, with one rounding per product, and then added. */
static void bf16_in_c(int m, int n, int k)
{
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++) {
			float sum[2] = { 0, 0 }, before, result;

			for (int l = 0; l < 2 * k; l++)
				sum[l % 2] = flush(fmaf(from_bf16(&a[i][2 * l]),
							from_bf16(&b[l / 2][4 * j + 2 * (l % 2)]), sum[l % 2]));
			memcpy(&before, &c[i][4 * j], 4);
			result = flush(flush(before) + flush(sum[0] + sum[1]));
			memcpy(&want[i][4 * j], &result, 4);
		}
}

static void ask_bf16(const char *name, int m, int n, int k)
{
	bf16_in_c(m, n, k);
	load(m, n, k);
	tdp(tdpbf16ps, 0, 1, 2);
	answer(name, "%s", compare(m, n));
}

/* Random bfloat16 values of either sign, with magnitudes between 2^-@spread and 2^@spread. */
static void fill_bf16(uint8_t tile[16][64], uint32_t seed, int spread)
{
	uint8_t random[16][64];

	fill_pattern(random, sizeof(random), seed);
	for (int i = 0; i < 16; i++)
		for (int j = 0; j < 32; j++) {
			int exponent = 127 - spread + random[i][2 * j] % (2 * spread + 1);

			tile[i][2 * j] = (exponent & 1) << 7 | (random[i][2 * j + 1] & 0x7f);
			tile[i][2 * j + 1] = (random[i][2 * j + 1] & 0x80) | exponent >> 1;
		}
}

void ask_dots(void)
{
	unsigned int mxcsr = _mm_getcsr();

	fill_pattern(a, sizeof(a), 2);
	fill_pattern(b, sizeof(b), 3);
	fill_pattern(c, sizeof(c), 4);
	ASK_BYTES(tdpbssd, "tdpbssd", 1, 1);
	ASK_BYTES(tdpbsud, "tdpbsud", 1, 0);
	ASK_BYTES(tdpbusd, "tdpbusd", 0, 1);
	ASK_BYTES(tdpbuud, "tdpbuud", 0, 0);

	fill_bf16(a, 5, 10);
	fill_bf16(b, 6, 10);
	memset(c, 0, sizeof(c));
	ask_bf16("dots.tdpbf16ps.full", 16, 16, 16);
	ask_bf16("dots.tdpbf16ps.5x7x3", 5, 7, 3);
	fill_bf16(a, 7, 63);		/* products around the smallest normal number */
	fill_bf16(b, 8, 63);
	for (int i = 0; i < 16; i++)
		for (int j = 1; j < 64; j += 2)
			b[i][j] &= 0x8f;
	ask_bf16("dots.tdpbf16ps.denormals", 16, 16, 16);
	/* MXCSR is neither used nor changed. Here it rounds up, with all exceptions unmasked. */
	fill_bf16(a, 5, 10);
	bf16_in_c(16, 16, 16);
	load(16, 16, 16);
	_mm_setcsr(0x4000);
	tdp(tdpbf16ps, 0, 1, 2);
	unsigned int after = _mm_getcsr();
	_mm_setcsr(mxcsr);
	answer("dots.tdpbf16ps.mxcsr_ignored", "%s", compare(16, 16));
	answer("dots.tdpbf16ps.mxcsr_after", "%#x", after);
	tilerelease();
}
