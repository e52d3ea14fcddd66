//! Medians and percentiles.

use serde_json::{Value, json};

/// Figures of one kind, in the order in which they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The figure below which a share of all lie, by the nearest rank; 0 when there is none.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// The middle one, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => 0.0,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().reduce(f64::min).unwrap_or(0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().reduce(f64::max).unwrap_or(0.0)
    }
}

/// A number as it is printed: four significant digits say more than this machine can repeat.
pub(crate) fn number(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return json!(0);
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(digits);
    let rounded = (value * factor).round() / factor;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        json!(rounded as i64)
    } else {
        json!(rounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_those_of_the_sorted_figures() {
        let figures = Figures((1..=100).rev().map(f64::from).collect());
        assert_eq!((figures.median(), figures.min(), figures.max()), (50.5, 1.0, 100.0));
        assert_eq!((figures.percentile(0.5), figures.percentile(0.99)), (50.0, 99.0));
        assert_eq!(Figures(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Figures::default().percentile(0.99), 0.0);
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(1234.567), json!(1235));
        assert_eq!(number(0.012_345_6), json!(0.01235));
        assert_eq!(number(0.0), json!(0));
    }
}
