// SPDX-License-Identifier: GPL-2.0
/*
 * ia32_child COMMAND FD [PROGRAM]: a 32-bit task that writes a struct ia32_report to FD.
 * look: reports its initial state; use: reports after doing all it can with tiles; fork: reports the
 * initial state of a permitted task's child; exec: executes PROGRAM, permitted and with live tiles.
 *
 * Tile instructions exist only in 64-bit mode. A 32-bit task can still use them by jumping to the
 * 64-bit code segment.
 */
#include "nolibc.h"

#include "ia32.h"

#define XCOMP_SUPP	0x1021
#define PERM		0x1022
#define REQ_PERM	0x1023
#define GUEST_PERM	0x1024
#define FSAVE		112	/* struct fregs_state, before the XSAVE area */
#define BIT(n)		(1ULL << (n))

/* asm/sigcontext.h and asm/ucontext.h, as seen by 32-bit tasks. */
struct context {
	uint32_t gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip, cs, flags,
		 sp_at_signal, ss, fpstate, oldmask, cr2;
};

struct ucontext {
	uint32_t flags, link, stack[3];
	struct context context;
};

static struct ia32_report report;
static uint8_t tiles[8192], seen[8192], cfg[64];

/* tiles64_load(tiles, cfg), tiles64_store(tiles), tiles64_release(): via 64-bit mode. */
asm(".macro tiles64 name\n"
    "\\name: mov 4(%esp), %eax\n mov 8(%esp), %edx\n mov $64, %ecx\n"
    "push $0x33\n push $64f\n lret\n"
    ".code64\n"
    "64: mov %esp, %esp\n mov %eax, %eax\n mov %edx, %edx\n mov %ecx, %ecx\n"
    ".endm\n"
    ".macro tiles32\n"
    "mov $32f, %eax\n push $0x23\n push %rax\n lretq\n"
    ".code32\n"
    "32: ret\n"
    ".endm\n"
    "tiles64 tiles64_load\n ldtilecfg (%rdx)\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n tileloadd \\n*1024(%rax,%rcx,1), %tmm\\n\n .endr\n"
    "tiles32\n"
    "tiles64 tiles64_store\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n tilestored %tmm\\n, \\n*1024(%rax,%rcx,1)\n .endr\n"
    "tiles32\n"
    "tiles64 tiles64_release\n tilerelease\n tiles32\n");
void tiles64_load(const void *tiles, const void *cfg);
void tiles64_store(void *tiles);
void tiles64_release(void);

static int xcomp(int option, unsigned long arg)
{
	return __nolibc_syscall2(SYS_ARCH_PRCTL_32, option, arg);
}

static uint64_t in_use(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
	return ((uint64_t)hi << 32 | lo) & (BIT(17) | BIT(18));
}

/* A local memcpy(): the state is not aligned to its types here. */
static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static struct ia32_frame frame;
static int change = -1;		/* what to change in the next frame */
static struct ia32_outcome outcome;
static uint32_t instruction, resume;

static void flip(uint8_t *area, int bit)
{
	area[bit / 8] ^= 1 << bit % 8;
}

static void on_frame(struct context *context)
{
	uint8_t *fsave = (uint8_t *)context->fpstate, *area = fsave + FSAVE;

	frame.fsave_magic = get32(fsave + 108) >> 16;
	frame.misaligned = (uint32_t)area % 64;
	frame.magic1 = get32(area + 464);
	frame.extended_size = get32(area + 468);
	memcpy(&frame.xfeatures, area + 472, 8);
	frame.xstate_size = get32(area + 480);
	memcpy(&frame.xstate_bv, area + 512, 8);
	frame.magic2 = get32(area + frame.xstate_size);

	switch (change) {
	case NO_MAGIC2:			flip(area, frame.xstate_size * 8); break;
	case XFEATURES_NO_18:		flip(area + 472, 18); break;
	case BV_NO_18:
	case ARMED_BV_WITH_18:		flip(area + 512, 18); break;
	case BV_WITH_11:		flip(area + 512, 11); break;
	case BV_WITH_19:		flip(area + 512, 19); break;
	case XCOMP_BV_WITH_63:		flip(area + 520, 63); break;
	case RESERVED_BYTE_24:		flip(area + 512 + 24, 0); break;
	case RESERVED_LAST:		flip(area + 512 + 63, 7); break;
	}
}

static void on_usr1(int signo, void *info, struct ucontext *ucontext)
{
	on_frame(&ucontext->context);
}

/* Without SA_SIGINFO the frame is different: the context is the handler's second argument. */
static void on_usr2(int signo, struct context context)
{
	on_frame(&context);
}

