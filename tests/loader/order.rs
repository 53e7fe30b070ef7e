//! The keyed permutation: a bijection for every length, close to uniform, in constant memory (SPEC L1).

use s3dlio::loader::Permutation;

#[test]
fn l1_it_is_a_bijection_of_every_length() {
    let mut seen = Vec::new();
    for length in (0..3000).chain([4095, 4096, 4097, 65_535, 65_537, 1_000_003]) {
        let permutation = Permutation::new(length, [1, 2, 3, length]);
        seen.clear();
        seen.resize(length as usize, false);
        for at in 0..length {
            let to = permutation.at(at) as usize;
            assert!(!std::mem::replace(&mut seen[to], true), "{length}: {to} twice");
        }
    }
}

#[test]
fn l1_large_lengths_stay_within_their_range_and_collide_nowhere() {
    for length in [100_000_000, 1_000_000_000_000, u64::MAX / 2 + 1, u64::MAX] {
        let permutation = Permutation::new(length, [length, 0, 0, 0]);
        // It is itself all that there is of it.
        assert!(size_of_val(&permutation) <= 160);
        let step = (length / 200_000).max(1);
        let mut to: Vec<u64> = (0..200_000).map(|n| permutation.at(n * step)).collect();
        assert!(to.iter().all(|to| *to < length));
        to.sort_unstable();
        to.dedup();
        assert_eq!(to.len(), 200_000);
        // Spread over the range: a sixteenth of them in each sixteenth, within six standard deviations.
        for part in 0..16 {
            let (low, high) = (length / 16 * part, (length / 16).saturating_mul(part + 1));
            let count = to.iter().filter(|to| (low..high).contains(to)).count() as f64;
            assert!(
                (count - 12_500.0).abs() < 6.0 * (12_500.0f64 * 15.0 / 16.0).sqrt(),
                "{length} {part}: {count}"
            );
        }
    }
}

/// The statistic of `counts` against equal shares, and what it exceeds once in about 10^6 times.
fn chi_square(counts: &[u64]) -> (f64, f64) {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let statistic = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    let freedom = counts.len() as f64 - 1.0;
    (statistic, freedom + 4.75 * (2.0 * freedom).sqrt() + 15.0)
}

#[test]
fn l1_every_place_gets_every_item_equally_often() {
    for length in [2u64, 3, 5, 16, 63, 64, 65, 100, 127, 128, 129, 1000] {
        let keys = 200 * length;
        for place in [0, length / 2, length - 1] {
            let mut counts = vec![0; length as usize];
            for seed in 0..keys {
                counts[Permutation::new(length, [seed, 1, 0, 0]).at(place) as usize] += 1;
            }
            let (statistic, limit) = chi_square(&counts);
            assert!(statistic < limit, "length {length}, place {place}: {statistic} of at most {limit}");
        }
    }
}

#[test]
fn l1_neighbours_do_not_stay_together() {
    for length in [256u64, 1024, 1 << 16] {
        // The distance from one place's item to the next one's, in 32 classes, over many epochs.
        let mut counts = vec![0; 32];
        for epoch in 0..200 {
            let permutation = Permutation::new(length, [7, epoch, 0, 0]);
            for at in 0..200.min(length - 1) {
                let distance = (permutation.at(at + 1) + length - permutation.at(at)) % length;
                counts[((distance * 32) / length) as usize] += 1;
            }
        }
        let expected: u64 = counts.iter().sum::<u64>() / 32;
        // A distance of 0 cannot be: the first class of the shortest length lacks an eighth.
        assert!(counts.iter().all(|count| count.abs_diff(expected) < expected / 4), "{length}: {counts:?}");
    }
}
