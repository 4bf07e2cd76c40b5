# SPDX-License-Identifier: GPL-2.0
# Builds the ISO. Runs in the root; /xfd/image is the component being built, with iso/ filled.
cd /xfd/image
grub-mkrescue -d /usr/lib/grub/i386-pc --install-modules="biosdisk iso9660 linux normal boot" \
	--locales= --fonts= --themes= --compress=no -o boot.iso iso
rm -r iso
