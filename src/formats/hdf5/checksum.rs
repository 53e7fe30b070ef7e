//! Bob Jenkins' `lookup3` ("hashlittle", public domain), with which newer parts of HDF5 files are checked.

/// Of the whole of `data`, from the initial value 0.
pub(super) fn lookup3(data: &[u8]) -> u32 {
    let mut state = [0xdead_beef_u32.wrapping_add(data.len() as u32); 3];
    let mut rest = data;
    while rest.len() > 12 {
        add(&mut state, &rest[..12]);
        mix(&mut state);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return state[2];
    }
    let mut last = [0; 12];
    last[..rest.len()].copy_from_slice(rest);
    add(&mut state, &last);
    end(&mut state);
    state[2]
}

fn add(state: &mut [u32; 3], block: &[u8]) {
    for (word, bytes) in state.iter_mut().zip(block.chunks_exact(4)) {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        *word = word.wrapping_add(u32::from_le_bytes(bytes));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &mut u32, z: &mut u32, by: u32| {
        *x = x.wrapping_sub(*z);
        *x ^= z.rotate_left(by);
        *z = z.wrapping_add(*y);
    };
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
}

fn end([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: u32, by: u32| {
        *x ^= y;
        *x = x.wrapping_sub(y.rotate_left(by));
    };
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_known_answers() {
        // From the driver at the end of lookup3.c.
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }
}
