//! Which rank stores a tensor that all ranks have: every rank comes to the same answer by itself.

use super::tensor::TensorSpec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many bytes each rank stores for the others so far.
#[derive(Debug)]
pub struct Owners {
    world_size: u32,
    /// Made when it is needed: most saves replicate nothing.
    loads: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Owners {
    pub fn new(world_size: u32) -> Owners {
        Owners { world_size, loads: BinaryHeap::new() }
    }

    /// Who stores each tensor; `None` for those that are not replicated. The largest go first, each to the
    /// rank with the least, so that the order in which they are given does not matter.
    pub fn assign<'a>(&mut self, specs: impl Iterator<Item = &'a TensorSpec>) -> Vec<Option<u32>> {
        let specs: Vec<_> = specs.collect();
        let mut order: Vec<usize> = (0..specs.len()).filter(|at| specs[*at].replicated).collect();
        let mut owners = vec![None; specs.len()];
        if order.is_empty() {
            return owners;
        }
        if self.loads.is_empty() {
            self.loads = (0..self.world_size).map(|rank| Reverse((0, rank))).collect();
        }
        let bytes = |at: usize| specs[at].bytes().unwrap_or(0);
        order.sort_by(|a, b| bytes(*b).cmp(&bytes(*a)).then_with(|| specs[*a].name.cmp(&specs[*b].name)));
        for at in order {
            let Some(Reverse((load, rank))) = self.loads.pop() else { break };
            owners[at] = Some(rank);
            self.loads.push(Reverse((load.saturating_add(bytes(at).max(1)), rank)));
        }
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tensor::Dtype;

    #[test]
    fn c4_every_order_gives_the_same_balanced_owners() {
        let spec = |name: &str, n: u64| TensorSpec::new(name, Dtype::U8, [n]).replicated();
        let specs = [spec("a", 5), spec("b", 9), spec("c", 4), TensorSpec::new("own", Dtype::U8, [100])];
        let owners = Owners::new(2).assign(specs.iter());
        assert_eq!(owners, [Some(1), Some(0), Some(1), None]);
        let mut backwards = Owners::new(2).assign(specs.iter().rev());
        backwards.reverse();
        assert_eq!(owners, backwards);
    }
}
