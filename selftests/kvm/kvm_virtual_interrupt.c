// SPDX-License-Identifier: GPL-2.0
/*
 * An interrupt that a virtual CPU sends to itself and that the processor delivers without KVM. It waits
 * for the guest's RFLAGS.IF even while the host takes its own interrupts, and keeps its vector when
 * delivery needs pages that KVM has yet to map.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kvm.h"
#include "kselftest_harness.h"

#define MEMORY		0x8000
#define CODE		0x1000
#define TAKEN		"0x800"	/* the guest's interrupt count */
#define STACK		0x5000	/* none of its pages is written before the delivery */
#define VECTOR		0x40
/* Two instructions each, spanning several host ticks. */
#define SPINS		"40000000"

/* The ports through which the guest reports. */
enum { WITH_IF_0 = 0x10, WITH_IF_1 = 0x11, OTHER_VECTOR = 0x12 };

extern const char guest_begin[], guest_takes_it[], guest_takes_another[], guest_end[];

asm(".section .rodata\n"
    ".code16\n"
    "guest_begin:\n"
    "	movl $0x80f, %ecx\n"		/* x2APIC: spurious vector FFH, enabled */
    "	movl $0x1ff, %eax\n"
    "	xorl %edx, %edx\n"
    "	wrmsr\n"
    "	movl $0x83f, %ecx\n"		/* self IPI */
    "	movl $0x40, %eax\n"
    "	wrmsr\n"
    "	movl $" SPINS ", %ecx\n"
    "1:	decl %ecx\n"
    "	jnz 1b\n"
    "	movb " TAKEN ", %al\n"
    "	outb %al, $0x10\n"
    "	sti\n"
    "	nop\n"
    "	cli\n"
    "	movb " TAKEN ", %al\n"
    "	outb %al, $0x11\n"
    "2:	hlt\n"
    "	jmp 2b\n"
    "guest_takes_it:\n"
    "	incb " TAKEN "\n"
    "	movl $0x80b, %ecx\n"		/* end of interrupt */
    "	xorl %eax, %eax\n"
    "	xorl %edx, %edx\n"
    "	wrmsr\n"
    "	iretw\n"
    "guest_takes_another:\n"
    "	outb %al, $0x12\n"
    "	iretw\n"
    "guest_end:\n"
    ".code64\n"
    ".previous\n");

/* The number of timer interrupts taken by CPU 0. */
static unsigned long ticks(void)
{
	FILE *file = fopen("/proc/interrupts", "re");
	unsigned long count = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " LOC: %lu", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

FIXTURE(virtual_interrupt) {
	struct vcpu vcpu;
	struct kvm_run *run;
	void *memory;
	unsigned long ticks;
	int with_if_0, with_if_1, other_vectors;
};

/* Sets up the CPU in real mode with its x2APIC enabled. */
static bool set_up(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;
	bool done;

	cpuid->nent = 256;
	done = !ioctl(vcpu->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) &&
	       !ioctl(vcpu->vcpu, KVM_SET_CPUID2, cpuid) &&
	       !ioctl(vcpu->vcpu, KVM_GET_SREGS, &sregs);
	free(cpuid);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.apic_base |= 0xc00;
	return done && !ioctl(vcpu->vcpu, KVM_SET_SREGS, &sregs) &&
	       !ioctl(vcpu->vcpu, KVM_SET_REGS, &regs);
}

FIXTURE_SETUP(virtual_interrupt)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
	cpu_set_t first;
	uint16_t *ivt;
	int kvm = kvm_open();

	if (kvm < 0)
		SKIP(return, "/dev/kvm: %s", strerror(errno));
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(first), &first));

	self->vcpu.kvm = kvm;
	self->vcpu.vm = ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_LE(0, self->vcpu.vm);
	ASSERT_EQ(0, ioctl(self->vcpu.vm, KVM_CREATE_IRQCHIP));
	self->vcpu.vcpu = ioctl(self->vcpu.vm, KVM_CREATE_VCPU, 0);
	ASSERT_LE(0, self->vcpu.vcpu);
	self->run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
			 MAP_SHARED, self->vcpu.vcpu, 0);
	ASSERT_NE(MAP_FAILED, self->run);

	self->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	region.userspace_addr = (uintptr_t)self->memory;
	ASSERT_EQ(0, ioctl(self->vcpu.vm, KVM_SET_USER_MEMORY_REGION, &region));
	memcpy(self->memory + CODE, guest_begin, guest_end - guest_begin);
	ivt = self->memory;
	for (int vector = 0; vector < 256; vector++)
		ivt[2 * vector] = CODE + (guest_takes_another - guest_begin);
	ivt[2 * VECTOR] = CODE + (guest_takes_it - guest_begin);
	ASSERT_TRUE(set_up(&self->vcpu));

	self->with_if_0 = self->with_if_1 = -1;
	self->ticks = ticks();
	while (self->with_if_1 < 0 && self->other_vectors < 10) {
		uint8_t *data = (void *)self->run;

		ASSERT_EQ(0, ioctl(self->vcpu.vcpu, KVM_RUN, 0));
		ASSERT_EQ(KVM_EXIT_IO, self->run->exit_reason);
		data += self->run->io.data_offset;
		switch (self->run->io.port) {
		case WITH_IF_0:
			self->with_if_0 = *data;
			self->ticks = ticks() - self->ticks;
			break;
		case WITH_IF_1:
			self->with_if_1 = *data;
			break;
		default:
			self->other_vectors++;
		}
	}
}

FIXTURE_TEARDOWN(virtual_interrupt)
{
	munmap(self->memory, MEMORY);
	vcpu_destroy(&self->vcpu);
}

TEST_F(virtual_interrupt, waits_for_if)
{
	EXPECT_LT(0, self->ticks) TH_LOG("the host took no interrupt meanwhile");
	EXPECT_EQ(0, self->with_if_0);
}

TEST_F(virtual_interrupt, comes_once_with_its_vector)
{
	EXPECT_EQ(1, self->with_if_1);
	EXPECT_EQ(0, self->other_vectors);
}

TEST_HARNESS_MAIN
