// SPDX-License-Identifier: GPL-2.0
/*
 * Matrix products and convolutions by Debian's oneDNN, each checked against a plain loop. oneDNN
 * itself picks its kernels and asks for permission to use AMX; nothing here knows about tiles.
 * One line each: NAME KERNEL, elements right and computed, and a hash of the result.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dnnl.h>

/* Odd sizes, so that the last tile in a row or column is not full. */
enum { M = 50, K = 200, N = 70 };
enum { IC = 64, OC = 48, SIDE = 7, WINDOW = 3 };

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status, const char *what)
{
	if (status == dnnl_success)
		return;
	fprintf(stderr, "oneDNN: %s: status %d\n", what, status);
	exit(1);
}

/* --- numbers -------------------------------------------------------------------------------- */

static uint32_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

static float from_bf16(uint16_t bits)
{
	uint32_t wide = (uint32_t)bits << 16;
	float value;

	memcpy(&value, &wide, sizeof(value));
	return value;
}

static void fill(void *to, size_t count, dnnl_data_type_t type)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t r = next_random();

		if (type == dnnl_bf16)
			/* Either sign, magnitudes from 1/4 to 4, all fraction bits. */
			((uint16_t *)to)[i] = (r & 0x8000) | (0x3e80 + r % 0x200);
		else
			((uint8_t *)to)[i] = r;
	}
}

static double number(const void *from, size_t i, dnnl_data_type_t type)
{
	switch (type) {
	case dnnl_u8: return ((const uint8_t *)from)[i];
	case dnnl_s8: return ((const int8_t *)from)[i];
	case dnnl_s32: return ((const int32_t *)from)[i];
	case dnnl_bf16: return from_bf16(((const uint16_t *)from)[i]);
	default: return ((const float *)from)[i];
	}
}

static double *numbers(const void *from, size_t count, dnnl_data_type_t type)
{
	double *to = malloc(count * sizeof(*to));

	for (size_t i = 0; i < count; i++)
		to[i] = number(from, i, type);
	return to;
}

static size_t size_of(dnnl_data_type_t type)
{
	return type == dnnl_s32 || type == dnnl_f32 ? 4 : type == dnnl_bf16 ? 2 : 1;
}

static uint64_t fnv1a(const void *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

/* --- oneDNN's data ---------------------------------------------------------------------------- */

/* One of our arrays in plain order, and the same in the order oneDNN asked for. */
struct array {
	dnnl_data_type_t type;
	size_t count;
	void *data;
	dnnl_memory_desc_t plain, any;
	dnnl_memory_t ours, its;
};

static struct array array(int ndims, const dnnl_dims_t dims, dnnl_data_type_t type,
			  dnnl_format_tag_t order)
{
	struct array a = { .type = type, .count = 1 };

	for (int i = 0; i < ndims; i++)
		a.count *= dims[i];
	a.data = calloc(a.count, size_of(type));
	must(dnnl_memory_desc_create_with_tag(&a.plain, ndims, dims, type, order), "array");
	must(dnnl_memory_desc_create_with_tag(&a.any, ndims, dims, type, dnnl_format_tag_any), "array");
	must(dnnl_memory_create(&a.ours, a.plain, engine, a.data), "array");
	return a;
}

static void reorder(dnnl_memory_t from, dnnl_memory_t to)
{
	dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
	const_dnnl_memory_desc_t from_desc, to_desc;
	dnnl_primitive_desc_t desc;
	dnnl_primitive_t primitive;

	must(dnnl_memory_get_memory_desc(from, &from_desc), "reorder");
	must(dnnl_memory_get_memory_desc(to, &to_desc), "reorder");
	must(dnnl_reorder_primitive_desc_create(&desc, from_desc, engine, to_desc, engine, NULL), "reorder");
	must(dnnl_primitive_create(&primitive, desc), "reorder");
	must(dnnl_primitive_execute(primitive, stream, 2, args), "reorder");
	must(dnnl_stream_wait(stream), "reorder");
	dnnl_primitive_destroy(primitive);
	dnnl_primitive_desc_destroy(desc);
}

/* Computes @out and returns the kernel that did so. */
static const char *compute(dnnl_primitive_desc_t desc, struct array *in, struct array *weights,
			   struct array *out)
{
	struct array *arrays[] = { in, weights, out };
	const dnnl_query_t asks[] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md };
	dnnl_primitive_t primitive;
	const char *kernel;

	must(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &kernel), "kernel");
	for (int i = 0; i < 3; i++)
		must(dnnl_memory_create(&arrays[i]->its, dnnl_primitive_desc_query_md(desc, asks[i], 0),
					engine, DNNL_MEMORY_ALLOCATE), "memory");
	reorder(in->ours, in->its);
	reorder(weights->ours, weights->its);
	must(dnnl_primitive_create(&primitive, desc), "primitive");
	must(dnnl_primitive_execute(primitive, stream, 3, (dnnl_exec_arg_t[]) {
		{ DNNL_ARG_SRC, in->its }, { DNNL_ARG_WEIGHTS, weights->its }, { DNNL_ARG_DST, out->its },
	}), "execute");
	must(dnnl_stream_wait(stream), "execute");
	reorder(out->its, out->ours);
	return kernel;
}

/* --- the plain loops -------------------------------------------------------------------------- */

