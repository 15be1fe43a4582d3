//! Shares are proportional and evenly spread, whatever the weights.

use proptest::prelude::*;
use wvs_plugin::{apportion, interleave};

#[test]
fn the_light_ones_are_spread_among_the_heavy_one() {
    assert_eq!(interleave(&[5, 1, 1], 7), [0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(interleave(&[1, 1, 1], 7), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(interleave(&[10, 1, 1], 12), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(interleave(&[0, 2], 3), [1, 1, 1]);
}

#[test]
fn without_weight_there_are_no_picks() {
    assert!(interleave(&[], 5).is_empty());
    assert!(interleave(&[0, 0], 5).is_empty());
    assert!(interleave(&[1], 0).is_empty());
    assert_eq!(apportion(&[0, 0], 5), [0, 0]);
}

#[test]
fn large_weights_do_not_overflow() {
    assert_eq!(apportion(&[u32::MAX, u32::MAX, 1], 65_537), [32_769, 32_768, 0]);
    assert_eq!(interleave(&[u32::MAX; 3], 4096).len(), 4096);
}

proptest! {
    #[test]
    fn shares_are_quotas_rounded(weights in prop::collection::vec(0_u32..1000, 1..40), slots in 0_u32..2000) {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        prop_assume!(total > 0);
        let shares = apportion(&weights, slots);
        prop_assert_eq!(shares.iter().sum::<u32>(), slots);
        for (&share, &weight) in shares.iter().zip(&weights) {
            let product = u64::from(weight) * u64::from(slots);
            prop_assert!(u64::from(share) >= product / total);
            prop_assert!(u64::from(share) <= product.div_ceil(total));
        }
    }

    /// At every point of the table each backend has had its share, to within one pick.
    #[test]
    fn no_stretch_is_a_burst(weights in prop::collection::vec(0_u32..60, 1..20), slots in 1_u32..900) {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        prop_assume!(total > 0);
        let picks = interleave(&weights, slots);
        prop_assert_eq!(picks.len(), slots as usize);
        // A round that does not fit is rounded first.
        let divisor = (1..=60).rev().find(|&n| weights.iter().all(|weight| weight % n == 0)).unwrap_or(1);
        let round_fits = total / u64::from(divisor) <= u64::from(slots);
        let shares = if round_fits { weights.clone() } else { apportion(&weights, slots) };
        let whole = if round_fits { total } else { u64::from(slots) };
        for (index, &share) in shares.iter().enumerate() {
            let mut picked = 0_u64;
            for (time, &pick) in (1..).zip(&picks) {
                picked += u64::from(pick == index as u32);
                let (ideal, actual) = (u64::from(share) * time, picked * whole);
                prop_assert!(ideal.abs_diff(actual) < whole, "{index} at {time}: {picks:?}");
            }
        }
    }
}
