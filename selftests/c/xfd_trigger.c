// SPDX-License-Identifier: GPL-2.0
/* The emulator's trigger fires right before the requested instruction. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "amx.h"
#include "machine.h"
#include "trigger.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define STOPPED		0	/* the CPU that gets stopped */
#define WATCHING	1
#define STEPS		64
#define AT_MOST		5000000
#define RESCHEDULE	0xfd	/* asm/irq_vectors.h: has no effect when no reschedule is due */

static volatile uint32_t steps;
extern const char first_step[], second_step[];

/* Counts to STEPS, one instruction each, right after arming. */
static void __attribute__((noipa)) count_steps_between(uint64_t after, uint64_t action, uint64_t at_most,
						       uint64_t low, uint64_t high)
{
	register uint64_t r8 asm("r8") = at_most, r9 asm("r9") = 0;
	register uint64_t r10 asm("r10") = STOPPED, r11 asm("r11") = low, r12 asm("r12") = high;
	uint64_t a = TRIGGER_LEAF, b = after, c = 1;

	asm volatile("cpuid\n"
		     "first_step:	incl %[steps]\n"
		     "second_step:	.rept %c[more]\n"
		     "	incl %[steps]\n"
		     "	.endr"
		     : "+a" (a), "+b" (b), "+c" (c), [steps] "+m" (steps)
		     : "S" (TRIGGER_NOW), "D" (action), "r" (r8), "r" (r9), "r" (r10), "r" (r11), "r" (r12),
		       [more] "i" (STEPS - 1) : "rdx", "memory");
}

static void count_steps(uint64_t after, uint64_t action, uint64_t at_most)
{
	count_steps_between(after, action, at_most, 0, 0);
}

