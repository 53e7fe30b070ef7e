//! Which content each block of an object has: deduplication, computed from the block's number alone.

/// Numbers up to this are exact in an f64, and so is their order after a division.
const MOST_BLOCKS: u64 = 1 << 52;

/// How an object is made of blocks, some of which repeat earlier ones.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Bytes in a block.
    pub size: u64,
    dedupe: f64,
}

impl Blocks {
    pub fn new(size: u64, dedupe: f64) -> Blocks {
        Blocks { size, dedupe }
    }

    /// The size of the longest object.
    pub fn end(&self) -> u64 {
        self.size.saturating_mul(MOST_BLOCKS)
    }

    /// The number of the content of block `block`, counted in the order in which contents appear.
    ///
    /// The first n blocks have (n + phase) / dedupe contents, rounded down, and at least one: with
    /// phases spread evenly over 0..1 the ratio holds on the average of many short objects as it does
    /// in one long object. A block that brings no new content repeats one of the older ones, each in
    /// turn, so that repetitions lie far apart: beyond the window of zstd at level 1, which would find
    /// them otherwise, once an object has some hundred contents.
    pub fn content(&self, block: u64, phase: f64) -> u64 {
        if self.dedupe <= 1.0 {
            return block;
        }
        let known = self.contents_of(block, phase);
        if self.contents_of(block + 1, phase) > known {
            return known;
        }
        // From 2^p contents on, until twice as many are known, those are repeated in turn.
        let oldest = 1_u64 << known.ilog2();
        let first = ((oldest as f64 - phase) * self.dedupe).max(0.0) as u64;
        (block - known).saturating_sub(first.saturating_sub(oldest)) % oldest
    }

    /// How many contents the first `blocks` blocks have.
    fn contents_of(&self, blocks: u64, phase: f64) -> u64 {
        if blocks == 0 {
            return 0;
        }
        let contents = (blocks as f64 + phase * self.dedupe) / self.dedupe;
        (contents as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F2: every prefix of an object has its share of contents, and no content comes before its turn.
    #[test]
    fn contents_grow_evenly() {
        for (dedupe, phase) in [(1.0, 0.0), (1.5, 0.3), (2.0, 0.0), (3.0, 0.99), (7.3, 0.5), (100.0, 0.7)] {
            let blocks = Blocks::new(4096, dedupe);
            let mut contents = 0;
            for block in 0..20_000 {
                let content = blocks.content(block, phase);
                assert!(content <= contents, "block {block} has content {content} of {contents}");
                contents += u64::from(content == contents);
                let expected = (((block + 1) as f64) / dedupe + phase).max(1.0);
                assert!(
                    (contents as f64 - expected).abs() <= 1.0,
                    "{contents} after block {block} of {dedupe}"
                );
            }
        }
    }

    /// F2: repetitions are spread evenly, and lie further apart than the window of zstd at level 1.
    #[test]
    fn repetitions_lie_far_apart() {
        for dedupe in [1.1, 1.5, 2.0, 3.0, 9.9] {
            let blocks = Blocks::new(4096, dedupe);
            let mut last = std::collections::HashMap::new();
            let (mut near, mut repeated) = (0, 0);
            for block in 0..200_000 {
                let content = blocks.content(block, 0.4);
                if let Some(before) = last.insert(content, block) {
                    repeated += 1;
                    near += u64::from(block as f64 > 1000.0 * dedupe && block - before < 128);
                }
            }
            assert!(repeated > 10_000, "{repeated} repetitions at {dedupe}");
            assert_eq!(near, 0, "near repetitions at {dedupe}");
        }
    }
}
