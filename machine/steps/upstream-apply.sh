# SPDX-License-Identifier: GPL-2.0
# On the host, in the unpacked source: PATCH...
# Applies the series as a maintainer does. A warning of git is an error. Only the files that the series changes are put under git.
git init -q .
git apply --numstat "$@" | cut -f3 | sort -u | while read -r file; do
	[ ! -e "$file" ] || git add -f "$file"
done
git commit -q -m "the archive's source"
said=$(git am --whitespace=error-all "$@" 2>&1) || {
	echo "$said"
	exit 1
}
echo "$said"
if echo "$said" | grep "^warning:"; then
	echo "error: git am warns"
	exit 1
fi
# Otherwise the kernel's release would have a plus sign.
rm -rf .git
