// SPDX-License-Identifier: GPL-2.0
/*
 * User shadow stacks and tiles in one process. The shadow stack registers are a supervisor
 * component in the same buffer (CET_U, 11). A request, a larger buffer or a frame that dropped it
 * would leave the thread unprotected, or with another thread's stack.
 */
#include "kselftest_harness.h"
#include "faults.h"
#include "frame.h"
#include "kvm.h"
#include "reclaim.h"
#include "tracee.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SHSTK_ENABLE	0x5001	/* uapi/asm/prctl.h:33 */
#define SHSTK_DISABLE	0x5002
#define SHSTK_STATUS	0x5005
#define SHSTK		1UL
#define CET_USER	11
#define CPERR		10	/* SEGV_CPERR, uapi/asm-generic/siginfo.h */

/* Inlined, since a new shadow stack has no return address. Returns 0 or the negative errno. */
static __always_inline long shstk(int option, unsigned long arg)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(SYS_arch_prctl), "D"(option), "S"(arg)
		     : "rcx", "r11", "memory");
	return ret;
}

/* The shadow stack pointer, or 0 if there is no shadow stack. */
static __always_inline unsigned long ssp(void)
{
	unsigned long value = 0;

	asm volatile("rdsspq %0" : "+r"(value));
	return value;
}

/* Returns to a place it was not called from: #CP if the shadow stack is in force. */
static __always_inline void return_elsewhere(void)
{
	asm volatile("call 1f\n\t"
		     "1: lea 2f(%%rip), %%rax\n\t"
		     "mov %%rax, (%%rsp)\n\t"
		     "ret\n"
		     "2:" ::: "rax", "memory");
}

static struct tiles mine;
static struct frame frame;
static int delivered;

static void on_usr1(int signo, siginfo_t *info, void *ucontext)
{
	delivered++;
	frame_read(&frame, frame_area(ucontext));
}

static void on_segv(int signo, siginfo_t *info, void *ucontext)
{
	_exit(info->si_code);
}

enum order { REQUEST_FIRST, ENABLE_FIRST, USE_FIRST };

struct state {
	long request, enable, disable;
	uint64_t features;
	bool pointer_kept, tiles_kept, done;
	int denied_return;	/* si_code, or 0 */
};

static struct state state;

static void load(void)
{
	tiles_configure();
	tiles_load(&mine);
}

/* Sets up shadow stack, permission and tiles in the given order, and runs @body. */
static __attribute__((noinline)) void with_both(enum order order, void (*body)(void))
{
	unsigned long before;

	if (order != ENABLE_FIRST)
		state.request = xcomp(XCOMP_REQ_PERM, TILE_DATA);
	if (order == USE_FIRST)
		load();
	state.enable = shstk(SHSTK_ENABLE, SHSTK);
	if (state.enable)
		return;
	if (order == ENABLE_FIRST)
		state.request = xcomp(XCOMP_REQ_PERM, TILE_DATA);
	before = ssp();
	if (order != USE_FIRST)
		load();
	state.pointer_kept = before && ssp() == before;
	body();
	state.pointer_kept &= ssp() == before;
	state.tiles_kept = tiles_hold(&mine);
	shstk(SHSTK_STATUS, (unsigned long)&state.features);
	state.disable = shstk(SHSTK_DISABLE, SHSTK);
}

FIXTURE(shstk)
{
};

FIXTURE_VARIANT(shstk)
{
	enum order order;
};

/* Returns 0, or a negative errno that says why there are no shadow stacks. */
static __attribute__((noinline)) long prepare(void)
{
	struct sigaction usr1 = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };
	long ret;

	sigaction(SIGUSR1, &usr1, NULL);
	tiles_fill(&mine, 9);
	ret = shstk(SHSTK_ENABLE, SHSTK);
	if (!ret)
		shstk(SHSTK_DISABLE, SHSTK);
	return ret;
}

#define REQUIRE_SHSTK()								\
	do {									\
		long _ret = prepare();						\
										\
		if (_ret)							\
			SKIP(return, "no user shadow stacks here: ARCH_SHSTK_ENABLE: %s",	\
			     strerror(-_ret));					\
	} while (0)

FIXTURE_SETUP(shstk)
{
	REQUIRE_TILES();
	REQUIRE_SHSTK();
}

FIXTURE_TEARDOWN(shstk)
{
}

FIXTURE_VARIANT_ADD(shstk, request_first) { .order = REQUEST_FIRST };
FIXTURE_VARIANT_ADD(shstk, enable_first) { .order = ENABLE_FIRST };
FIXTURE_VARIANT_ADD(shstk, use_first) { .order = USE_FIRST };

