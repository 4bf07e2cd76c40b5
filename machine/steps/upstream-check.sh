# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made, with the patches: PATCH...
# The kernel's own style check; prints its remarks. There is no history here that would know the commits of Fixes: tags, and MAINTAINERS
# covers the folders of the new files.
cd /xfd/kernel/tree
for patch; do
	perl scripts/checkpatch.pl --strict --terse --no-summary --ignore UNKNOWN_COMMIT_ID,FILE_PATH_CHANGES \
		"/xfd/kernel/patches/$patch" || :
done
