// SPDX-License-Identifier: GPL-2.0
//! What CPUID and XCR0 report about tiles (SDM vol. 1, 13.14 and 18.1; vol. 2, CPUID and XGETBV).

use super::finding::Finding;
use iced_x86::CpuidFeature;
use raw_cpuid::{cpuid, CpuId};
use std::arch::asm;

const ABOUT: &str = "processor";
const TILE_CFG: u32 = 1 << 17;
const TILE_DATA: u32 = 1 << 18;
const TILES: u32 = TILE_CFG | TILE_DATA;

/// What the findings depend on.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: String,
    hypervisor: Option<String>,
    tiles: bool,
    features: Features,
    /// The highest palette (CPUID.1DH.0:EAX).
    palettes: u32,
    /// The size and number of tiles in palette 1.
    palette1: (u32, u32),
    /// The components that XCR0 may contain (CPUID.DH.0:EAX).
    offered: u32,
    /// Whether `IA32_XFD` exists and can arm tile data.
    xfd: bool,
    /// XCR0; 0 if the kernel has not enabled XSAVE.
    xcr0: u32,
}

/// The kinds of instructions that compute on tiles.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of CPUID")]
pub struct Features {
    /// AMX-INT8.
    pub int8: bool,
    /// AMX-BF16.
    pub bf16: bool,
    /// AMX-FP16.
    pub fp16: bool,
    /// AMX-COMPLEX.
    pub complex: bool,
}

impl Features {
    /// The name of `feature`, if it is one of these and the processor lacks it.
    pub fn lacks(self, feature: CpuidFeature) -> Option<&'static str> {
        let (has, name) = match feature {
            CpuidFeature::AMX_INT8 => (self.int8, "AMX-INT8"),
            CpuidFeature::AMX_BF16 => (self.bf16, "AMX-BF16"),
            CpuidFeature::AMX_FP16 => (self.fp16, "AMX-FP16"),
            CpuidFeature::AMX_COMPLEX => (self.complex, "AMX-COMPLEX"),
            _ => return None,
        };
        (!has).then_some(name)
    }
}

/// The machine's properties that help to explain a program's death.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The processor's tile features.
    pub features: Features,
    /// Whether CPUID leaf 1DH is not empty.
    pub shows_palettes: bool,
    /// Whether the kernel grants tiles to processes that ask, which means that the processor has them as well.
    pub gives_tiles: bool,
}

/// Checks the processor. Also returns what is known about the machine.
pub fn check() -> (Vec<Finding>, Machine) {
    let seen = see();
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let machine = Machine { features: seen.features, shows_palettes: seen.palettes != 0, gives_tiles: false };
    (judge(&seen, &cmdline), machine)
}

fn see() -> Seen {
    let id = CpuId::new();
    let highest = cpuid!(0).eax;
    let leaf = |leaf: u32, sub: u32| (leaf <= highest).then(|| cpuid!(leaf, sub));
    let features = leaf(7, 0);
    let edx = features.map_or(0, |leaf| leaf.edx);
    let more = features.filter(|leaf| leaf.eax >= 1).map(|_| cpuid!(7, 1));
    let xsave = leaf(1, 0).is_some_and(|leaf| leaf.ecx & 1 << 27 != 0);
    let tile_data = leaf(0xd, 18);
    let palette1 = leaf(0x1d, 1).unwrap_or_else(|| cpuid!(0xffff));
    Seen {
        name: id
            .get_processor_brand_string()
            .map_or_else(|| "unknown".to_owned(), |name| name.as_str().trim().to_owned()),
        hypervisor: id.get_hypervisor_info().map(|info| format!("{:?}", info.identify())),
        tiles: edx & 1 << 24 != 0,
        features: Features {
            int8: edx & 1 << 25 != 0,
            bf16: edx & 1 << 22 != 0,
            fp16: more.is_some_and(|leaf| leaf.eax & 1 << 21 != 0),
            complex: more.is_some_and(|leaf| leaf.edx & 1 << 8 != 0),
        },
        palettes: leaf(0x1d, 0).map_or(0, |leaf| leaf.eax),
        palette1: (palette1.eax >> 16, palette1.ebx >> 16),
        offered: leaf(0xd, 0).map_or(0, |leaf| leaf.eax),
        xfd: leaf(0xd, 1).is_some_and(|leaf| leaf.eax & 1 << 4 != 0)
            && tile_data.is_some_and(|leaf| leaf.ecx & 1 << 2 != 0),
        xcr0: if xsave { xgetbv0() } else { 0 },
    }
}