#define EXPECT_BOTH()								\
	do {									\
		EXPECT_EQ(0, state.request);					\
		EXPECT_EQ(0, state.enable);					\
		EXPECT_EQ(SHSTK, state.features);				\
		EXPECT_EQ(0, state.disable);					\
		EXPECT_TRUE(state.pointer_kept);				\
		EXPECT_TRUE(state.tiles_kept);					\
	} while (0)

/* Lets a task with tiles but no shadow stack run in between. */
static void yield_to_another(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct tiles other;

		shstk(SHSTK_DISABLE, SHSTK);
		tiles_fill(&other, 10);
		tiles_configure();
		tiles_load(&other);
		for (int i = 0; i < 20; i++)
			sched_yield();
		_exit(!tiles_hold(&other));
	}
	for (int i = 0; i < 20; i++)
		sched_yield();
	state.done = waitpid(pid, &status, 0) == pid && !status;
}

TEST_F(shstk, kept_when_switched)
{
	with_both(variant->order, yield_to_another);
	EXPECT_BOTH();
	EXPECT_TRUE(state.done);
}

/* sigreturn takes the pointer from the shadow stack itself; the frame has user components only. */
static void three_signals(void)
{
	for (int i = 0; i < 3; i++)
		signal_now(SIGUSR1);
}

TEST_F(shstk, kept_by_signals)
{
	with_both(variant->order, three_signals);
	EXPECT_BOTH();
	EXPECT_EQ(3, delivered);
	EXPECT_FRAME_FOR(xcomp_mask(XCOMP_PERM));
	EXPECT_FALSE(frame.xfeatures & BIT_ULL(CET_USER));
	EXPECT_FALSE(frame.xstate_bv & BIT_ULL(CET_USER));
	EXPECT_EQ(0, memcmp(&frame.tiles, &mine, sizeof(mine)));
}

/* This is what shadow stacks are for: a return elsewhere is denied, even after a context switch. */
static void denied_return(void)
{
	struct sigaction segv = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	int status;
	pid_t pid;

	yield_to_another();
	pid = fork();
	if (!pid) {
		sigaction(SIGSEGV, &segv, NULL);
		load();
		sched_yield();
		return_elsewhere();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		state.denied_return = WEXITSTATUS(status);
}

TEST_F(shstk, in_force)
{
	with_both(variant->order, denied_return);
	EXPECT_BOTH();
	EXPECT_EQ(CPERR, state.denied_return);
	if (variant->order == REQUEST_FIRST)
		answer("shstk.return_elsewhere", "SIGSEGV code %d", state.denied_return);
}

static void *use_in_thread(void *arg)
{
	struct tiles own;
	unsigned long before = ssp();

	tiles_fill(&own, 11);
	tiles_configure();
	tiles_load(&own);
	signal_now(SIGUSR1);
	sched_yield();
	state.done = before && ssp() == before && tiles_hold(&own);
	return NULL;
}

/* The thread's pointer is written into the small copy of a large buffer (fpu/core.c:629). */
static void make_thread(void)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, use_in_thread, NULL))
		pthread_join(thread, NULL);
}

TEST_F(shstk, threads_have_both)
{
	with_both(variant->order, make_thread);
	EXPECT_BOTH();
	EXPECT_TRUE(state.done);
	EXPECT_EQ(1, delivered);
}

static int kvm;
static struct vcpu vcpu;

/* A vCPU's buffer follows the guest permission, which a request must not change. */
static void make_vcpu(void)
{
	xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA);
	vcpu_create(&vcpu, kvm);
	yield_to_another();
	vcpu_destroy(&vcpu);
}

TEST(shstk_beside_a_vcpu)
{
	REQUIRE_TILES();
	REQUIRE_SHSTK();
	kvm = kvm_open();
	if (kvm < 0)
		SKIP(return, "no KVM here: /dev/kvm: %s", strerror(errno));
	with_both(REQUEST_FIRST, make_vcpu);
	EXPECT_BOTH();
	EXPECT_LE(0, vcpu.vcpu);
	EXPECT_TRUE(state.done);
}

#ifndef NT_X86_SHSTK
#define NT_X86_SHSTK	0x204	/* uapi/linux/elf.h */
#endif

enum when { LIVE_TILES, NO_TILES, ASLEEP };

FIXTURE(traced)
{
	struct tracee t;
	long interval;
};

FIXTURE_VARIANT(traced)
{
	enum when when;
};

