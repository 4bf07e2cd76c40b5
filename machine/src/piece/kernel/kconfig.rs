// SPDX-License-Identifier: GPL-2.0
//! Comparing kernel configurations: a prepared tree whose configuration differs from the shipped kernel's
//! may have other struct layouts, silently.

use std::collections::BTreeMap;

/// Options that describe the compilers and change nothing in the kernel; they may differ in value.
const TOOLCHAIN_ONLY: [&str; 6] = [
    "CONFIG_CC_VERSION_TEXT",
    "CONFIG_GCC_VERSION",
    "CONFIG_AS_VERSION",
    "CONFIG_LD_VERSION",
    "CONFIG_PAHOLE_VERSION",
    "CONFIG_BINDGEN_VERSION_TEXT",
];

/// Option -> value; options that are not set are not in it.
pub type Config = BTreeMap<String, String>;

/// Reads a `.config`, or fragments one after the other: the last word on an option counts.
pub fn parse(text: &str) -> Config {
    let mut config = Config::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
            config.remove(name);
        } else if let Some((name, value)) = line.split_once('=').filter(|_| line.starts_with("CONFIG_")) {
            config.insert(name.into(), value.into());
        }
    }
    config
}

/// The value of a string option, without its quotes.
pub fn string<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    config.get(name).map(|value| value.trim_matches('"'))
}

/// Every difference that could matter, as `NAME: shipped -> prepared`.
pub fn differences(shipped: &Config, prepared: &Config) -> Vec<String> {
    let mut names: Vec<_> = shipped.keys().chain(prepared.keys()).collect();
    names.sort();
    names.dedup();
    let unset = "not set".to_owned();
    let mut found = Vec::new();
    for name in names {
        let (a, b) = (shipped.get(name), prepared.get(name));
        let harmless = a.is_some() && b.is_some() && TOOLCHAIN_ONLY.contains(&name.as_str());
        if a != b && !harmless {
            found.push(format!("{name}: {} -> {}", a.unwrap_or(&unset), b.unwrap_or(&unset)));
        }
    }
    found
}

/// What of `wanted` is not in `config`, or has another value there.
pub fn lost(wanted: &Config, config: &Config) -> Vec<String> {
    wanted.iter().filter(|(name, value)| config.get(*name) != Some(*value)).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = "# comment\nCONFIG_CC_VERSION_TEXT=\"gcc 14.2.0-19\"\nCONFIG_DEBUG_INFO_BTF=y\n\
                           # CONFIG_KASAN is not set\nCONFIG_HZ=250\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.85.1 (x)\"\n";

    #[test]
    fn equal_configs_have_no_difference() {
        assert!(differences(&parse(SHIPPED), &parse(SHIPPED)).is_empty());
    }

    #[test]
    fn a_lost_option_a_new_one_and_another_value_are_found() {
        let prepared = SHIPPED.replace("# CONFIG_KASAN is not set", "CONFIG_KASAN=y");
        let prepared = prepared.replace("CONFIG_DEBUG_INFO_BTF=y\n", "").replace("250", "1000");
        assert_eq!(
            differences(&parse(SHIPPED), &parse(&prepared)),
            ["CONFIG_DEBUG_INFO_BTF: y -> not set", "CONFIG_HZ: 250 -> 1000", "CONFIG_KASAN: not set -> y"]
        );
    }

    #[test]
    fn only_the_compilers_description_may_differ_and_not_vanish() {
        let other = parse(&SHIPPED.replace("14.2.0-19", "14.2.0-20"));
        assert!(differences(&parse(SHIPPED), &other).is_empty());
        let gone = parse(&SHIPPED.replace("CONFIG_CC_VERSION_TEXT", "CONFIG_OTHER"));
        assert_eq!(differences(&parse(SHIPPED), &gone).len(), 2);
        let rustc = parse(&SHIPPED.replace("1.85.1", "1.86.0"));
        assert_eq!(differences(&parse(SHIPPED), &rustc).len(), 1);
    }

    #[test]
    fn what_a_fragment_asks_for_must_be_there() {
        let wanted = parse("CONFIG_HZ=250\nCONFIG_KASAN=y\nCONFIG_DEBUG_INFO_BTF=m\n");
        assert_eq!(lost(&wanted, &parse(SHIPPED)), ["CONFIG_DEBUG_INFO_BTF", "CONFIG_KASAN"]);
    }

    #[test]
    fn a_later_fragment_has_the_last_word() {
        let both = parse("CONFIG_HZ=250\nCONFIG_KVM=m\nCONFIG_PREEMPT=y\n# CONFIG_KVM is not set\nCONFIG_HZ=100\n");
        assert_eq!(both, parse("CONFIG_HZ=100\nCONFIG_PREEMPT=y\n"));
    }

    #[test]
    fn strings_lose_their_quotes() {
        assert_eq!(string(&parse(SHIPPED), "CONFIG_RUSTC_VERSION_TEXT"), Some("rustc 1.85.1 (x)"));
        assert_eq!(string(&parse(SHIPPED), "CONFIG_NONE"), None);
    }
}