/*
 * A sum of @terms products whose absolute values add up to @size: exact for integers; for floats,
 * rounded at most once per addition.
 */
static int is_right(const struct array *out, size_t i, double want, double size, int terms)
{
	double seen = number(out->data, i, out->type);

	if (out->type == dnnl_s32)
		return seen == want;
	return fabs(seen - want) <= size * terms * 0x1p-24;
}

static int matmul_right(const struct array *left_side, const struct array *right_side, const struct array *c)
{
	const double *a = numbers(left_side->data, left_side->count, left_side->type);
	const double *b = numbers(right_side->data, right_side->count, right_side->type);
	int right = 0;

	for (int m = 0; m < M; m++)
		for (int n = 0; n < N; n++) {
			double sum = 0, size = 0;

			for (int k = 0; k < K; k++) {
				double product = a[m * K + k] * b[k * N + n];

				sum += product;
				size += fabs(product);
			}
			right += is_right(c, m * N + n, sum, size, K);
		}
	return right;
}

/* One pixel in one channel, with zero padding around the picture. */
static int pixel_right(const double *in, const double *w, const struct array *out, int oc, int y, int x)
{
	double sum = 0, size = 0;

	for (int ic = 0; ic < IC; ic++)
		for (int dy = 0; dy < WINDOW; dy++)
			for (int dx = 0; dx < WINDOW; dx++) {
				int iy = y + dy - 1, ix = x + dx - 1;
				double product;

				if (iy < 0 || ix < 0 || iy >= SIDE || ix >= SIDE)
					continue;
				product = in[(ic * SIDE + iy) * SIDE + ix] *
					  w[((oc * IC + ic) * WINDOW + dy) * WINDOW + dx];
				sum += product;
				size += fabs(product);
			}
	return is_right(out, (oc * SIDE + y) * SIDE + x, sum, size, IC * WINDOW * WINDOW);
}

static int convolution_right(const struct array *picture, const struct array *weights, const struct array *out)
{
	const double *in = numbers(picture->data, picture->count, picture->type);
	const double *w = numbers(weights->data, weights->count, weights->type);
	int right = 0;

	for (int oc = 0; oc < OC; oc++)
		for (int y = 0; y < SIDE; y++)
			for (int x = 0; x < SIDE; x++)
				right += pixel_right(in, w, out, oc, y, x);
	return right;
}

/* --- the operations --------------------------------------------------------------------------- */

static int report(const char *name, const char *kernel, const struct array *out, int right)
{
	printf("%s %s right %d of %zu hash %016llx\n", name, kernel, right, out->count,
	       (unsigned long long)fnv1a(out->data, out->count * size_of(out->type)));
	fflush(stdout);
	return right == (int)out->count;
}

static int matmul(const char *name, dnnl_data_type_t left, dnnl_data_type_t right, dnnl_data_type_t result)
{
	struct array a = array(2, (dnnl_dims_t) { M, K }, left, dnnl_ab);
	struct array b = array(2, (dnnl_dims_t) { K, N }, right, dnnl_ab);
	struct array c = array(2, (dnnl_dims_t) { M, N }, result, dnnl_ab);
	dnnl_primitive_desc_t desc;

	fill(a.data, a.count, left);
	fill(b.data, b.count, right);
	must(dnnl_matmul_primitive_desc_create(&desc, engine, a.any, b.any, NULL, c.any, NULL), name);
	const char *kernel = compute(desc, &a, &b, &c);

	return report(name, kernel, &c, matmul_right(&a, &b, &c));
}

static int convolution(const char *name, dnnl_data_type_t left, dnnl_data_type_t right, dnnl_data_type_t result)
{
	struct array in = array(4, (dnnl_dims_t) { 1, IC, SIDE, SIDE }, left, dnnl_nchw);
	struct array w = array(4, (dnnl_dims_t) { OC, IC, WINDOW, WINDOW }, right, dnnl_oihw);
	struct array out = array(4, (dnnl_dims_t) { 1, OC, SIDE, SIDE }, result, dnnl_nchw);
	const dnnl_dims_t one = { 1, 1 }, none = { 0, 0 };
	dnnl_primitive_desc_t desc;

	fill(in.data, in.count, left);
	fill(w.data, w.count, right);
	must(dnnl_convolution_forward_primitive_desc_create(&desc, engine, dnnl_forward_inference,
			dnnl_convolution_direct, in.any, w.any, NULL, out.any, one, none, one, one, NULL), name);
	const char *kernel = compute(desc, &in, &w, &out);

	return report(name, kernel, &out, convolution_right(&in, &w, &out));
}

int main(void)
{
	const dnnl_version_t *version = dnnl_version();
	int right = 1;

	printf("oneDNN %d.%d.%d isa 0x%x\n", version->major, version->minor, version->patch,
	       dnnl_get_effective_cpu_isa());
	fflush(stdout);
	must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
	must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
	right &= matmul("matmul.int8", dnnl_u8, dnnl_s8, dnnl_s32);
	right &= matmul("matmul.bf16", dnnl_bf16, dnnl_bf16, dnnl_f32);
	right &= convolution("convolution.int8", dnnl_u8, dnnl_s8, dnnl_s32);
	right &= convolution("convolution.bf16", dnnl_bf16, dnnl_bf16, dnnl_f32);
	return !right;
}
