# SPDX-License-Identifier: GPL-2.0
# For Kbuild, and for upstream/linux-rust/Makefile. $(xfd) is the folder of this file below $(src), and
# $(xfd_root) the root of the Rust code.

# Bindings for types and functions that the kernel crate's bindings lack. Names that the
# kernel crate has come from there (--no-recursive-allowlist leaves them to the `use` in bindings.rs).
xfd_bindings := $(obj)/$(xfd)/seam/bindings_generated.rs
export XFD_BINDINGS := $(abspath $(xfd_bindings))

# Flags of gcc that libclang does not know
xfd_not_clang := -mno-fp-ret-in-387 -mpreferred-stack-boundary=% -mskip-rax-setup \
	-mindirect-branch% -mfunction-return=% -mrecord-mcount -mstack-protector-guard% \
	-fconserve-stack -falign-% -fno-ipa-% -fno-partial-inlining -fno-reorder-blocks \
	-fno-allow-store-data-races -fno-inline-functions-called-once -fmin-function-alignment=% \
	-fstrict-flex-arrays=% -fzero-init-padding-bits=% -fzero-call-used-regs=% \
	-fno-stack-clash-protection -fsanitize=% -fplugin% -femit-struct-debug-baseonly \
	-fdiagnostics-show-context% --param% -fno-isolate-erroneous-paths-dereference

quiet_cmd_xfd_bindgen = BINDGEN $@
      cmd_xfd_bindgen = $(BINDGEN) $< --rust-target 1.85 --use-core --with-derive-default \
		--ctypes-prefix ffi --no-layout-tests --no-debug '.*' --no-doc-comments \
		--enable-function-attribute-detection --no-recursive-allowlist \
		--allowlist-type 'klp_.*|kprobe|kprobe_.*_t|arch_specific_insn|fpu_state_config|xfd_.*' \
		--allowlist-type 'static_call_key.*' \
		--allowlist-function 'xfd_.*|klp_enable_patch|(un)?register_kprobe|vzalloc_noprof|vfree|is_vmalloc_addr|kvfree_atomic' \
		--allowlist-var 'XFD_.*|xfd_.*|ARCH_(GET|REQ)_XCOMP.*|ILL_ILLOPC|KPROBE_FLAG_DISABLED' \
		$(xfd_bindgen_more) \
		-o $@ -- $(filter-out $(xfd_not_clang),$(c_flags)) -w --target=x86_64-linux-gnu \
		-fno-builtin -D__BINDGEN__ $(xfd_bindgen_defines)

$(xfd_bindings): $(src)/$(xfd)/seam/bindings_helper.h $(src)/$(xfd)/seam/seam.h \
		$(src)/$(xfd)/watch/trace.h FORCE
	$(call if_changed,xfd_bindgen)

targets += $(xfd)/seam/bindings_generated.rs
clean-files += $(xfd)/seam/bindings_generated.rs

$(obj)/$(xfd)/$(xfd_root).o: $(xfd_bindings)
