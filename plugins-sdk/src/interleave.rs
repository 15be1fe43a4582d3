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
/// been picked as often as its share demands, give or take one, and so also where the sequence
/// starts again. Empty if all weights are 0.
///
/// Each pick has a release (its share demands it in part) and a deadline (its share demands it
/// whole); of the released ones the earliest deadline is next. Tijdeman showed that this keeps
/// within one of the ideal ("The chairman assignment problem", 1980). Other than adding weights
/// up for all backends at every pick, it costs a logarithm per pick.
#[must_use]
pub fn interleave(weights: &[u32], slots: u32) -> Vec<u32> {
    let shares = apportion(weights, slots);
    let sharers = shares.iter().filter(|&&share| share > 0).count() as u64;
    if sharers == 0 {
        return Vec::new();
    }
    let slots = u64::from(slots);
    // Released at t when t·share/slots − picked >= 1 − 1/(2n − 2), scaled by slots·(2n − 2).
    let scale = if sharers > 1 { 2 * sharers - 2 } else { 1 };
    let mut waiting: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut released: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut picked = vec![0_u32; shares.len()];
    let release = |share: u32, picked: u32| {
        let share = u64::from(share);
        (slots * (u64::from(picked) * scale + 1)).div_ceil(share * scale)
    };
    let deadline = |share: u32, picked: u32| (slots * (u64::from(picked) + 1)).div_ceil(u64::from(share));
    for (index, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
        waiting.push(Reverse((release(share, 0), index as u32)));
    }
    let mut picks = Vec::with_capacity(slots as usize);
    for time in 1..=slots {
        while let Some(&Reverse((at, index))) = waiting.peek()
            && at <= time
        {
            waiting.pop();
            let index_ = index as usize;
            released.push(Reverse((deadline(shares[index_], picked[index_]), index)));
        }
        // By the bound one is always released; an early pick would do no harm either.
        let Some(Reverse((_, index))) = released.pop().or_else(|| waiting.pop()) else {
            break;
        };
        picks.push(index);
        let (share, picked) = (shares[index as usize], &mut picked[index as usize]);
        *picked += 1;
        if *picked < share {
            waiting.push(Reverse((release(share, *picked), index)));
        }
    }
    picks
}