fn judge(seen: &Seen, cmdline: &str) -> Vec<Finding> {
    let host = match &seen.hypervisor {
        Some(name) => format!("{}, reported by a hypervisor ({name})", seen.name),
        None => seen.name.clone(),
    };
    if !seen.tiles {
        let cure = match seen.hypervisor {
            Some(_) => {
                "use a host with AMX (Intel Xeon of the 4th generation, Sapphire Rapids, or later), and a CPU model \
                 that passes it on: QEMU's -cpu host, libvirt's <cpu mode='host-passthrough'/>"
            }
            None => {
                "use an Intel Xeon of the 4th generation (Sapphire Rapids) or later; if this is one, look for AMX in \
                 the firmware's settings"
            }
        };
        return vec![Finding::wrong(ABOUT, format!("{host}: no AMX (CPUID.7.0:EDX[24] is 0)"), cure)];
    }
    let mut findings = Vec::new();
    let Features { int8, bf16, fp16, complex } = seen.features;
    let kinds = [(int8, "int8"), (bf16, "bf16"), (fp16, "fp16"), (complex, "complex")];
    let kinds: Vec<_> = kinds.iter().filter(|kind| kind.0).map(|kind| kind.1).collect();
    findings.push(Finding::ok(ABOUT, format!("{host}: AMX tiles, {}", kinds.join(", "))));
    findings.push(palettes(seen));
    let has_state = seen.offered & TILES == TILES;
    // Without the registers' state XFD does not matter.
    let xfd = has_state.then(|| xfd(seen));
    let xfd_is_wrong = xfd.as_ref().is_some_and(|finding| finding.cure.is_some());
    findings.extend(xfd);
    findings.push(if seen.xcr0 & TILES == TILES {
        Finding::ok("XCR0", format!("{:#x}: the kernel has enabled tiles", seen.xcr0))
    } else if !has_state {
        Finding::wrong(
            "XCR0",
            format!(
                "{:#x}: AMX is reported without the registers' state, so no kernel can enable tiles (CPUID.DH.0:EAX is \
                 {:#x}, bits 17 and 18 are missing)",
                seen.xcr0, seen.offered
            ),
            "fix the hypervisor: one that uses KVM has to ask for its guests' permission (arch_prctl, \
             ARCH_REQ_XCOMP_GUEST_PERM) before its first virtual CPU, as QEMU does from 7.0 on",
        )
    } else {
        let what = format!("{:#x}: the kernel has not enabled tiles", seen.xcr0);
        Finding::wrong("XCR0", what, off(cmdline, xfd_is_wrong))
    });
    findings
}

/// CPUID leaf 1DH. The kernel does not need it, but some programs do.
fn palettes(seen: &Seen) -> Finding {
    const ABOUT: &str = "palettes";
    if seen.palettes == 0 {
        return Finding::wrong(
            ABOUT,
            "AMX is reported without palettes (CPUID leaf 1DH is empty): a program that takes its tiles' shapes from \
             there configures none, and dies of SIGILL at its first tile",
            "let the hypervisor pass CPUID leaves 1DH and 1EH as well (QEMU does from 7.0 on, unless its level= is \
             below 0x1e); until then tell programs to use no tiles (oneDNN: ONEDNN_MAX_CPU_ISA=AVX512_CORE)",
        );
    }
    let (bytes, tiles) = seen.palette1;
    let plural = if seen.palettes == 1 { "palette" } else { "palettes" };
    Finding::ok(ABOUT, format!("{} {plural}; the first has {tiles} tiles of {bytes} bytes", seen.palettes))
}

