//! Shares of a table, and their order: proportional, and never in bursts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Divides `slots` among weights: each share is its quota rounded down or up, the largest
/// remainders first, and the earlier of two equal ones.
#[must_use]
pub fn apportion(weights: &[u32], slots: u32) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let product = |weight: u32| u64::from(weight) * u64::from(slots);
    let mut shares: Vec<u32> = weights
        .iter()
        .map(|&weight| (product(weight) / total) as u32)
        .collect();
    let mut left = slots - shares.iter().sum::<u32>();
    let mut remainders: BinaryHeap<(u64, Reverse<usize>)> = weights
        .iter()
        .enumerate()
        .map(|(index, &weight)| (product(weight) % total, Reverse(index)))
        .collect();
    while left > 0
        && let Some((_, Reverse(index))) = remainders.pop()
    {
        shares[index] += 1;
        left -= 1;
    }
    shares
}

/// `slots` picks of indexes into `weights`, smoothly: at any point of the sequence each index has
/// been picked as often as its weight demands, give or take one. Empty if all weights are 0.
///
/// A whole round of the weights is repeated if it fits, so that equal ones simply take turns; else
/// the slots are [apportioned](apportion), and the sequence fits its own repetition.
#[must_use]
pub fn interleave(weights: &[u32], slots: u32) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let divisor = weights
        .iter()
        .fold(0, |divisor, &weight| greatest_common_divisor(weight, divisor));
    if divisor == 0 {
        return Vec::new();
    }
    let mut picks = if total / u64::from(divisor) <= u64::from(slots) {
        let shares: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
        one_round(&shares)
    } else {
        one_round(&apportion(weights, slots))
    };
    let round = picks.len();
    picks.reserve(slots as usize - round);
    for slot in round..slots as usize {
        picks.push(picks[slot - round]);
    }
    picks
}

/// Weights times factors, in proportion to each other; whatever had a weight keeps one. If all factors are the same, the
/// weights stay as they are.
#[must_use]
pub fn scale(weights: &[u32], factors: &[f64]) -> Vec<u32> {
    const MOST: f64 = 2_147_483_648.0;
    let products = || {
        weights
            .iter()
            .zip(factors)
            .map(|(&weight, factor)| f64::from(weight) * factor)
    };
    let mut counting = weights.iter().zip(factors).filter(|(weight, _)| **weight > 0);
    let first = counting.next().map(|(_, factor)| factor);
    if counting.all(|(_, factor)| Some(factor) == first) {
        return weights.to_vec();
    }
    let most = products().fold(f64::MIN_POSITIVE, f64::max);
    let scaled = weights.iter().zip(products());
    scaled
        .map(|(&weight, product)| ((product / most * MOST) as u32).max(weight.min(1)))
        .collect()
}

/// The largest number that divides both; the other one if one is 0.
#[must_use]
pub fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Each index as often as its share, spread evenly.
///
/// Each pick has a release (its share demands it in part) and a deadline (its share demands it
/// whole); of the released ones the earliest deadline is next. Tijdeman showed that this keeps
/// within one of the ideal ("The chairman assignment problem", 1980). Other than adding weights
/// up for all backends at every pick, it costs a logarithm per pick.
fn one_round(shares: &[u32]) -> Vec<u32> {
    let length: u64 = shares.iter().map(|&share| u64::from(share)).sum();
    let sharers = shares.iter().filter(|&&share| share > 0).count() as u64;
    // Released at t when t·share/length − picked >= 1/(2n − 2), scaled by length·(2n − 2).
    let scale = if sharers > 1 { 2 * sharers - 2 } else { 1 };
    let release = |share: u32, picked: u32| {
        (length * (u64::from(picked) * scale + 1)).div_ceil(u64::from(share) * scale)
    };
    let deadline = |share: u32, picked: u32| (length * (u64::from(picked) + 1)).div_ceil(u64::from(share));
    let mut picked = vec![0_u32; shares.len()];
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut released: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for (index, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
        waiting.push(Reverse((release(share, 0), index)));
    }
    let mut picks = Vec::with_capacity(length as usize);
    for time in 1..=length {
        while let Some(&Reverse((at, index))) = waiting.peek()
            && at <= time
        {
            waiting.pop();
            released.push(Reverse((deadline(shares[index], picked[index]), index)));
        }
        // By the theorem one is always released; an early pick would do no harm either.
        let Some(Reverse((_, index))) = released.pop().or_else(|| waiting.pop()) else {
            break;
        };
        picks.push(index as u32);
        picked[index] += 1;
        if picked[index] < shares[index] {
            waiting.push(Reverse((release(shares[index], picked[index]), index)));
        }
    }
    picks
}
