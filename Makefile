# SPDX-License-Identifier: GPL-2.0
KDIR ?= /lib/modules/$(shell uname -r)/build
CACHE := $(or $(XFD_CACHE),$(CURDIR)/.cache)

modules clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_XFD_RUST=m $@

.PHONY: modules clean
