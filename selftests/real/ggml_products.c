// SPDX-License-Identifier: GPL-2.0
/*
 * Matrix products by Debian's ggml, the tensor library for language models, checked against a plain loop.
 * ggml itself picks the build for this processor and asks for permission to use AMX.
 * One line each: NAME BUFFER, elements right and computed. BUFFER is where ggml keeps the weights, which
 * determines what it computes with.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ggml.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>

enum { INPUTS = 256, OUTPUTS = 96, ROWS = 20, BLOCK = 32 };

static ggml_backend_t backend;
static int8_t weights[OUTPUTS][INPUTS], rows[ROWS][INPUTS];

static void die(const char *what)
{
	fprintf(stderr, "ggml: %s\n", what);
	exit(1);
}

/*
 * Integers of magnitude up to @limit. Each block contains one of that magnitude, so that the block's scale
 * is 1 and quantization is lossless.
 */
static void fill(int8_t *to, size_t count, int limit)
{
	static uint32_t seed = 1;

	for (size_t i = 0; i < count; i++) {
		seed = seed * 1664525u + 1013904223u;
		to[i] = i % BLOCK ? (int)(seed >> 8) % (2 * limit + 1) - limit : limit;
	}
}

static float *floats(const int8_t *from, size_t count)
{
	float *to = malloc(count * sizeof(*to));

	for (size_t i = 0; i < count; i++)
		to[i] = from[i];
	return to;
}

static struct ggml_context *context(void)
{
	struct ggml_context *ctx = ggml_init((struct ggml_init_params) {
		.mem_size = 16 * ggml_tensor_overhead() + ggml_graph_overhead(),
		.no_alloc = true,
	});

	return ctx ? ctx : (die("no context"), ctx);
}

static int right_elements(const float *result)
{
	int right = 0;

	for (int row = 0; row < ROWS; row++)
		for (int n = 0; n < OUTPUTS; n++) {
			long sum = 0;

			for (int k = 0; k < INPUTS; k++)
				sum += weights[n][k] * rows[row][k];
			right += result[row * OUTPUTS + n] == sum;
		}
	return right;
}

/* The product with the weights as q8_0, in a buffer of type @where. */
static int product(ggml_backend_buffer_type_t where)
{
	size_t size = ggml_row_size(GGML_TYPE_Q8_0, INPUTS) * OUTPUTS;
	struct ggml_context *kept = context(), *computed = context();
	struct ggml_tensor *w = ggml_new_tensor_2d(kept, GGML_TYPE_Q8_0, INPUTS, OUTPUTS);
	struct ggml_tensor *x = ggml_new_tensor_2d(computed, GGML_TYPE_F32, INPUTS, ROWS);
	struct ggml_tensor *y = ggml_mul_mat(computed, w, x);
	struct ggml_cgraph *graph = ggml_new_graph(computed);
	float *from = floats(&weights[0][0], INPUTS * OUTPUTS), *to = calloc(ROWS * OUTPUTS, sizeof(*to));
	void *quantised = malloc(size);
	int right;

	if (!ggml_backend_alloc_ctx_tensors_from_buft(kept, where))
		die("no memory for the weights");
	ggml_quantize_chunk(GGML_TYPE_Q8_0, from, quantised, 0, OUTPUTS, INPUTS, NULL);
	ggml_backend_tensor_set(w, quantised, 0, size);

	ggml_set_input(x);
	ggml_set_output(y);
	ggml_build_forward_expand(graph, y);
	if (!ggml_gallocr_alloc_graph(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend)), graph))
		die("no memory for the product");
	ggml_backend_tensor_set(x, floats(&rows[0][0], INPUTS * ROWS), 0, sizeof(float) * INPUTS * ROWS);
	if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS)
		die("the product was not computed");
	ggml_backend_tensor_get(y, to, 0, sizeof(float) * ROWS * OUTPUTS);
	right = right_elements(to);
	printf("q8_0 %s right %d of %d\n", ggml_backend_buft_name(where), right, ROWS * OUTPUTS);
	fflush(stdout);
	return right == ROWS * OUTPUTS;
}

int main(int argc, char **argv)
{
	ggml_backend_dev_get_extra_bufts_t more;
	ggml_backend_set_n_threads_t set_threads;
	ggml_backend_buffer_type_t *types;
	ggml_backend_dev_t cpu;
	ggml_backend_reg_t reg;
	int right;

	ggml_backend_load_all();
	cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	backend = cpu ? ggml_backend_dev_init(cpu, NULL) : NULL;
	if (!backend)
		die("no build for this processor");
	reg = ggml_backend_dev_backend_reg(cpu);
	set_threads = (ggml_backend_set_n_threads_t)ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads");
	more = (ggml_backend_dev_get_extra_bufts_t)ggml_backend_reg_get_proc_address(reg, "ggml_backend_dev_get_extra_bufts");
	if (!set_threads || !more)
		die("cannot set the number of threads, or query the buffers");
	set_threads(backend, argc > 1 ? atoi(argv[1]) : 1);

	fill(&weights[0][0], sizeof(weights), 127);
	fill(&rows[0][0], sizeof(rows), 127);
	right = product(ggml_backend_dev_buffer_type(cpu));
	for (types = more(cpu); types && *types; types++)
		if (!strcmp(ggml_backend_buft_name(*types), "AMX"))
			right &= product(*types);
	return !right;
}
