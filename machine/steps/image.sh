# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/image is the piece being made, with iso/ filled
cd /xfd/image
grub-mkrescue -d /usr/lib/grub/i386-pc --install-modules="biosdisk iso9660 linux normal boot" \
	--locales= --fonts= --themes= --compress=no -o boot.iso iso
rm -r iso
