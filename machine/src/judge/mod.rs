// SPDX-License-Identifier: GPL-2.0
//! Which boots `check` runs (`scenario`), and how their results are judged (`trial`): `style` counts the output of a
//! test, `rows` extracts its answers, and `columns` compares those of the stock kernel, the module and silicon.

pub mod columns;
pub mod divergences;
pub mod every;
pub mod rows;
pub mod scenario;
pub mod silicon;
pub mod style;
pub mod trial;