fn xfd(seen: &Seen) -> Finding {
    const ABOUT: &str = "XFD";
    if seen.xfd {
        return Finding::ok(
            ABOUT,
            "the kernel can allocate a thread's buffer at its first use of tiles (CPUID.DH.1:EAX[4], DH.18:ECX[2])",
        );
    }
    Finding::wrong(
        ABOUT,
        "AMX is reported without XFD (CPUID.DH.1:EAX[4] or DH.18:ECX[2] is 0), and Linux grants no tiles without it",
        "let the hypervisor pass XFD as well (QEMU: -cpu host, or +xfd)",
    )
}

/// What to do if the kernel has not enabled what the processor has.
fn off(cmdline: &str, xfd_is_wrong: bool) -> String {
    if xfd_is_wrong {
        return "fix XFD first, see above".into();
    }
    let culprit = |word: &&str| ["clearcpuid=", "noxsave", "nofxsr"].iter().any(|start| word.starts_with(start));
    let words: Vec<_> = cmdline.split_whitespace().filter(culprit).collect();
    if words.is_empty() {
        "use Linux 5.16 or later; if this is one, look for x86/fpu in the kernel log".into()
    } else {
        format!("boot without {} on the kernel's command line", words.join(" "))
    }
}

fn xgetbv0() -> u32 {
    let eax: u32;
    // SAFETY: CPUID.1:ECX[27] reports that the kernel has enabled XSAVE, so XGETBV exists. It only writes EAX and EDX.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") eax, out("edx") _, options(nomem, nostack)) };
    eax
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn good() -> Seen {
        Seen {
            name: "Xeon".into(),
            hypervisor: None,
            tiles: true,
            features: Features { int8: true, bf16: true, ..Features::default() },
            palettes: 1,
            palette1: (1024, 8),
            offered: 0x602e7,
            xfd: true,
            xcr0: 0x602e7,
        }
    }

    fn wrong(seen: &Seen) -> Vec<&'static str> {
        let findings = judge(seen, "");
        assert!(findings.iter().all(|f| (f.state == State::Wrong) == f.cure.is_some()));
        findings.iter().filter(|f| f.state == State::Wrong).map(|f| f.about).collect()
    }

    fn cure(seen: &Seen, cmdline: &str, about: &str) -> String {
        judge(seen, cmdline).into_iter().find(|f| f.about == about).and_then(|f| f.cure).unwrap_or_default()
    }

    #[test]
    fn a_good_one() {
        assert_eq!(wrong(&good()), [""; 0]);
        assert_eq!(judge(&good(), "")[1].what, "1 palette; the first has 8 tiles of 1024 bytes");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(wrong(&Seen { tiles: false, ..good() }), ["processor"]);
        assert_eq!(wrong(&Seen { palettes: 0, hypervisor: Some("KVM".into()), ..good() }), ["palettes"]);
        assert_eq!(wrong(&Seen { xfd: false, ..good() }), ["XFD"]);
        assert_eq!(wrong(&Seen { xcr0: 0xe7, ..good() }), ["XCR0"]);
        assert_eq!(wrong(&Seen { xcr0: 0xe7, offered: 0x2e7, xfd: false, ..good() }), ["XCR0"]);
    }

    #[test]
    fn the_remedy_names_the_obstacle() {
        let off = Seen { xcr0: 0xe7, ..good() };
        assert_eq!(
            cure(&off, "quiet clearcpuid=324 noxsaves\n", "XCR0"),
            "boot without clearcpuid=324 noxsaves on the kernel's command line"
        );
        assert!(cure(&off, "quiet", "XCR0").contains("5.16"));
        assert!(cure(&Seen { xfd: false, ..off.clone() }, "noxsaves", "XCR0").contains("XFD first"));
        assert!(cure(&Seen { offered: 0x2e7, ..off }, "", "XCR0").contains("GUEST_PERM"));
        let hosts =
            |hypervisor: Option<&str>| Seen { tiles: false, hypervisor: hypervisor.map(Into::into), ..good() };
        assert!(cure(&hosts(Some("KVM")), "", "processor").contains("-cpu host"));
        assert!(cure(&hosts(None), "", "processor").contains("firmware"));
    }

    #[test]
    fn this_processor_has_an_answer() {
        assert!(!check().0.is_empty());
    }
}
