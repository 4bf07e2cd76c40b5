# SPDX-License-Identifier: GPL-2.0
# As root of a namespace: ROOT SUITE PACKAGES [MIRROR]
set -eu
root=$1 suite=$2 packages=$3
shift 3
mmdebstrap --mode=root --variant=apt --architectures=amd64 --components=main \
	--aptopt='APT::Sandbox::User "root"' --aptopt='Acquire::Retries "3"' \
	--include="$packages" "$suite" "$root" "$@"
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
