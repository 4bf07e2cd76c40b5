// SPDX-License-Identifier: GPL-2.0
//! The boots that `check` runs (`scenario`) and their verdicts (`trial`). The output of a test is judged by its
//! `style`; its
//! answers are `rows`, and those of the stock kernel, the module and silicon are `columns`.

pub mod columns;
pub mod divergences;
pub mod every;
pub mod rows;
pub mod scenario;
pub mod silicon;
pub mod style;
pub mod trial;
