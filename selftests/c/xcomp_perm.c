// SPDX-License-Identifier: GPL-2.0
/* The five permission options: what they report, refuse and change. */
#include "kselftest_harness.h"
#include "amx.h"
#include "answer.h"
#include "kvm.h"

#include <inttypes.h>

static const int get_options[] = { XCOMP_SUPP, XCOMP_PERM, XCOMP_GUEST_PERM };
static const int req_options[] = { XCOMP_REQ_PERM, XCOMP_REQ_GUEST_PERM };

#define for_each(i, array) for (size_t i = 0; i < sizeof(array) / sizeof(*(array)); i++)

struct masks {
	uint64_t supp, perm, guest;
};

static struct masks masks_now(void)
{
	return (struct masks) {
		.supp = xcomp_mask(XCOMP_SUPP),
		.perm = xcomp_mask(XCOMP_PERM),
		.guest = xcomp_mask(XCOMP_GUEST_PERM),
	};
}

#define EXPECT_MASKS(expected, now)						\
	do {									\
		struct masks _e = (expected), _n = (now);			\
										\
		EXPECT_EQ(_e.supp, _n.supp);					\
		EXPECT_EQ(_e.perm, _n.perm);					\
		EXPECT_EQ(_e.guest, _n.guest);					\
	} while (0)

/* The supported components are those the kernel has enabled in XCR0. */
TEST(supported_is_xcr0)
{
	answer("supported", "%#" PRIx64, xcomp_mask(XCOMP_SUPP));
	EXPECT_EQ(xgetbv0(), xcomp_mask(XCOMP_SUPP));
}

/* Initially all but tile data is permitted, for host and guest; internal bits are hidden. */
TEST(permitted_by_default)
{
	uint64_t expected = xcomp_mask(XCOMP_SUPP) & ~BIT_ULL(TILE_DATA);

	EXPECT_EQ(expected, xcomp_mask(XCOMP_PERM));
	EXPECT_EQ(expected, xcomp_mask(XCOMP_GUEST_PERM));
}

TEST(tile_config_needs_no_permission)
{
	REQUIRE_TILES();
	EXPECT_TRUE(xcomp_mask(XCOMP_PERM) & BIT_ULL(TILE_CFG));
	EXPECT_TRUE(xcomp_mask(XCOMP_GUEST_PERM) & BIT_ULL(TILE_CFG));
}

TEST(get_writes_eight_bytes_anywhere)
{
	for_each(i, get_options) {
		uint8_t buf[25];

		for (int at = 8; at < 16; at++) {
			uint64_t mask = xcomp_mask(get_options[i]);

			memset(buf, 0xa5, sizeof(buf));
			ASSERT_EQ(0, xcomp(get_options[i], (unsigned long)(buf + at)));
			EXPECT_EQ(0, memcmp(buf + at, &mask, 8));
			EXPECT_EQ(0xa5, buf[at - 1]);
			EXPECT_EQ(0xa5, buf[at + 8]);
		}
	}
}

TEST(get_efault)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *readonly = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, readonly);
	ASSERT_EQ(0, munmap(map + page, page));

	for_each(i, get_options) {
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], 0));
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], (unsigned long)readonly));
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], (unsigned long)(map + page)));
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], (unsigned long)(map + page - 7)));
		EXPECT_EQ(0, xcomp(get_options[i], (unsigned long)(map + page - 8)));
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], 0xffffffff81000000UL));
		EXPECT_EQ(-EFAULT, xcomp(get_options[i], 1UL << 63));
	}
}

TEST(request_einval)
{
	static const unsigned long no_feature[] = {
		XFEATURE_MAX, XFEATURE_MAX + 1, 62, 63, 64, 1UL << 31, 1UL << 32,
		1UL << 32 | TILE_DATA, 1UL << 63 | TILE_DATA, -1UL,
	};
	struct masks before = masks_now();

	for_each(i, req_options) {
		for_each(j, no_feature) {
			EXPECT_EQ(-EINVAL, xcomp(req_options[i], no_feature[j]))
				TH_LOG("option %#x, feature %#lx", req_options[i], no_feature[j]);
		}
	}
	EXPECT_MASKS(before, masks_now());
}

/* This includes 17, which comes with 18; the always-on components; and 18 on a machine without AMX. */
TEST(request_eopnotsupp)
{
	struct masks before = masks_now();

	for_each(i, req_options) {
		for (unsigned long f = 0; f < XFEATURE_MAX; f++) {
			if (f == TILE_DATA && before.supp & BIT_ULL(TILE_DATA))
				continue;
			EXPECT_EQ(-EOPNOTSUPP, xcomp(req_options[i], f))
				TH_LOG("option %#x, feature %lu", req_options[i], f);
		}
	}
	EXPECT_MASKS(before, masks_now());
}

