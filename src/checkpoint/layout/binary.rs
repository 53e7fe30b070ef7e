//! The rank's bits in reverse order: ranks that start together differ in the first character, whatever the
//! world size is.

/// The 32 bits in reverse, in hexadecimal.
pub fn prefix(rank: u32) -> String {
    format!("{:08x}/", rank.reverse_bits())
}

#[cfg(test)]
mod tests {
    #[test]
    fn c1_neighbours_differ_in_the_first_character() {
        let prefixes: Vec<_> = (0..4).map(super::prefix).collect();
        assert_eq!(prefixes, ["00000000/", "80000000/", "40000000/", "c0000000/"]);
        for rank in 0..10_000 {
            assert_ne!(super::prefix(rank).as_bytes()[0], super::prefix(rank + 1).as_bytes()[0], "{rank}");
        }
    }
}
