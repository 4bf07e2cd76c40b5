# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: MAKE-ARGUMENT...
# A configuration: /xfd/kernel/fragment on top of tinyconfig.
cd /xfd/kernel/tree
make "$@" tinyconfig
scripts/kconfig/merge_config.sh -m .config /xfd/kernel/fragment
make "$@" olddefconfig
