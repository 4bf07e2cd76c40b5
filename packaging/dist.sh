#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# FOLDER: writes the release tarball to FOLDER, and prints its path. The tarball contains the last commit and is
# reproducible: git sorts the files, sets their times to the commit's, and gives them no owner.
set -eu
folder=$1
cd "$(dirname "$0")/.."

die() {
	echo "xfd: $*" >&2
	exit 1
}

top=$(git rev-parse --show-toplevel 2>&1) || die "no tarball: $(echo "$top" | head -n 1)"
[ "$top" = "$(pwd -P)" ] || die "no tarball: $(pwd -P) is not a git checkout"
[ -z "$(git status --porcelain)" ] || die "no tarball: this tree has uncommitted changes: git status"
read -r version <VERSION
grep -qF "## [$version] - " CHANGELOG.md || die "no tarball: CHANGELOG.md has no release $version"

mkdir -p "$folder"
tarball=$folder/xfd-$version.tar.gz
git -c tar.umask=0022 archive --format=tar --prefix="xfd-$version/" --output="$folder/xfd.tar.new" HEAD
gzip -9n <"$folder/xfd.tar.new" >"$tarball.new"
rm "$folder/xfd.tar.new"
mv "$tarball.new" "$tarball"
echo "$tarball"
