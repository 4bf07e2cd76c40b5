# SPDX-License-Identifier: GPL-2.0
# Builds the Debian packages: deb.sh VERSION DATE MAINTAINER RELEASE...
# Runs in the root for packages; /xfd/packages is the component being built, with build/ filled.
version=$1 date=$2 maintainer=$3
shift 3
cd /xfd/packages/build
cat >debian/changelog <<end
xfd ($version) unstable; urgency=medium

  * CHANGELOG.md says what is new.

 -- $maintainer  $(date -u -R -d "$date")
end
sed "s/@MAINTAINER@/$(printf '%s' "$maintainer" | sed 's|[\\&/]|\\&|g')/" debian/control.in >debian/control
for release; do
	sed "s/@RELEASE@/$release/g" debian/modules.control.in >>debian/control
	for script in postinst prerm postrm; do
		sed "s/@RELEASE@/$release/g" debian/modules.$script.in >"debian/xfd-modules-$release.$script"
	done
done
# Nothing is compiled here, so build-essential is not needed.
dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
rm -r /xfd/packages/build
