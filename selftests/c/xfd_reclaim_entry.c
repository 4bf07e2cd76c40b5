// SPDX-License-Identifier: GPL-2.0
/*
 * A thread waits on its way into sigreturn, for as long as another task wants. At that point its registers are
 * initial and its tiles are in the frame; sigreturn needs the thread's buffer to load them.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "frame.h"
#include "idler.h"
#include "pkru.h"
#include "slow.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH	59
#define PR_SYS_DISPATCH_OFF		0
#define PR_SYS_DISPATCH_ON		1
#endif

static _Atomic int listener;
static uint8_t selector[PAGE] __attribute__((aligned(PAGE)));
static const uint8_t allow[PAGE];

/* Takes a signal with live tiles and a closed protection key, and has both again afterwards. */
static bool survives_a_signal(void)
{
	uint32_t pkru = 0;

	use_tiles();
	if (has_pkru()) {
		pkru = rdpkru() | 3U << 30;
		wrpkru(pkru);
	}
	return signal_now(SIGUSR1) && tiles_hold(&tiles) && (!has_pkru() || rdpkru() == pkru);
}

static bool handled_by(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	return !sigaction(SIGUSR1, &action, NULL);
}

static void on_signal(int signo)
{
}

static bool waits_for_a_supervisor(struct worker *worker)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = filter };

	if (!handled_by(on_signal) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	atomic_store(&worker->ready, true);
	return listener >= 0 && survives_a_signal();
}

TEST_F(reclaim, in_a_seccomp_notification)
{
	struct worker worker = { .run = waits_for_a_supervisor, .from = -1 };
	struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	struct seccomp_notif question = { 0 };

	ASSERT_TRUE(worker_start(&worker));
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question));
	EXPECT_EQ(SYS_rt_sigreturn, question.data.nr);
	LET_PASSES_COME();
	answer.id = question.id;
	ASSERT_EQ(0, ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer));
	EXPECT_RIGHT(worker);
	EXPECT_USES(1 + 3);
	close(listener);
}

/* The system call before sigreturn drops the selector page, which the kernel reads each time. */
static void on_drop_the_selector(int signo)
{
	madvise(selector, sizeof(selector), MADV_DONTNEED);
}

static bool waits_for_its_selector(struct worker *worker)
{
	bool right;

	if (!handled_by(on_drop_the_selector) ||
	    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, selector))
		return false;
	atomic_store(&worker->ready, true);
	right = survives_a_signal();
	return !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) && right;
}

TEST_F(reclaim, at_a_selector_of_user_dispatch)
{
	struct worker worker = { .run = waits_for_its_selector, .from = -1 };

	/* An option of its own since 7.3. */
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0))
		SKIP(return, "the kernel lacks SYSCALL_USER_DISPATCH");
	if (!slow_begin())
		SKIP(return, "no userfaultfd for faults in the kernel: %s", strerror(errno));
	ASSERT_TRUE(slow_make(selector, sizeof(selector)));
	ASSERT_TRUE(slow_bring(selector, allow));
	ASSERT_TRUE(worker_start(&worker));
	ASSERT_EQ((void *)selector, slow_wanted());
	LET_PASSES_COME();
	ASSERT_TRUE(slow_bring(selector, allow));
	EXPECT_RIGHT(worker);
	EXPECT_USES(1 + 3);
}

TEST_HARNESS_MAIN
