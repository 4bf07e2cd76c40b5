# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: SOURCE-PACKAGE VERSION RELEASE LEAVE-OUT MODULES
source=$1 version=$2 release=$3 leave_out=$4 modules=$5
mkdir -p /xfd/kernel/dl /xfd/kernel/tree /xfd/kernel/modules
cd /xfd/kernel/dl
echo "== download"
apt-get download -q -o APT::Sandbox::User=root "$source=$version" \
	"linux-headers-$release=$version" "linux-binary-$release=$version" "linux-modules-$release=$version"

echo "== source"
deb=$(echo "$source"_*.deb)
set -f
excludes=
for pattern in $leave_out; do
	excludes="$excludes --exclude=$source/$pattern"
done
dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$source.tar.xz" | xz -dc -T0 |
	tar -x -C /xfd/kernel/tree --strip-components=1 --no-same-owner --anchored --wildcards-match-slash $excludes
set +f
rm "$deb"

echo "== configuration and symbol versions"
dpkg-deb --fsys-tarfile linux-headers-*.deb |
	tar -x -C /xfd/kernel/tree --strip-components=4 --no-same-owner --wildcards \
		"./usr/src/linux-headers-$release/.config" "./usr/src/linux-headers-$release/Module.symvers"
cp /xfd/kernel/tree/.config /xfd/kernel/config.shipped

echo "== image and modules"
mkdir image
dpkg-deb --fsys-tarfile linux-binary-*.deb | tar -x -C image --no-same-owner
find image -name 'vmlinuz*' -type f -exec mv {} /xfd/kernel/vmlinuz \;
test -s /xfd/kernel/vmlinuz
mkdir modules
dpkg-deb --fsys-tarfile linux-modules-*.deb | tar -x -C modules --no-same-owner
for name in $modules; do
	found=$(find modules -path "*/$release/$name*" -type f)
	[ -n "$found" ] || { echo "error: linux-modules-$release has no $name"; exit 1; }
	case $found in
	*.xz) xz -dc "$found" ;;
	*) cat "$found" ;;
	esac >"/xfd/kernel/modules/${name##*/}"
done
cd /
rm -rf /xfd/kernel/dl
echo "$release" >/xfd/kernel/release
