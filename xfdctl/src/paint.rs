// SPDX-License-Identifier: GPL-2.0
//! The layout of plain text: lines that fit a terminal, and tables without rules.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use std::borrow::Cow;
use std::io;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of the terminal that is standard output; `None` for a pipe or a file.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0).max(20))
}

/// The lines of `text`, wrapped at words if there is a `width`.
pub fn lines(text: &str, width: Option<usize>) -> Vec<String> {
    match width {
        Some(width) => textwrap::wrap(text, width).into_iter().map(Cow::into_owned).collect(),
        None => text.lines().map(str::to_owned).collect(),
    }
}

/// The end of `text` that fits, with an ellipsis in place of the rest.
pub fn end_of(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let fits = c.width().unwrap_or(0) <= left;
        left = left.saturating_sub(c.width().unwrap_or(0));
        fits
    };
    let end: Vec<_> = text.chars().rev().take_while(fits).collect();
    Cow::Owned(std::iter::once('…').chain(end.into_iter().rev()).collect())
}

/// A column of a table: its title, and whether it holds numbers, which are right-aligned.
pub type Column<'a> = (&'a str, bool);

/// The width of all columns but the last, with the space between them.
pub fn width_of_all_but_last(columns: &[Column], rows: &[Vec<String>]) -> usize {
    widths(columns, rows).iter().rev().skip(1).map(|width| width + 1).sum()
}

/// The width of each column.
pub fn widths(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |(column, (title, _)): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.max().unwrap_or(0).max(title.width())
    };
    columns.iter().enumerate().map(widest).collect()
}

/// A table that is as wide as necessary.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    table_within(columns, rows, 1, None)
}

/// A table with a `gap` between its columns. If it is wider than `width`, cells are wrapped, except those in the first
/// column: a wrapped name or path cannot be copied.
pub fn table_within(columns: &[Column], rows: &[Vec<String>], gap: u16, width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let cell = |(text, (_, is_number)): (&str, &Column)| {
        let alignment = if *is_number { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(alignment)
    };
    table.set_header(columns.iter().map(|column| cell((column.0, column))).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.iter().map(String::as_str).zip(columns).map(cell).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, gap));
    }
    if let Some(width) = width {
        // Each column is as wide as its widest cell plus the gap after it.
        let with_gap = |width: usize| u16::try_from(width).unwrap_or(u16::MAX).saturating_add(gap);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(with_gap(width));
        let first = widths(columns, rows).first().copied().unwrap_or(0);
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(with_gap(first))));
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "12345".to_owned()]];
        let columns = [("NAME", false), ("N", true)];
        assert_eq!(table(&columns, &rows), "NAME          N\na             1\nlong name 12345\n");
        assert_eq!((widths(&columns, &rows), width_of_all_but_last(&columns, &rows)), (vec![9, 5], 10));
        assert_eq!(table(&columns, &[]), "NAME N\n");
    }

    #[test]
    fn all_but_the_first_column_is_wrapped() {
        let rows = [vec!["a long name".to_owned(), "1".to_owned(), "some more words".to_owned()]];
        let text = table_within(&[("", false), ("A NUMBER", true), ("", false)], &rows, 2, Some(30));
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        assert!(text.contains("a long name  ") && text.lines().count() > 2, "{text}");
    }

    #[test]
    fn the_end_of_a_path_is_what_counts() {
        assert_eq!(end_of("/a/b", 4), "/a/b");
        assert_eq!(end_of("/a/b", 3), "…/b");
        // Wide characters.
        assert_eq!(end_of("/a/漢字", 5), "…漢字");
        assert_eq!(end_of("/a/漢字", 4), "…字");
        assert_eq!(end_of("/a", 0), "…");
    }
}
