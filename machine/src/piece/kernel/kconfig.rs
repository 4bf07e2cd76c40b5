// SPDX-License-Identifier: GPL-2.0
//! Compares kernel configurations: if a prepared tree's configuration differs from the shipped kernel's, its struct
//! layouts may silently differ, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};

/// Options that only describe the compilers; their values may differ.
const TOOLCHAIN_ONLY: [&str; 6] = [
    "CONFIG_CC_VERSION_TEXT",
    "CONFIG_GCC_VERSION",
    "CONFIG_AS_VERSION",
    "CONFIG_LD_VERSION",
    "CONFIG_PAHOLE_VERSION",
    "CONFIG_BINDGEN_VERSION_TEXT",
];

/// Option -> value, without options that are not set.
pub type Config = BTreeMap<String, String>;

/// Parses a `.config`, or concatenated fragments, of which the last setting of an option counts.
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

/// Checks that the configuration of `tree` has every option of `fragment`. `owner` names them in the error.
///
/// # Errors
///
/// The tree has no configuration; an option is missing or has another value.
pub fn check(fragment: &str, tree: &Path, owner: &str) -> Result<()> {
    let path = tree.join(".config");
    let config = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lost = lost(&parse(fragment), &parse(&config));
    ensure!(lost.is_empty(), "these options are not available in {owner}: {}", lost.join(", "));
    Ok(())
}

/// The options of `wanted` that `config` lacks, or has with another value.
fn lost(wanted: &Config, config: &Config) -> Vec<String> {
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
    fn lost_new_and_changed_options_are_found() {
        let prepared = SHIPPED.replace("# CONFIG_KASAN is not set", "CONFIG_KASAN=y");
        let prepared = prepared.replace("CONFIG_DEBUG_INFO_BTF=y\n", "").replace("250", "1000");
        assert_eq!(
            differences(&parse(SHIPPED), &parse(&prepared)),
            ["CONFIG_DEBUG_INFO_BTF: y -> not set", "CONFIG_HZ: 250 -> 1000", "CONFIG_KASAN: not set -> y"]
        );
    }

    #[test]
    fn only_the_compilers_description_may_differ() {
        let other = parse(&SHIPPED.replace("14.2.0-19", "14.2.0-20"));
        assert!(differences(&parse(SHIPPED), &other).is_empty());
        let gone = parse(&SHIPPED.replace("CONFIG_CC_VERSION_TEXT", "CONFIG_OTHER"));
        assert_eq!(differences(&parse(SHIPPED), &gone).len(), 2);
        let rustc = parse(&SHIPPED.replace("1.85.1", "1.86.0"));
        assert_eq!(differences(&parse(SHIPPED), &rustc).len(), 1);
    }

    #[test]
    fn missing_options_of_a_fragment_are_found() {
        let wanted = parse("CONFIG_HZ=250\nCONFIG_KASAN=y\nCONFIG_DEBUG_INFO_BTF=m\n");
        assert_eq!(lost(&wanted, &parse(SHIPPED)), ["CONFIG_DEBUG_INFO_BTF", "CONFIG_KASAN"]);
    }

    #[test]
    fn a_tree_without_an_option_is_refused() {
        let tree = tempfile::tempdir().unwrap();
        assert!(check("", tree.path(), "it").is_err());
        fs::write(tree.path().join(".config"), SHIPPED).unwrap();
        assert!(check("CONFIG_HZ=250\n", tree.path(), "it").is_ok());
        let error = check("CONFIG_HZ=100\n", tree.path(), "it").unwrap_err().to_string();
        assert_eq!(error, "these options are not available in it: CONFIG_HZ");
    }

    #[test]
    fn a_later_fragment_overrides_an_earlier_one() {
        let both = parse("CONFIG_HZ=250\nCONFIG_KVM=m\nCONFIG_PREEMPT=y\n# CONFIG_KVM is not set\nCONFIG_HZ=100\n");
        assert_eq!(both, parse("CONFIG_HZ=100\nCONFIG_PREEMPT=y\n"));
    }

    #[test]
    fn strings_lose_their_quotes() {
        assert_eq!(string(&parse(SHIPPED), "CONFIG_RUSTC_VERSION_TEXT"), Some("rustc 1.85.1 (x)"));
        assert_eq!(string(&parse(SHIPPED), "CONFIG_NONE"), None);
    }
}