/* Counter 2: interrupts (machine.rst). */
static uint32_t interrupts(void)
{
	uint32_t a = 0x58464400, b, c = 2, d;

	asm volatile("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
	return a;
}

/* What the watcher saw of a paused CPU. */
struct seen {
	struct trigger trigger;
	uint32_t steps;
};

static volatile bool watching, done;

/* Nobody may have the watcher's CPU while the other one is paused. */
static bool takes_its_cpu(void)
{
	const struct sched_param first = { .sched_priority = 50 };
	bool begun = pin_to(WATCHING) && !sched_setscheduler(0, SCHED_FIFO, &first);

	watching = true;
	return begun;
}

static void *watch(void *place)
{
	struct seen *seen = place;

	if (!takes_its_cpu())
		return place;
	while (!done) {
		seen->trigger = trigger_look(STOPPED);
		if (seen->trigger.state == TRIGGER_PAUSED) {
			seen->steps = steps;
			trigger_let_go(STOPPED);
			return NULL;
		}
	}
	return NULL;
}

static bool start_watching(pthread_t *watcher, void *(*watches)(void *), void *place)
{
	done = watching = false;
	steps = 0;
	if (pthread_create(watcher, NULL, watches, place))
		return false;
	while (!watching)
		sched_yield();
	return true;
}

static bool end_watching(pthread_t watcher)
{
	void *failed;

	done = true;
	return !pthread_join(watcher, &failed) && !failed;
}

/* Pauses after @after steps while another CPU watches. */
static bool paused_after(uint64_t after, struct seen *seen)
{
	pthread_t watcher;

	if (!start_watching(&watcher, watch, seen))
		return false;
	count_steps(after, TRIGGER_PAUSE, AT_MOST);
	return end_watching(watcher) && steps == STEPS;
}

FIXTURE(trigger)
{
};

FIXTURE_SETUP(trigger)
{
	if (!trigger_is_there())
		SKIP(return, "only the emulated machine has a trigger");
	if (!pin_to(WATCHING) || !pin_to(STOPPED))
		SKIP(return, "needs two CPUs");
}

FIXTURE_TEARDOWN(trigger)
{
	trigger_disarm(STOPPED);
}

TEST_F(trigger, pauses_before_each_instruction)
{
	const uintptr_t length = second_step - first_step;
	struct seen seen;
	int after;

	for (after = 0; after < STEPS; after++) {
		ASSERT_TRUE(paused_after(after, &seen));
		EXPECT_EQ(TRIGGER_PAUSED, seen.trigger.state);
		EXPECT_EQ(after, seen.steps);
		EXPECT_EQ(after, seen.trigger.passed);
		EXPECT_EQ((uintptr_t)first_step + after * length, seen.trigger.rip);
		EXPECT_EQ(3 | TRIGGER_IF, seen.trigger.flags);
	}
}

TEST_F(trigger, goes_on_by_itself)
{
	struct trigger seen;

	count_steps(3, TRIGGER_PAUSE, 10000);
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(TRIGGER_FIRED, seen.state);
	EXPECT_NE(0, seen.flags & TRIGGER_BY_ITSELF);
}

#define PAUSES	16
#define LONG_PAUSE	(16 * AT_MOST)
#define TICK	4000000		/* ns, at CONFIG_HZ=250 */

/* What the watcher saw of a CPU that it let pause again and again, and for how long it does so, in nanoseconds. */
struct pauses {
	uint64_t gap, lasts;
	int times;
	struct seen seen[PAUSES];
};

static uint64_t now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void *watch_again(void *place)
{
	struct pauses *pauses = place;

	if (!takes_its_cpu())
		return place;
	while (!done) {
		struct seen *seen = &pauses->seen[pauses->times];

		seen->trigger = trigger_look(STOPPED);
		if (seen->trigger.state != TRIGGER_PAUSED)
			continue;
		seen->steps = steps;
		for (uint64_t begin = now(); now() - begin < pauses->lasts;)
			;
		if (++pauses->times == PAUSES) {
			trigger_let_go(STOPPED);
			return NULL;
		}
		if (!trigger_pause_again(pauses->gap, LONG_PAUSE, STOPPED))
			return place;
	}
	return NULL;
}

/* Expects pauses 4 steps apart. Each lasts for so many nanoseconds; only instructions between low and high count. */
static void expect_pauses(struct __test_metadata *_metadata, uint64_t lasts, uint64_t low, uint64_t high)
{
	const uintptr_t length = second_step - first_step;
	struct pauses pauses = { .gap = 4, .lasts = lasts };
	pthread_t watcher;
	int i;

	ASSERT_TRUE(start_watching(&watcher, watch_again, &pauses));
	count_steps_between(3, TRIGGER_PAUSE, LONG_PAUSE, low, high);
	ASSERT_TRUE(end_watching(watcher));
	EXPECT_EQ(STEPS, steps);
	ASSERT_EQ(PAUSES, pauses.times);
	for (i = 0; i < PAUSES; i++) {
		const struct seen *seen = &pauses.seen[i];
		const int after = 3 + 4 * i;

		EXPECT_EQ(after, seen->steps);
		EXPECT_EQ(after, seen->trigger.passed);
		EXPECT_EQ((uintptr_t)first_step + after * length, seen->trigger.rip);
		EXPECT_EQ(3 | TRIGGER_IF, seen->trigger.flags);
	}
}

TEST_F(trigger, pauses_again)
{
	expect_pauses(_metadata, 0, 0, 0);
}

/* What interrupts a paused CPU is not counted, nor the instruction to which it returns a second time. */
TEST_F(trigger, pauses_again_after_interrupts)
{
	uint32_t before = interrupts();

	expect_pauses(_metadata, TICK * 5 / 4, 0, 0);
	EXPECT_LE(PAUSES, interrupts() - before);
}

TEST_F(trigger, pauses_again_between_two_addresses)
{
	const uintptr_t first = (uintptr_t)first_step, length = second_step - first_step;

	expect_pauses(_metadata, TICK * 5 / 4, first, first + STEPS * length - 1);
}

TEST_F(trigger, pauses_only_a_paused_cpu_again)
{
	EXPECT_FALSE(trigger_pause_again(1, AT_MOST, STOPPED));
	EXPECT_FALSE(trigger_pause_again(1, AT_MOST, 99));
	count_steps(3, TRIGGER_PAUSE, 10000);
	EXPECT_EQ(TRIGGER_FIRED, trigger_look(STOPPED).state);
	EXPECT_FALSE(trigger_pause_again(1, AT_MOST, STOPPED));
	ASSERT_TRUE(trigger_arm(1000000, (struct trigger_request){ .at_most = 1000, .cpu = STOPPED }));
	EXPECT_FALSE(trigger_pause_again(1, AT_MOST, STOPPED));
}

static uint8_t from[256], to[256];

TEST_F(trigger, rep_is_one_instruction)
{
	register uint64_t r8 asm("r8") = AT_MOST, r9 asm("r9") = 0;
	register uint64_t r10 asm("r10") = STOPPED, r11 asm("r11") = 0, r12 asm("r12") = 0;
	uint64_t a = TRIGGER_LEAF, b = 200, c = 1, d = sizeof(from), si = 0, di = 0;
	struct trigger seen;

	memset(from, 7, sizeof(from));
	/* The count never reaches 200 if the whole copy is one instruction. */
	asm volatile("cpuid\n"
		     "	mov %[size], %%ecx\n"
		     "	lea %[from], %%rsi\n"
		     "	lea %[to], %%rdi\n"
		     "	rep movsb"
		     : "+a" (a), "+b" (b), "+c" (c), "+S" (si), "+D" (di), "=&d" (d), [to] "=m" (to)
		     : "r" (r8), "r" (r9), "r" (r10), "r" (r11), "r" (r12), [size] "i" (sizeof(from)), [from] "m" (from) : "memory");
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(0, memcmp(from, to, sizeof(to)));
	EXPECT_EQ(TRIGGER_COUNTS, seen.state);
	EXPECT_LT(seen.passed, 50);
}

TEST_F(trigger, interrupts)
{
	uint32_t before = interrupts();
	struct trigger seen;

	count_steps(5, RESCHEDULE, 0);
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(TRIGGER_FIRED, seen.state);
	EXPECT_EQ(5, seen.passed);
	EXPECT_LE(1, interrupts() - before);
	EXPECT_EQ((uintptr_t)first_step + 5 * (second_step - first_step), seen.rip);
}

static void __attribute__((noipa)) function(int depth)
{
	steps++;
	if (depth)
		function(depth - 1);
	steps++;
}

TEST_F(trigger, ends_with_its_function)
{
	struct trigger seen;

	steps = 0;
	ASSERT_TRUE(trigger_arm(1000, (struct trigger_request){
		.event = (uintptr_t)function, .at_most = 1000, .in_function = 1, .cpu = STOPPED }));
	function(3);
	steps++;
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(9, steps);
	EXPECT_EQ(TRIGGER_RETURNED, seen.state);
	EXPECT_LE(2 * 4, seen.passed);
	EXPECT_GE(100, seen.passed);
}

TEST_F(trigger, pauses_again_only_in_its_function)
{
	struct pauses pauses = { .gap = 1 };
	struct trigger seen;
	pthread_t watcher;
	int i;

	ASSERT_TRUE(start_watching(&watcher, watch_again, &pauses));
	ASSERT_TRUE(trigger_arm(0, (struct trigger_request){
		.event = (uintptr_t)function, .at_most = AT_MOST, .in_function = 1, .cpu = STOPPED }));
	function(0);
	seen = trigger_disarm(STOPPED);
	ASSERT_TRUE(end_watching(watcher));
	EXPECT_EQ(TRIGGER_RETURNED, seen.state);
	EXPECT_EQ(seen.passed, pauses.times);
	ASSERT_LE(3, pauses.times);
	ASSERT_GT(PAUSES, pauses.times);
	EXPECT_EQ((uintptr_t)function, pauses.seen[0].trigger.rip);
	for (i = 1; i < pauses.times; i++) {
		EXPECT_NE(pauses.seen[i - 1].trigger.rip, pauses.seen[i].trigger.rip);
		EXPECT_EQ(i, pauses.seen[i].trigger.passed);
	}
}

/* Counts only the instructions in function(), which is called from and returns to another function. */
static void __attribute__((noipa)) calls_function(void)
{
	function(0);
	function(0);
}

TEST_F(trigger, counts_between_two_addresses)
{
	struct trigger_request request = { .event = (uintptr_t)calls_function, .at_most = 1000, .in_function = 1, .cpu = STOPPED };
	struct trigger all, inside;

	ASSERT_TRUE(trigger_arm(1000, request));
	calls_function();
	all = trigger_disarm(STOPPED);
	request.low = (uintptr_t)function;
	request.high = request.low;
	ASSERT_TRUE(trigger_arm(1000, request));
	calls_function();
	inside = trigger_disarm(STOPPED);
	EXPECT_EQ(TRIGGER_RETURNED, inside.state);
	EXPECT_EQ(2, inside.passed);
	EXPECT_LT(8, all.passed);
	ASSERT_TRUE(trigger_arm(1, request));
	calls_function();
	EXPECT_EQ((uintptr_t)function, trigger_disarm(STOPPED).rip);
}

TEST_F(trigger, arms_another_cpu)
{
	struct trigger seen;

	ASSERT_TRUE(pin_to(WATCHING));
	ASSERT_TRUE(trigger_arm(1000, (struct trigger_request){ .at_most = 1000, .cpu = STOPPED }));
	EXPECT_EQ(TRIGGER_OFF, trigger_look(WATCHING).state);
	ASSERT_TRUE(pin_to(STOPPED));
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(TRIGGER_FIRED, seen.state);
	EXPECT_EQ(1000, seen.passed);
}

static void skip_tilezero(int signo, siginfo_t *info, void *ucontext)
{
	((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP] += 5;
}

TEST_F(trigger, counts_from_the_next_nm)
{
	struct sigaction action = { .sa_sigaction = skip_tilezero, .sa_flags = SA_SIGINFO };
	struct trigger seen;

	REQUIRE_TILES();
	ASSERT_EQ(0, sigaction(SIGILL, &action, NULL));
	tiles_configure();
	ASSERT_TRUE(trigger_arm(0, (struct trigger_request){
		.event = TRIGGER_NM, .at_most = 1000, .cpu = STOPPED }));
	EXPECT_EQ(TRIGGER_AWAITS, trigger_look(STOPPED).state);
	/* Refused for lack of permission. */
	asm volatile("tilezero %tmm0");
	seen = trigger_disarm(STOPPED);
	EXPECT_EQ(TRIGGER_FIRED, seen.state);
	EXPECT_EQ(0, seen.passed);
	EXPECT_EQ(0, seen.flags & 3);
}

TEST_F(trigger, refuses_what_can_not_be)
{
	EXPECT_FALSE(trigger_arm(0, (struct trigger_request){ .action = 5, .cpu = STOPPED }));
	EXPECT_FALSE(trigger_arm(0, (struct trigger_request){ .action = 256, .cpu = STOPPED }));
	EXPECT_FALSE(trigger_arm(0, (struct trigger_request){ .cpu = 99 }));
	EXPECT_EQ(TRIGGER_OFF, trigger_look(STOPPED).state);
	EXPECT_EQ(0, trigger_ask(77, 0, (struct trigger_request){ 0 }).passed);
	EXPECT_EQ(0, trigger_look(99).state);
}

TEST_HARNESS_MAIN
