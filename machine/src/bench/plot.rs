// SPDX-License-Identifier: GPL-2.0
//! Draws an SVG plot: for each row, the module's instructions as a share of the C code's.

use std::path::Path as File;

use anyhow::{anyhow, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::bench::rows::{Measured, Path, Row, Samples};

const WIDTH: u32 = 900;
/// The height of a row, and of the space above and below all of them.
const ROW: u32 = 24;
const MARGIN: u32 = 90;
/// The width of the names left of the bars, and of the numbers right of them.
const NAMES: u32 = 170;
const NUMBERS: u32 = 200;
/// The longest bar, as a multiple of the C code's; longer ones are cut off.
const MOST: f64 = 1.2;
/// A larger ratio is more than noise.
const EQUAL: f64 = 1.01;

const LESS: RGBColor = RGBColor(0x7a, 0xa6, 0xd8);
const MORE: RGBColor = RGBColor(0xe0, 0x88, 0x70);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// A row of the plot: the counts of module and C code, as a ratio and in full.
#[derive(Debug, PartialEq)]
struct Bar {
    name: String,
    ratio: f64,
    numbers: String,
}

/// Writes the plot.
///
/// # Errors
///
/// The file cannot be written, or there are no results.
pub fn write(file: &File, measured: &Measured, commit: &str) -> Result<()> {
    let bars = bars(measured);
    let height = MARGIN + ROW * u32::try_from(bars.len())?;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw(&root, &bars, commit).map_err(|e| anyhow!("cannot draw {}: {e}", file.display()))
}

/// The rows that both the module and the C code have, from the top.
fn bars(measured: &Measured) -> Vec<Bar> {
    let bar = |row: &Row, unit: &str| {
        let ratio = row.ratio(unit)?;
        let [module, stock] = [Path::Module, Path::Stock].map(|path| row.samples(path, unit).map(Samples::median));
        Some(Bar { name: row.name.clone(), ratio, numbers: format!("{} / {}", module?, stock?) })
    };
    let either = |row| bar(row, "instructions").or(bar(row, "vmalloc_bytes"));
    measured.rows.iter().filter_map(either).collect()
}

type Drawn<'a> = std::result::Result<(), Box<dyn std::error::Error + 'a>>;

fn draw<'a>(root: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>, bars: &[Bar], commit: &str) -> Drawn<'a> {
    root.fill(&WHITE)?;
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(root)
        .caption(format!("Instructions (memory: bytes), module / C, at {commit}"), ("sans-serif", 18))
        .margin(10)
        .margin_right(NUMBERS)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..MOST, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_labels(7)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .bold_line_style(GRID)
        .light_line_style(WHITE)
        .draw()?;
    let text = ("sans-serif", 13).into_text_style(root);
    let name = text.pos(Pos::new(HPos::Right, VPos::Center));
    let number = text.pos(Pos::new(HPos::Left, VPos::Center));
    for (i, bar) in bars.iter().enumerate() {
        let y = rows - i as f64;
        let colour = if bar.ratio > EQUAL { MORE } else { LESS };
        let end = bar.ratio.min(MOST);
        chart.draw_series([Rectangle::new([(0.0, y - 0.8), (end, y - 0.2)], colour.filled())])?;
        let (left, middle) = chart.backend_coord(&(0.0, y - 0.5));
        let (right, _) = chart.backend_coord(&(MOST, y));
        root.draw_text(&bar.name, &name, (left - 8, middle))?;
        root.draw_text(&format!("{:.2}", bar.ratio), &number, (right + 10, middle))?;
        root.draw_text(&bar.numbers, &number, (right + 60, middle))?;
    }
    chart.draw_series([PathElement::new([(1.0, 0.0), (1.0, rows)], BLACK)])?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_rows() {
        let text = "bench first stock instructions 100\nbench first module instructions 25\n\
                    bench alone stock instructions 5\n";
        let measured = Measured::read(text).unwrap();
        assert_eq!(bars(&measured), [Bar { name: "first".into(), ratio: 0.25, numbers: "25 / 100".into() }]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plot.svg");
        write(&file, &measured, "c0ffee").unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.contains("c0ffee") && svg.contains("first") && svg.contains("25 / 100"), "{svg}");
        assert!(!svg.contains("alone"));
    }
}
