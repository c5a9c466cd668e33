//! Medians, quantiles and how sure they are.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Resamples that a confidence interval is taken from.
const RESAMPLES: usize = 2000;

/// Returns the median; not a number of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Returns the 95 % confidence interval of the median, by bootstrap with a fixed seed.
pub(crate) fn interval(values: &[f64]) -> [f64; 2] {
    let mut random = StdRng::seed_from_u64(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..values.len()).filter_map(|_| values.choose(&mut random).copied());
            median(&drawn.collect::<Vec<f64>>())
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    [
        medians[RESAMPLES * 25 / 1000],
        medians[RESAMPLES * 975 / 1000],
    ]
}

/// Returns the nearest-rank quantile of what is sorted; zero of nothing.
pub(crate) fn quantile(sorted: &[u32], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil().max(1.0) as usize;
    let found = sorted.get(rank - 1).or(sorted.last());
    found.map_or(0.0, |value| f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn an_interval_holds_the_median_and_narrows() {
        let few = [0.9, 1.0, 1.1];
        let many: Vec<f64> = (0..99).map(|n| 0.9 + 0.2 * f64::from(n) / 98.0).collect();
        let width = |values: &[f64]| {
            let [low, high] = interval(values);
            assert!(low <= median(values) && median(values) <= high);
            high - low
        };
        assert!(width(&many) < width(&few));
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let sorted: Vec<u32> = (1..=1000).collect();
        assert_eq!(quantile(&sorted, 50.0), 500.0);
        assert_eq!(quantile(&sorted, 99.9), 999.0);
        assert_eq!(quantile(&[], 50.0), 0.0);
    }
}
