//! A fixed number of prefixes, one rank after the other.

/// The rank modulo the number of prefixes, in hexadecimal.
pub fn prefix(rank: u32, prefixes: u32) -> String {
    format!("{:04x}/", rank % prefixes.max(1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn c1_ranks_take_turns() {
        let prefixes: Vec<_> = (0..5).map(|rank| super::prefix(rank, 3)).collect();
        assert_eq!(prefixes, ["0000/", "0001/", "0002/", "0000/", "0001/"]);
    }
}
