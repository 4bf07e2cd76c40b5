// SPDX-License-Identifier: GPL-2.0
//! Unit tests of columns.rs.

use super::*;
use crate::judge::divergences;

fn rows(list: &[(&str, &str)]) -> Rows {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn named(fields: &str) -> Named {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page");
    std::fs::write(&path, format!("Heading\n=======\n\nWhy.\n\n{fields}\n")).unwrap();
    divergences::read(&path).unwrap()
}

fn compare(stock: &[(&str, &str)], module: &[(&str, &str)], host: Option<&[(&str, &str)]>, fields: &str) -> Table {
    let program = Program { name: "p", stock: rows(stock), module: rows(module), host: host.map(rows) };
    Table::compare(&[program], MODULE, &named(fields), true)
}

fn wrongs(table: &Table) -> Vec<String> {
    table.count().remarks
}

#[test]
fn equal_rows_are_one_pass() {
    let table = compare(&[("a", "ok"), ("size", "2816")], &[("size", "2816"), ("a", "ok")], None, "");
    assert_eq!((table.count().passed, table.count().failed), (1, 0));
    assert_eq!(table.summary(), "2 rows equal, 0 differ as documented; no AMX on this host: two columns");
    assert_eq!(table.lines[1].name, "p: size");
}

#[test]
fn a_table_without_rows_fails() {
    assert_eq!(compare(&[], &[], None, "").count().failed, 1);
}

#[test]
fn a_difference_must_be_named() {
    let (stock, module) = ([("left", "1000")], [("left", "0")]);
    let table = compare(&stock, &module, None, "");
    assert_eq!(
        wrongs(&table),
        ["p: left: the module differs, and Documentation/divergences.rst does not say so (1000 | 0 | -)"]
    );
    let table = compare(&stock, &module, None, ":Row: p: left");
    assert_eq!(table.lines[0].judgement, Judgement::Documented("Heading".into()));
    assert_eq!(table.count().failed, 0);
}

#[test]
fn a_named_row_must_exist_and_differ() {
    let same = [("left", "0")];
    assert!(wrongs(&compare(&same, &same, None, ":Row: p: left"))[0].contains("no longer differs"));
    assert!(wrongs(&compare(&same, &same, None, ":Row: p: other"))[0].contains("no program prints it"));
    assert!(wrongs(&compare(&same, &same, None, ":Processor: p: other"))[0].contains("no program prints it"));
    // A row that depends on the processor still must not differ with the module.
    assert_eq!(compare(&same, &[("left", "1")], None, ":Processor: p: left").count().failed, 1);
}

#[test]
fn a_missing_row_is_wrong_even_if_named() {
    let table = compare(&[("a", "ok"), ("b", "ok")], &[("a", "ok"), ("c", "ok")], None, ":Row: p: b");
    let remarks = wrongs(&table);
    assert_eq!(
        remarks,
        ["p: b: missing with the module (ok | - | -)", "p: c: missing on the stock kernel (- | ok | -)"]
    );
}

#[test]
fn silicon_agrees_with_one_of_the_two() {
    let (stock, module) = ([("left", "1000"), ("a", "ok")], [("left", "0"), ("a", "ok")]);
    let on = |host: &[(&str, &str)]| wrongs(&compare(&stock, &module, Some(host), ":Row: p: left")).len();
    assert_eq!(on(&[("left", "0"), ("a", "ok")]), 0);
    assert_eq!(on(&[("left", "1000"), ("a", "skip")]), 0);
    assert_eq!(on(&[("left", "7"), ("a", "ok")]), 1);
    assert_eq!(on(&[("left", "0"), ("a", "FAIL")]), 1);
    assert_eq!(on(&[("left", "0")]), 1);
    assert_eq!(on(&[("left", "0"), ("a", "ok"), ("new", "1")]), 1);
    assert_eq!(on(&[]), 2);
}

#[test]
fn a_row_that_depends_on_the_processor_may_differ_on_silicon() {
    let mask = [("mask", "0x600e7")];
    assert_eq!(compare(&mask, &mask, Some(&[("mask", "0x602e7")]), "").count().failed, 1);
    assert_eq!(compare(&mask, &mask, Some(&[("mask", "0x602e7")]), ":Processor: p: mask").count().failed, 0);
}

#[test]
fn another_kernel_on_the_host_is_shown_but_fails_nothing() {
    let program = |host| Program { name: "p", stock: rows(&[("a", "ok")]), module: rows(&[("a", "ok")]), host };
    let table = Table::compare(&[program(Some(rows(&[("a", "FAIL")])))], MODULE, &Named::default(), false);
    assert_eq!(table.lines[0].judgement, Judgement::OtherKernel);
    assert_eq!(table.count().failed, 0);
    assert!(table.summary().contains("1 differ on this host's other kernel"));
}

#[test]
fn components_of_only_one_processor_are_ignored() {
    let program = |name, here: &[(&str, &str)], there: &[(&str, &str)]| Program {
        name,
        stock: rows(here),
        module: rows(here),
        host: Some(rows(there)),
    };
    let wrongs = |frame: &str| {
        let programs = [
            program("xcomp_perm", &[("supported", "0x602e7")], &[("supported", "0x600e7")]),
            program("p", &[("frame", "size 2816 xfeatures 0x202e7")], &[("frame", frame)]),
        ];
        Table::compare(&programs, MODULE, &Named::default(), true).count().failed
    };
    assert_eq!(wrongs("size 2816 xfeatures 0x200e7"), 0);
    assert_eq!(wrongs("size 2816 xfeatures 0x600e7"), 1);
    assert_eq!(wrongs("size 2820 xfeatures 0x200e7"), 1);
}
