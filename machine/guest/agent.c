// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's end of the channel to the runner, CPUID leaf 58464402H of the emulator (bochs/patches).
 *
 *   agent present        exit 0 if there is a channel
 *   agent save           let the emulator save the machine and end; in a restored machine it returns
 *   agent tell TEXT      a record for the runner, as init's on /dev/ttyS1
 *   agent job            unpack the job that the runner sends, and run it: /job/run, or each test of /tests that a line
 *                        of /job/tests names
 *
 * Both directions carry frames: a byte that says what it is, the number of bytes that follow (32 bits,
 * little endian), those bytes. What a program prints is counted, so it may be anything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOST_LEAF	0x58464402
#define SIGNATURE	0x20646658, 0x20656874, 0x74736f68
/* Bytes that the emulator takes at once. */
#define PORTION		4096
/* What a frame may carry so that it goes in one piece: two processes may send. */
#define HEADER		5
#define PAYLOAD		(PORTION - HEADER)

enum { PRESENT, RECEIVE, SEND, SAVE };

/* From the runner. */
#define JOB_PART	'j'
#define JOB_END		'J'
#define INPUT		'i'
#define INPUT_END	'I'
/* To the runner. */
#define RECORD		'r'
#define OUT		'o'
#define ERR		'e'
#define FILES		'f'

/* Why the job could not be unpacked. The root, where it goes, may be full. */
#define ERRORS		"/run/job-errors"

struct answer {
	uint64_t rax, rbx, rcx, rdx;
};

static struct answer ask(uint32_t command, const void *address, uint64_t bytes)
{
	struct answer a = { .rax = HOST_LEAF, .rcx = command };

	asm volatile("cpuid"
		     : "+a"(a.rax), "=b"(a.rbx), "+c"(a.rcx), "=d"(a.rdx)
		     : "D"(address), "S"(bytes)
		     : "memory");
	return a;
}

static int is_present(void)
{
	const uint32_t signature[] = { SIGNATURE };
	struct answer a = ask(PRESENT, NULL, 0);

	return a.rbx == signature[0] && a.rcx == signature[1] && a.rdx == signature[2];
}

static void send_bytes(const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes) {
		uint64_t sent = ask(SEND, at, bytes < PORTION ? bytes : PORTION).rax;

		at += sent;
		bytes -= sent;
	}
}

static void send_frame(char kind, const void *data, uint32_t bytes)
{
	char frame[PORTION];

	frame[0] = kind;
	memcpy(frame + 1, &bytes, sizeof(bytes));
	memcpy(frame + HEADER, data, bytes);
	send_bytes(frame, HEADER + bytes);
}

/* Some bytes if there are any; waits for none. */
static size_t receive_some(void *data, size_t bytes)
{
	return ask(RECEIVE, data, bytes).rax;
}

static void receive(void *data, size_t bytes)
{
	char *at = data;

	while (bytes) {
		size_t got = receive_some(at, bytes);

		at += got;
		bytes -= got;
	}
}

static void tell(const char *text)
{
	size_t length = strlen(text);

	send_frame(RECORD, text, length < PAYLOAD ? length : PAYLOAD);
}

/* Tells the runner why there is no program that runs, and ends. */
static void give_up(const char *what, const char *why)
{
	char record[512];

	snprintf(record, sizeof(record), "no-job %s: %s", what, why);
	tell(record);
	exit(1);
}

static void die(const char *what)
{
	give_up(what, strerror(errno));
}

/* What comes with the end of a job. */
struct start {
	uint64_t seconds, nanoseconds;	/* since 1970 */
	char seed[32];
};

/* The clock of a machine that was saved stood still, and its random numbers would be those of each other one. */
static void begin_anew(const struct start *start)
{
	struct {
		struct rand_pool_info info;
		char bytes[sizeof(start->seed)];
	} seed = { .info = { .entropy_count = 8 * sizeof(start->seed), .buf_size = sizeof(start->seed) } };
	int random = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	memcpy(seed.info.buf, start->seed, sizeof(start->seed));
	if (clock_settime(CLOCK_REALTIME, &(struct timespec){ start->seconds, start->nanoseconds }))
		die("the clock cannot be set");
	if (random < 0 || ioctl(random, RNDADDENTROPY, &seed) || ioctl(random, RNDRESEEDCRNG, 0))
		die("random numbers cannot be seeded");
	close(random);
}

/* In the last words of whoever unpacked it. */
static void give_up_unpacking(void)
{
	char line[256] = "";
	FILE *errors = fopen(ERRORS, "re");

	while (errors && fgets(line, sizeof(line), errors))
		;
	line[strcspn(line, "\n")] = 0;
	give_up("unpacking its files", *line ? line : "out of memory");
}

/* An archive in frames, unpacked at the root. The runner begins when it is asked, so that the time it tells is right. */
static void take_job(void)
{
	static char buffer[1 << 16];
	struct start start;
	FILE *unpack;

	/* If it ends early, the rest of the job is still received. */
	signal(SIGPIPE, SIG_IGN);
	unpack = popen("cd / && exec /bin/busybox cpio -idmu 2>" ERRORS, "w");
	if (!unpack)
		die("cpio");
	tell("waiting");
	for (;;) {
		char kind;
		uint32_t bytes;

		receive(&kind, 1);
		receive(&bytes, sizeof(bytes));
		if (kind == JOB_END) {
			receive(&start, sizeof(start));
			break;
		}
		while (bytes) {
			uint32_t part = bytes < sizeof(buffer) ? bytes : sizeof(buffer);

			receive(buffer, part);
			fwrite(buffer, 1, part, unpack);
			bytes -= part;
		}
	}
	if (pclose(unpack))
		give_up_unpacking();
	unlink(ERRORS);
	begin_anew(&start);
}