FIXTURE_VARIANT_ADD(traced, live) { .when = LIVE_TILES };
FIXTURE_VARIANT_ADD(traced, released) { .when = NO_TILES };
/* The module does not reclaim from a traced task, but from one that is traced later. */
FIXTURE_VARIANT_ADD(traced, reclaimed) { .when = ASLEEP };

static int wake[2], says[2];

static void stop(void)
{
	syscall(SYS_kill, getpid(), SIGSTOP);
}

static void stop_without_tiles(void)
{
	tilerelease();
	stop();
	load();
}

static void sleep_without_tiles(void)
{
	char byte;

	tilerelease();
	state.done = write(says[1], "", 1) == 1 && read(wake[0], &byte, 1) == 1;
	load();
}

static int tracee_with_both(enum when when)
{
	static void (*const body[])(void) = { stop, stop_without_tiles, sleep_without_tiles };

	/* Also if the test fails before it traces this process */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (when != ASLEEP && ptrace(PTRACE_TRACEME, 0, 0, 0))
		return 2;
	with_both(REQUEST_FIRST, body[when]);
	if (when == ASLEEP && !state.done)
		return 3;
	return state.request || state.enable || state.disable || !state.pointer_kept || !state.tiles_kept;
}

FIXTURE_SETUP(traced)
{
	long before = counter("reclaimed");
	int status;
	char byte;

	REQUIRE_TILES();
	REQUIRE_SHSTK();
	ASSERT_EQ(0, pipe(wake));
	ASSERT_EQ(0, pipe(says));
	self->t.size = xsave_size(xcomp_mask(XCOMP_SUPP));
	if (variant->when == ASLEEP && xfd_module()) {
		self->interval = parameter("reclaim_ms");
		ASSERT_TRUE(parameter_set("reclaim_ms", INTERVAL_MS));
	}
	self->t.pid = fork();
	if (!self->t.pid)
		_exit(tracee_with_both(variant->when));
	if (variant->when == ASLEEP) {
		ASSERT_EQ(1, read(says[0], &byte, 1));
		EXPECT_TRUE(!xfd_module() || reclaimed_since(before, 1));
		ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->t.pid, 0, 0));
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->t.pid, 0, 0));
	}
	ASSERT_EQ(self->t.pid, waitpid(self->t.pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(1, write(wake[1], "", 1));
}

FIXTURE_TEARDOWN(traced)
{
	if (self->t.pid)
		tracee_kill(&self->t);
	if (self->interval)
		EXPECT_TRUE(parameter_set("reclaim_ms", self->interval));
}

/* The kernel reads and writes the pointer where the buffer has it: ssp_get() and ssp_set(), fpu/regset.c. */
TEST_F(traced, pointer_is_read_and_written)
{
	unsigned long pointer = 0, odd, other;
	union xsave area;

	ASSERT_EQ(sizeof(pointer), regset(&self->t, PTRACE_GETREGSET, NT_X86_SHSTK, &pointer, sizeof(pointer)));
	EXPECT_NE(0, pointer);
	other = pointer + 8;
	ASSERT_EQ(sizeof(other), regset(&self->t, PTRACE_SETREGSET, NT_X86_SHSTK, &other, sizeof(other)));
	other = 0;
	EXPECT_EQ(sizeof(other), regset(&self->t, PTRACE_GETREGSET, NT_X86_SHSTK, &other, sizeof(other)));
	EXPECT_EQ(pointer + 8, other);
	odd = pointer + 1;
	EXPECT_EQ(-EINVAL, regset(&self->t, PTRACE_SETREGSET, NT_X86_SHSTK, &odd, sizeof(odd)));
	EXPECT_EQ(sizeof(pointer), regset(&self->t, PTRACE_SETREGSET, NT_X86_SHSTK, &pointer, sizeof(pointer)));
	ASSERT_EQ(self->t.size, xstate_get(&self->t, &area));
	EXPECT_EQ(variant->when == LIVE_TILES, !!(area.xstate_bv & BIT_ULL(TILE_DATA)));
	EXPECT_EQ(0, area.xstate_bv & BIT_ULL(CET_USER));
	EXPECT_EQ(self->t.size, xstate_set(&self->t, &area));
	odd = 0;
	EXPECT_EQ(sizeof(odd), regset(&self->t, PTRACE_GETREGSET, NT_X86_SHSTK, &odd, sizeof(odd)));
	EXPECT_EQ(pointer, odd);
	EXPECT_EQ(0, tracee_finish(&self->t));
	self->t.pid = 0;
}

TEST_HARNESS_MAIN