TEST(unknown_option_einval)
{
	uint64_t mask = 0x5a5a;

	EXPECT_EQ(-EINVAL, xcomp(XCOMP_SUPP - 1, (unsigned long)&mask));
	EXPECT_EQ(-EINVAL, xcomp(XCOMP_REQ_GUEST_PERM + 1, (unsigned long)&mask));
	EXPECT_EQ(-EINVAL, xcomp(XCOMP_REQ_GUEST_PERM + 1, TILE_DATA));
	EXPECT_EQ(0x5a5a, mask);
}

/* The mask gains exactly one bit. Commit 063452fd94d1 fixed a request that overwrote the mask. */
TEST(request_adds_its_bit_and_no_other)
{
	struct masks expected = masks_now();

	REQUIRE_TILES();
	expected.perm |= BIT_ULL(TILE_DATA);
	/* The second time it is already permitted, which is not an error. */
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
		EXPECT_MASKS(expected, masks_now());
	}
	expected.guest |= BIT_ULL(TILE_DATA);
	EXPECT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	EXPECT_MASKS(expected, masks_now());
}

TEST(guest_request_leaves_the_host_alone)
{
	struct masks expected = masks_now();

	REQUIRE_TILES();
	expected.guest |= BIT_ULL(TILE_DATA);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
		EXPECT_MASKS(expected, masks_now());
	}
}

/* A refused request neither grants nor revokes anything, even once tile data is permitted. */
TEST(refusals_after_permission)
{
	struct masks granted;

	REQUIRE_TILES();
	ASSERT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
	granted = masks_now();
	EXPECT_EQ(-EOPNOTSUPP, xcomp(XCOMP_REQ_PERM, TILE_CFG));
	EXPECT_EQ(-EOPNOTSUPP, xcomp(XCOMP_REQ_PERM, TILE_DATA + 1));
	EXPECT_EQ(-EINVAL, xcomp(XCOMP_REQ_PERM, XFEATURE_MAX));
	EXPECT_EQ(-EINVAL, xcomp(XCOMP_REQ_GUEST_PERM, XFEATURE_MAX));
	EXPECT_MASKS(granted, masks_now());
}

/* The 32-bit system call (number 384) has the same options. */
static long xcomp_ia32(int option, uint32_t arg)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(384), "b"(option), "c"(arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

TEST(ia32_has_the_same_options)
{
	uint64_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint32_t at = (uintptr_t)low;

	ASSERT_NE(MAP_FAILED, low);
	if (access("/proc/sys/abi/vsyscall32", F_OK))
		SKIP(return, "the kernel lacks IA32_EMULATION");
	REQUIRE_TILES();
	for_each(i, get_options) {
		*low = 0;
		EXPECT_EQ(0, xcomp_ia32(get_options[i], at));
		EXPECT_EQ(xcomp_mask(get_options[i]), *low);
		EXPECT_EQ(-EFAULT, xcomp_ia32(get_options[i], 0));
	}
	EXPECT_EQ(-EINVAL, xcomp_ia32(XCOMP_REQ_PERM, XFEATURE_MAX));
	EXPECT_EQ(-EOPNOTSUPP, xcomp_ia32(XCOMP_REQ_PERM, TILE_CFG));
	EXPECT_EQ(0, xcomp_ia32(XCOMP_REQ_PERM, TILE_DATA));
	EXPECT_TRUE(xcomp_mask(XCOMP_PERM) & BIT_ULL(TILE_DATA));
	EXPECT_FALSE(xcomp_mask(XCOMP_GUEST_PERM) & BIT_ULL(TILE_DATA));
}

/* The first vCPU freezes the guest permission, even after the virtual machine is gone. */
TEST(guest_request_ebusy_after_a_vcpu)
{
	uint64_t before = xcomp_mask(XCOMP_GUEST_PERM);
	struct vcpu vcpu;
	int kvm;

	REQUIRE_TILES();
	kvm = kvm_open();
	if (kvm < 0)
		SKIP(return, "no KVM here: /dev/kvm: %s", strerror(errno));
	vcpu_create(&vcpu, kvm);
	ASSERT_LE(0, vcpu.vcpu);
	EXPECT_EQ(-EBUSY, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	answer("guest.request_after_a_vcpu", "%s",
	       strerrorname_np(-xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA)));
	EXPECT_EQ(-EOPNOTSUPP, xcomp(XCOMP_REQ_GUEST_PERM, TILE_CFG));
	/* The lock is bit 63 of the kernel's mask, and is never reported. */
	EXPECT_EQ(before, xcomp_mask(XCOMP_GUEST_PERM));
	vcpu_destroy(&vcpu);
	EXPECT_EQ(-EBUSY, xcomp(XCOMP_REQ_GUEST_PERM, TILE_DATA));
	EXPECT_EQ(0, xcomp(XCOMP_REQ_PERM, TILE_DATA));
}

TEST_HARNESS_MAIN