/* What the runner says while the program runs: its input. */
struct input {
	int fd;			/* -1: closed */
	char data[PORTION];
	size_t first, last;	/* of what the program has not read yet */
	uint32_t left;		/* of the frame */
};

static void close_input(struct input *input)
{
	if (input->fd >= 0)
		close(input->fd);
	input->fd = -1;
}

/* Returns whether anything came. */
static int take_input(struct input *input)
{
	if (input->first < input->last) {
		ssize_t n = input->fd < 0 ? -1 : write(input->fd, input->data + input->first, input->last - input->first);

		if (n < 0 && errno != EAGAIN) {
			close_input(input);
			input->first = input->last;
		}
		if (n > 0)
			input->first += n;
		return n > 0;
	}
	if (!input->left) {
		char kind;

		if (!receive_some(&kind, 1))
			return 0;
		receive(&input->left, sizeof(input->left));
		if (kind == INPUT_END)
			close_input(input);
		return 1;
	}
	input->first = 0;
	input->last = receive_some(input->data, input->left < PORTION ? input->left : PORTION);
	input->left -= input->last;
	return input->last > 0;
}

/* Returns how much came; at the end of file *fd becomes -1. */
static int pass_output(int *fd, char kind)
{
	char data[PAYLOAD];
	ssize_t n = *fd < 0 ? 0 : read(*fd, data, sizeof(data));

	if (*fd < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return 0;
	}
	send_frame(kind, data, n);
	return n;
}

/* What a program has left in a pipe. Others may still write to it: that is not waited for. */
static void pass_rest(int *fd, char kind)
{
	int left = 0;

	if (*fd < 0 || ioctl(*fd, FIONREAD, &left))
		return;
	while (left > 0) {
		int n = pass_output(fd, kind);

		if (!n)
			break;
		left -= n;
	}
}

/* Does nothing but end a wait. */
static void child_ended(int signal)
{
	(void)signal;
}

/* Runs a program and passes on what it prints; a test has no input, and one output. */
static void run(const char *name, char *const argv[], int is_test)
{
	int in[2], out[2], err[2], status;
	char record[PORTION];
	struct input input;
	sigset_t ends, usual;
	pid_t pid;

	snprintf(record, sizeof(record), "begin %s", name);
	tell(record);

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = child_ended }, NULL);
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, &usual);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		sigprocmask(SIG_SETMASK, &usual, NULL);
		dup2(is_test ? open("/dev/null", O_RDONLY) : in[0], 0);
		dup2(out[1], 1);
		dup2(is_test ? out[1] : err[1], 2);
		if (is_test && chdir("/tests"))
			_exit(127);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	input = (struct input){ .fd = in[1] };
	for (;;) {
		int busy = !is_test && take_input(&input);

		busy |= pass_output(&out[0], OUT);
		busy |= pass_output(&err[0], ERR);
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (busy)
			continue;
		/* The end of a child comes only here. Input does not wake anybody; beside a test nothing runs unasked. */
		ppoll((struct pollfd[]){ { .fd = out[0], .events = POLLIN }, { .fd = err[0], .events = POLLIN } }, 2,
		      is_test ? NULL : &(struct timespec){ .tv_nsec = 10000000 }, &usual);
	}
	pass_rest(&out[0], OUT);
	pass_rest(&err[0], ERR);
	sigprocmask(SIG_SETMASK, &usual, NULL);
	close_input(&input);
	close(out[0]);
	close(err[0]);
	status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	snprintf(record, sizeof(record), "end %s %d", name, status);
	tell(record);
}

static void run_tests(FILE *list)
{
	char name[256], path[300];

	while (fscanf(list, "%255s", name) == 1) {
		snprintf(path, sizeof(path), "/tests/%s", name);
		run(name, (char *[]){ path, NULL }, 1);
	}
}

/* What the program left, if the runner wants it: /job/collect writes an archive. */
static void send_files(void)
{
	char data[PAYLOAD];
	FILE *pack;
	size_t n;

	if (access("/job/collect", R_OK))
		return;
	pack = popen("/bin/sh /job/collect", "r");
	if (!pack)
		die("collect");
	while ((n = fread(data, 1, sizeof(data), pack)))
		send_frame(FILES, data, n);
	pclose(pack);
}

int main(int argc, char **argv)
{
	static char *const job[] = { "/bin/sh", "/job/run", NULL };
	const char *command = argc > 1 ? argv[1] : "";
	FILE *tests;

	if (!is_present())
		return 1;
	if (!strcmp(command, "save")) {
		ask(SAVE, NULL, 0);
	} else if (!strcmp(command, "tell") && argc == 3) {
		tell(argv[2]);
	} else if (!strcmp(command, "job")) {
		take_job();
		tests = fopen("/job/tests", "re");
		if (tests) {
			run_tests(tests);
		} else {
			run("run", job, 0);
			send_files();
		}
	} else if (strcmp(command, "present")) {
		fprintf(stderr, "usage: agent present|save|tell TEXT|job\n");
		return 2;
	}
	return 0;
}
