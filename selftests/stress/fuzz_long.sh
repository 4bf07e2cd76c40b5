#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Random cases from non-default seeds; to compare kernels, compare the logs.
exec /tests/abi_fuzz --seed 3000 --cases 20000
