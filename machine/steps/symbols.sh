# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/symbols is the piece being made, with the kernel's image, and /xfd/kernel the kernel's tree.
/xfd/kernel/scripts/extract-vmlinux /xfd/symbols/vmlinuz >/xfd/symbols/extracted
rm /xfd/symbols/vmlinuz
