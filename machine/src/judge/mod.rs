// SPDX-License-Identifier: GPL-2.0
//! What the boots are that `check` makes (`scenario`), and what each was worth (`trial`): the output of a test by its
//! `style`, the answers as `rows`, and those of the stock kernel, the module and silicon as `columns`.

pub mod columns;
pub mod divergences;
pub mod every;
pub mod rows;
pub mod scenario;
pub mod silicon;
pub mod style;
pub mod trial;
