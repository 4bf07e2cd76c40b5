#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# FOLDER: puts the release's tarball there, and says where it is. It is the last commit, and the same commit makes the same bytes:
# git sorts the files, and gives them the commit's time and no owner.
set -eu
folder=$1
cd "$(dirname "$0")/.."

die() {
	echo "xfd: $*" >&2
	exit 1
}

top=$(git rev-parse --show-toplevel 2>&1) || die "no tarball: $(echo "$top" | head -n 1)"
[ "$top" = "$(pwd -P)" ] || die "no tarball: $(pwd -P) is no git checkout"
[ -z "$(git status --porcelain)" ] || die "no tarball: this tree has changes that are not committed: git status"
read -r version <VERSION
grep -qF "## [$version] - " CHANGELOG.md || die "no tarball: CHANGELOG.md has no release $version"

mkdir -p "$folder"
tarball=$folder/xfd-$version.tar.gz
git -c tar.umask=0022 archive --format=tar --prefix="xfd-$version/" --output="$folder/xfd.tar.new" HEAD
gzip -9n <"$folder/xfd.tar.new" >"$tarball.new"
rm "$folder/xfd.tar.new"
mv "$tarball.new" "$tarball"
echo "$tarball"
