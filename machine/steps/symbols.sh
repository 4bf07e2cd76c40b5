# SPDX-License-Identifier: GPL-2.0
# Unpacks the kernel's image. Runs in the root; /xfd/symbols is the component being built, with the image, and
# /xfd/kernel the kernel's tree.
/xfd/kernel/scripts/extract-vmlinux /xfd/symbols/vmlinuz >/xfd/symbols/extracted
rm /xfd/symbols/vmlinuz
