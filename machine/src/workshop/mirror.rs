// SPDX-License-Identifier: GPL-2.0
//! Chooses the Debian mirror: `XFD_MIRROR`, else the one in the apt configuration of a Debian host, else none
//! (mmdebstrap's default).

use std::fs;
use std::path::Path;

use anyhow::{bail, Result};

/// One `deb` line, or one stanza of a deb822 file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub uri: String,
    pub suites: Vec<String>,
    pub components: Vec<String>,
}

/// The value of `XFD_MIRROR`, if it is set.
pub fn asked() -> Option<String> {
    std::env::var("XFD_MIRROR").ok().filter(|uri| !uri.is_empty())
}

/// The mirror for the toolchain root; `None` is mmdebstrap's default.
///
/// # Errors
///
/// `XFD_MIRROR` is not a URI.
pub fn choose() -> Result<Option<String>> {
    match asked() {
        Some(uri) if uri.contains(":/") => Ok(Some(uri)),
        Some(uri) => bail!("XFD_MIRROR is not a URI: {uri}; for example https://HOST/debian"),
        None => Ok(of_host(Path::new("/"))),
    }
}

/// The mirror of the main archive in the apt configuration below `root`, if that is a Debian system.
pub fn of_host(root: &Path) -> Option<String> {
    let release = fs::read_to_string(root.join("etc/os-release")).ok()?;
    let value = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|v| v.trim_matches('"').to_owned())
    };
    if value("ID")? != "debian" {
        return None;
    }
    let codename = value("VERSION_CODENAME").unwrap_or_default();
    let suites = [codename.as_str(), "stable", "oldstable", "testing", "unstable", "sid"];
    let main = sources(root).into_iter().find(|source| {
        source.components.iter().any(|c| c == "main")
            && source.suites.iter().any(|s| !s.is_empty() && suites.contains(&s.as_str()))
            && source.uri.trim_end_matches('/').ends_with("/debian")
    })?;
    Some(main.uri.trim_end_matches('/').to_owned())
}

/// The URI from which the system below `root` gets `suite`.
pub fn of_suite(root: &Path, suite: &str) -> Option<String> {
    let found = sources(root).into_iter().find(|source| source.suites.iter().any(|s| s == suite))?;
    Some(found.uri.trim_end_matches('/').to_owned())
}

/// All sources of binary packages in the apt configuration below `root`.
fn sources(root: &Path) -> Vec<Source> {
    let apt = root.join("etc/apt");
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(apt.join("sources.list.d")) {
        let mut more: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => found.extend(one_line_style(&text)),
            Some("sources") => found.extend(deb822_style(&text)),
            _ => {}
        }
    }
    for source in &mut found {
        // A file on the host lists mirrors: take the first one.
        if let Some(list) = source.uri.strip_prefix("mirror+file:") {
            let list = root.join(list.trim_start_matches('/'));
            let first = fs::read_to_string(list).unwrap_or_default();
            source.uri = first.split_whitespace().next().unwrap_or_default().to_owned();
        }
    }
    found.retain(|source| ["http://", "https://"].iter().any(|scheme| source.uri.starts_with(scheme)));
    found
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn one_line_style(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ") else { continue };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map(|(_, rest)| rest).unwrap_or_default(),
            None => rest,
        };
        if let [uri, suite, components @ ..] = words(rest).as_slice() {
            found.push(Source { uri: uri.clone(), suites: vec![suite.clone()], components: components.to_vec() });
        }
    }
    found
}

fn deb822_style(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            }
        }
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| words(v)).unwrap_or_default();
        if !field("types").iter().any(|t| t == "deb") || field("enabled").iter().any(|v| v == "no") {
            continue;
        }
        for uri in field("uris") {
            found.push(Source { uri, suites: field("suites"), components: field("components") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const DEBIAN: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");

    #[test]
    fn one_line_style_with_options_and_comments() {
        let root = host(&[
            DEBIAN,
            (
                "etc/apt/sources.list",
                "# deb http://old.example/debian bookworm main\n\
                 deb http://mirror.example/debian-security bookworm-security main\n\
                 deb-src http://src.example/debian bookworm main\n\
                 deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main contrib # x\n",
            ),
        ]);
        assert_eq!(of_host(root.path()).as_deref(), Some("http://mirror.example/debian"));
    }

    #[test]
    fn deb822_with_continuation_disabled_stanza_and_foreign_archive() {
        let root = host(&[
            DEBIAN,
            (
                "etc/apt/sources.list.d/a.sources",
                "Types: deb\nURIs: https://other.example/node\nSuites: nodistro\nComponents: main\n",
            ),
            (
                "etc/apt/sources.list.d/debian.sources",
                "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n\
                 Types: deb deb-src\n# where\nURIs: http://on.example/debian\nSuites: bookworm\n bookworm-updates\n\
                 Components: main\nSigned-By: /k.gpg\n",
            ),
        ]);
        assert_eq!(of_host(root.path()).as_deref(), Some("http://on.example/debian"));
        assert_eq!(of_suite(root.path(), "bookworm-updates").as_deref(), Some("http://on.example/debian"));
        assert_eq!(of_suite(root.path(), "trixie"), None);
    }

    #[test]
    fn a_mirror_list_file_gives_its_first_mirror() {
        let root = host(&[
            DEBIAN,
            ("etc/apt/mirrors/debian.list", "https://first.example/debian\nhttps://second.example/debian\n"),
            (
                "etc/apt/sources.list.d/d.sources",
                "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n",
            ),
        ]);
        assert_eq!(of_host(root.path()).as_deref(), Some("https://first.example/debian"));
    }

    #[test]
    fn other_distributions_and_odd_hosts_have_none() {
        let line = ("etc/apt/sources.list", "deb http://mirror.example/debian bookworm main\n");
        assert_eq!(of_host(host(&[("etc/os-release", "ID=ubuntu\n"), line]).path()), None);
        assert_eq!(of_host(host(&[line]).path()), None);
        assert_eq!(of_host(host(&[DEBIAN]).path()), None);
        let media =
            ("etc/apt/sources.list", "deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debian bookworm main\ndeb\n");
        assert_eq!(of_host(host(&[DEBIAN, media]).path()), None);
    }
}
