// SPDX-License-Identifier: GPL-2.0
//! The module's share of the C code's instructions, row by row, as SVG.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::prelude::*;

use crate::bench_rows::Measured;

const WIDTH: u32 = 900;
/// Height of a row, and of what is above and below all of them.
const ROW: u32 = 26;
const MARGIN: u32 = 100;
/// Longer bars are cut off.
const MOST: f64 = 1.5;

/// Writes the plot.
///
/// # Errors
///
/// The file cannot be written, or there is nothing to show.
pub fn write(file: &Path, measured: &Measured, commit: &str) -> Result<()> {
    let bars = bars(measured);
    let height = MARGIN + ROW * u32::try_from(bars.len())?;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw(&root, &bars, commit).map_err(|e| anyhow!("cannot draw {}: {e}", file.display()))
}

/// Row and ratio, from the top.
fn bars(measured: &Measured) -> Vec<(String, f64)> {
    let ratio = |row: &crate::bench_rows::Row| row.ratio("instructions").or(row.ratio("vmalloc_bytes"));
    measured.rows.iter().filter_map(|row| Some((row.name.clone(), ratio(row)?))).collect()
}

type Drawn<'a> = std::result::Result<(), Box<dyn std::error::Error + 'a>>;

fn draw<'a>(
    root: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    bars: &[(String, f64)],
    commit: &str,
) -> Drawn<'a> {
    root.fill(&WHITE)?;
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(root)
        .caption(format!("Instructions (memory: bytes), module / C, at {commit}"), ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(190)
        .build_cartesian_2d(0.0..MOST, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_labels(7)
        .x_label_formatter(&|x| format!("{x:.2}"))
        .draw()?;
    for (number, (name, ratio)) in bars.iter().enumerate() {
        let y = rows - number as f64;
        let colour = if *ratio > 1.01 { RED.mix(0.6) } else { BLUE.mix(0.6) };
        chart.draw_series([Rectangle::new([(0.0, y - 0.8), (ratio.min(MOST), y - 0.2)], colour.filled())])?;
        let place = chart.backend_coord(&(0.0, y - 0.5));
        let style = ("sans-serif", 13).into_text_style(root);
        root.draw_text(name, &style, (place.0 - 185, place.1 - 7))?;
        root.draw_text(
            &format!("{ratio:.2}"),
            &style,
            (chart.backend_coord(&(ratio.min(MOST - 0.1), y)).0 + 4, place.1 - 7),
        )?;
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
        assert_eq!(bars(&measured), [("first".to_owned(), 0.25)]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plot.svg");
        write(&file, &measured, "c0ffee").unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.contains("c0ffee") && svg.contains("first") && svg.contains("0.25"), "{svg}");
        assert!(!svg.contains("alone"));
    }
}
