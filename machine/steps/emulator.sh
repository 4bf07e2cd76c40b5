# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/build is the piece being made, /xfd/bochs holds series, patches and configure.args:
# URI FILE-NAME SHA256:HASH JOBS FIRMWARE...   (each: PACKAGE FILE NAME)
uri=$1 name=$2 hash=$3 jobs=$4
shift 4
mkdir -p /xfd/build/share /xfd/build/source
cd /xfd/build
echo "== download"
/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$uri" "$name" "$hash"
tar -x -f "$name" -C source --strip-components=1 --no-same-owner
rm "$name"
while [ $# -ge 3 ]; do
	(cd source && apt-get download -q -o APT::Sandbox::User=root "$1")
	dpkg-deb --fsys-tarfile source/"$1"_*.deb | tar -xO "./$2" >"share/$3"
	test -s "share/$3"
	shift 3
done

cd source
echo "== patches"
sed 's/#.*//' /xfd/bochs/patches/series | while read -r patch; do
	[ -z "$patch" ] || patch -p1 --no-backup-if-mismatch -F0 -i "/xfd/bochs/patches/$patch" ||
		{ echo "error: $patch does not apply"; exit 1; }
done

echo "== build"
set --
while read -r argument; do
	case $argument in '' | '#'*) continue ;; esac
	set -- "$@" "$argument"
done </xfd/bochs/configure.args
./configure "$@"
make -j"$jobs" bochs
strip bochs
mv bochs ..
cd ..
rm -rf source
