/* SPDX-License-Identifier: GPL-2.0 */
/* A thread that sleeps or does something else while reclaim passes run. */
#ifndef XFD_TEST_SLEEPER_H
#define XFD_TEST_SLEEPER_H

#include <pthread.h>
#include <stdatomic.h>

#include "amx.h"
#include "reclaim.h"

static struct tiles tiles;
static int wake[2];

/* A second thread, in addition to the one that waits for the passes. */
struct worker {
	pthread_t thread;
	bool (*run)(struct worker *worker);
	int from;		/* sleeps until there is a byte to read */
	volatile int stop;	/* or computes until this is set */
	bool bare;		/* starts without a first use */
	atomic_bool ready;
	bool right;
};

static void use_tiles(void)
{
	tiles_configure();
	tiles_load(&tiles);
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;

	if (!worker->bare)
		use_tiles();
	worker->right = worker->run(worker);
	return NULL;
}

static bool worker_start(struct worker *worker)
{
	if (!worker->from)
		worker->from = wake[0];
	if (pthread_create(&worker->thread, NULL, worker_thread, worker))
		return false;
	while (!atomic_load(&worker->ready))
		sched_yield();
	return true;
}

static bool worker_end(struct worker *worker)
{
	worker->stop = 1;
	return (worker->from != wake[0] || write(wake[1], "", 1) == 1) && !pthread_join(worker->thread, NULL);
}

static bool sleeps(struct worker *worker)
{
	struct registers before, after;

	registers_fill(&before, 3);
	atomic_store(&worker->ready, true);
	return read_with_registers(worker->from, &before, &after) && !memcmp(&before, &after, sizeof(before));
}

#define EXPECT_RIGHT(worker)			\
	do {					\
		ASSERT_TRUE(worker_end(&(worker)));	\
		EXPECT_TRUE((worker).right);	\
	} while (0)

#endif