static void on_fault(int signo, int *info, struct ucontext *ucontext)
{
	if (outcome.signo)
		_exit(9);
	outcome.signo = signo;
	outcome.code = info[2];
	outcome.elsewhere = (uint32_t)info[3] != instruction ||
			    (instruction && ucontext->context.ip != instruction);
	if (instruction)
		ucontext->context.ip = resume;
}

static void catch(int signo, void *handler, int flags)
{
	struct { void *handler; uint32_t flags; void *restorer; uint32_t mask[2]; } action = {
		.handler = handler, .flags = flags,
	};

	__nolibc_syscall4(__NR_rt_sigaction, signo, &action, 0, 8);
}

static struct ia32_frame signal_now(int signo)
{
	memset(&frame, 0, sizeof(frame));
	kill(getpid(), signo);
	return frame;
}

#define TRY(which, insn)							\
	do {									\
		memset(&outcome, 0, sizeof(outcome));				\
		asm volatile("movl $1f, %0\n\tmovl $2f, %1\n1:\t" insn "\n2:"	\
			     : "=m"(instruction), "=m"(resume)			\
			     : "a"(cfg), "c"(64) : "memory");			\
		instruction = 0;						\
		to[which] = outcome;						\
	} while (0)

/* ldtilecfg (%eax) and so on, which the assembler rejects in 32-bit code. */
static void try_instructions(struct ia32_outcome *to)
{
	TRY(LDTILECFG, ".byte 0xc4, 0xe2, 0x78, 0x49, 0x00");
	TRY(STTILECFG, ".byte 0xc4, 0xe2, 0x79, 0x49, 0x00");
	TRY(TILERELEASE, ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0");
	TRY(TILEZERO, ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0");
	TRY(TILESTORED, ".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x04, 0x08");
}

static void try_change(int which)
{
	memset(&outcome, 0, sizeof(outcome));
	change = which;
	signal_now(SIGUSR1);
	change = -1;
	outcome.in_use = in_use();
	report.change[which] = outcome;
}

static uint32_t tiles_kept(void)
{
	memset(seen, 0x5a, sizeof(seen));
	tiles64_store(seen);
	return !memcmp(seen, tiles, sizeof(tiles));
}

static void look(void)
{
	report.in_use = in_use();
	xcomp(XCOMP_SUPP, (unsigned long)&report.supp);
	xcomp(PERM, (unsigned long)&report.perm);
	xcomp(GUEST_PERM, (unsigned long)&report.guest);
	report.efault = xcomp(PERM, 0);
	report.einval = xcomp(REQ_PERM, 20);
	report.eopnotsupp = xcomp(REQ_PERM, 17);
	report.unknown = xcomp(GUEST_PERM + 2, (unsigned long)&report.supp);
	report.before = signal_now(SIGUSR1);
	try_instructions(report.insn);
}

static void request_and_load(void)
{
	report.request = xcomp(REQ_PERM, 18);
	tiles64_load(tiles, cfg);
}

static void use(void)
{
	report.request = xcomp(REQ_PERM, 18);
	xcomp(PERM, (unsigned long)&report.perm_after);
	report.permitted = signal_now(SIGUSR1);
	try_instructions(report.insn_permitted);
	try_change(ARMED_NOTHING);
	try_change(ARMED_BV_WITH_18);

	tiles64_load(tiles, cfg);
	report.live = signal_now(SIGUSR1);
	report.kept = tiles_kept();
	report.live_not_rt = signal_now(SIGUSR2);
	report.kept_not_rt = tiles_kept();
	tiles64_release();
	report.released = signal_now(SIGUSR1);
	for (int which = FIRST_LIVE; which < CHANGES; which++) {
		tiles64_load(tiles, cfg);
		try_change(which);
	}
}

int main(int argc, char **argv, char **envp)
{
	const char *command = argc > 2 ? argv[1] : "";
	int status = 0;

	for (unsigned int i = 0; i < sizeof(tiles); i++)
		tiles[i] = i * 7 + (i >> 8);
	cfg[0] = 1;
	for (int i = 0; i < 8; i++) {
		cfg[16 + 2 * i] = 64;
		cfg[48 + i] = 16;
	}
	catch(SIGUSR1, on_usr1, 4 /* SA_SIGINFO */);
	catch(SIGUSR2, on_usr2, 0);
	catch(SIGSEGV, on_fault, 4);
	catch(SIGILL, on_fault, 4);

	if (!strcmp(command, "exec") && argc > 3) {
		request_and_load();
		execve(argv[3], argv, envp);
		return 2;
	}
	if (!strcmp(command, "fork")) {
		request_and_load();
		if (fork())
			return wait(&status) < 0 || status;
	}
	look();
	if (!strcmp(command, "use"))
		use();
	report.done = 1;
	return write(atoi(argv[2]), &report, sizeof(report)) != sizeof(report);
}
