//! What a tensor is: element type, shape, and which box of a larger tensor it holds.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// The most axes that a tensor may have.
pub const MAX_AXES: usize = 32;

macro_rules! dtypes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $size:literal;)+) => {
        /// An element type, by the names of the safetensors format; elements are little-endian.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Dtype { $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+ }

        impl Dtype {
            /// All of them.
            pub const ALL: &'static [Dtype] = &[$(Dtype::$name,)+];

            /// The name in the safetensors format, such as `F32`.
            pub fn name(self) -> &'static str {
                match self { $(Dtype::$name => $text,)+ }
            }

            /// Bytes of an element.
            pub fn size(self) -> u64 {
                match self { $(Dtype::$name => $size,)+ }
            }
        }
    };
}

dtypes! {
    /// A byte, 0 or 1.
    Bool = "BOOL", 1;
    /// Unsigned, 8 bits.
    U8 = "U8", 1;
    /// Signed, 8 bits.
    I8 = "I8", 1;
    /// Float of 8 bits, 5 of them exponent (OCP OFP8).
    F8E5M2 = "F8_E5M2", 1;
    /// Float of 8 bits, 4 of them exponent (OCP OFP8).
    F8E4M3 = "F8_E4M3", 1;
    /// Signed, 16 bits.
    I16 = "I16", 2;
    /// Unsigned, 16 bits.
    U16 = "U16", 2;
    /// IEEE 754 half.
    F16 = "F16", 2;
    /// bfloat16.
    BF16 = "BF16", 2;
    /// Signed, 32 bits.
    I32 = "I32", 4;
    /// Unsigned, 32 bits.
    U32 = "U32", 4;
    /// IEEE 754 single.
    F32 = "F32", 4;
    /// Two singles, real and imaginary.
    C64 = "C64", 8;
    /// IEEE 754 double.
    F64 = "F64", 8;
    /// Signed, 64 bits.
    I64 = "I64", 8;
    /// Unsigned, 64 bits.
    U64 = "U64", 8;
}

impl Dtype {
    /// The type of this name.
    pub fn parse(name: &str) -> Result<Dtype> {
        Dtype::ALL.iter().copied().find(|dtype| dtype.name() == name).ok_or_else(|| {
            let names: Vec<_> = Dtype::ALL.iter().map(|dtype| dtype.name()).collect();
            Error::new(
                Code::InvalidArgument,
                format!("{name:?} is no element type; expected one of {}", names.join(" ")),
            )
        })
    }
}

/// A tensor to be stored, without its bytes: they are contiguous and row-major (the last axis varies fastest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Any text but the empty one and `__metadata__`.
    pub name: String,
    pub dtype: Dtype,
    /// Elements along each axis of what is given; no axes: one element.
    pub shape: Vec<u64>,
    /// The whole tensor's shape, where this is a box of it.
    pub global_shape: Option<Vec<u64>>,
    /// The first element of the box along each axis; `None`: zeros.
    pub start: Option<Vec<u64>>,
    /// Every rank gives the same tensor; it is stored once.
    pub replicated: bool,
}

impl TensorSpec {
    /// A whole tensor of one rank.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: impl Into<Vec<u64>>) -> TensorSpec {
        let (name, shape) = (name.into(), shape.into());
        TensorSpec { name, dtype, shape, global_shape: None, start: None, replicated: false }
    }

    /// The box `shape` from `start` of a tensor of `global_shape`.
    pub fn slice_of(mut self, global_shape: impl Into<Vec<u64>>, start: impl Into<Vec<u64>>) -> TensorSpec {
        self.global_shape = Some(global_shape.into());
        self.start = Some(start.into());
        self
    }

    /// Stored once, though every rank gives it.
    pub fn replicated(mut self) -> TensorSpec {
        self.replicated = true;
        self
    }

    /// The whole tensor's shape.
    pub fn whole(&self) -> &[u64] {
        self.global_shape.as_deref().unwrap_or(&self.shape)
    }

    /// Which box of the whole it is.
    pub fn region(&self) -> Region {
        let start = self.start.clone().unwrap_or_else(|| vec![0; self.shape.len()]);
        Region { start, shape: self.shape.clone() }
    }

    /// How many bytes it has; an error that names the tensor where it makes no sense.
    pub fn bytes(&self) -> Result<u64> {
        let bad = |what: String| Error::new(Code::InvalidArgument, format!("tensor {:?}: {what}", self.name));
        if self.name.is_empty() || self.name == super::safetensors::METADATA || self.name.len() > 4096 {
            return Err(bad("a name has 1 to 4096 bytes and is not __metadata__".into()));
        }
        let axes = self.shape.len();
        let same = |other: &Option<Vec<u64>>| other.as_ref().is_none_or(|other| other.len() == axes);
        if axes > MAX_AXES || !same(&self.global_shape) || !same(&self.start) {
            let message = format!(
                "shape {:?}, global shape {:?} and start {:?} must have the same number of axes, at most {MAX_AXES}",
                self.shape, self.global_shape, self.start
            );
            return Err(bad(message));
        }
        if !self.region().is_within(self.whole()) {
            let message = format!(
                "the box of shape {:?} from {:?} is not within the whole shape {:?}",
                self.shape,
                self.region().start,
                self.whole()
            );
            return Err(bad(message));
        }
        let too_large = || bad(format!("shape {:?} has more bytes than a file can", self.whole()));
        bytes_of(self.dtype, self.whole()).ok_or_else(too_large)?;
        bytes_of(self.dtype, &self.shape).ok_or_else(too_large)
    }
}

/// The bytes of a tensor; `None` where there are more than 2^63.
pub fn bytes_of(dtype: Dtype, shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let bytes = shape.iter().try_fold(dtype.size(), |product, axis| product.checked_mul(*axis))?;
    (bytes <= i64::MAX.cast_unsigned()).then_some(bytes)
}

/// A box of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region {
    /// The first element along each axis.
    pub start: Vec<u64>,
    /// How many along each axis.
    pub shape: Vec<u64>,
}

impl Region {
    /// All of a tensor.
    pub fn all(shape: &[u64]) -> Region {
        Region { start: vec![0; shape.len()], shape: shape.to_vec() }
    }

    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// One past the last element along an axis. Regions are checked before: this does not overflow.
    pub fn end(&self, axis: usize) -> u64 {
        self.start[axis].saturating_add(self.shape[axis])
    }

    /// Whether it lies within a tensor of this shape.
    pub fn is_within(&self, whole: &[u64]) -> bool {
        let axes = self.shape.len();
        axes == whole.len()
            && axes == self.start.len()
            && (0..axes).all(|a| self.start[a].checked_add(self.shape[a]).is_some_and(|end| end <= whole[a]))
    }

    /// What both cover, if anything.
    pub fn intersect(&self, other: &Region) -> Option<Region> {
        let axes = self.shape.len();
        let mut both = Region { start: Vec::with_capacity(axes), shape: Vec::with_capacity(axes) };
        for axis in 0..axes {
            let start = self.start[axis].max(other.start[axis]);
            let end = self.end(axis).min(other.end(axis));
            if start >= end {
                return None;
            }
            both.start.push(start);
            both.shape.push(end - start);
        }
        Some(both)
    }

    /// What of this one is not in `hole`, in boxes that do not overlap. `hole` lies within.
    pub fn without(mut self, hole: &Region) -> Vec<Region> {
        let mut rest = Vec::new();
        for axis in 0..self.shape.len() {
            let (start, end) = (self.start[axis], self.end(axis));
            for (from, to) in [(start, hole.start[axis]), (hole.end(axis), end)] {
                if from < to {
                    let mut slab = self.clone();
                    (slab.start[axis], slab.shape[axis]) = (from, to - from);
                    rest.push(slab);
                }
            }
            (self.start[axis], self.shape[axis]) = (hole.start[axis], hole.shape[axis]);
        }
        rest
    }
}

/// A box of `region` that none of the boxes covers, if there is one.
pub fn hole(region: Region, boxes: impl IntoIterator<Item = Region>) -> Option<Region> {
    let mut missing = if region.is_empty() { Vec::new() } else { vec![region] };
    for filled in boxes {
        let mut left = Vec::with_capacity(missing.len());
        for piece in missing {
            match piece.intersect(&filled) {
                Some(both) => left.extend(piece.without(&both)),
                None => left.push(piece),
            }
        }
        missing = left;
    }
    missing.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: &[u64], shape: &[u64]) -> Region {
        Region { start: start.to_vec(), shape: shape.to_vec() }
    }

    #[test]
    fn c4_dtypes_have_names_and_sizes() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::parse(dtype.name()).unwrap(), *dtype);
            let json = serde_json::to_string(dtype).unwrap();
            assert_eq!(json, format!("\"{}\"", dtype.name()));
        }
        assert_eq!(Dtype::parse("float32").unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn c4_a_spec_that_makes_no_sense_names_the_tensor() {
        let spec = |shape: &[u64]| TensorSpec::new("w", Dtype::F32, shape);
        assert_eq!(spec(&[]).bytes().unwrap(), 4, "a scalar");
        assert_eq!(spec(&[3, 0, u64::MAX]).bytes().unwrap(), 0);
        assert_eq!(spec(&[2, 3]).slice_of([4, 3], [2, 0]).bytes().unwrap(), 24);
        for bad in [
            spec(&[u64::MAX, 2]),
            spec(&[2, 3]).slice_of([4, 3], [3, 0]),
            spec(&[2, 3]).slice_of([4], [0]),
            spec(&[1]).slice_of([u64::MAX], [u64::MAX]),
            spec(&[1; 33]),
        ] {
            let error = bad.bytes().unwrap_err();
            assert!(error.to_string().contains("\"w\""), "{error}");
        }
        assert!(TensorSpec::new("", Dtype::U8, []).bytes().is_err());
    }

    #[test]
    fn c4_holes_are_found_where_boxes_overlap() {
        let all = region(&[0], &[8]);
        let boxes =
            |pairs: &[(u64, u64)]| pairs.iter().map(|(at, n)| region(&[*at], &[*n])).collect::<Vec<_>>();
        assert_eq!(hole(all.clone(), boxes(&[(0, 4), (2, 4)])), Some(region(&[6], &[2])));
        assert_eq!(hole(all, boxes(&[(4, 4), (0, 5)])), None);
        assert_eq!(hole(region(&[], &[]), Vec::new()), Some(region(&[], &[])), "a scalar");
        assert_eq!(hole(region(&[0, 0], &[3, 0]), Vec::new()), None);
    }

    #[test]
    fn c4_a_box_without_a_hole_is_covered_exactly_once() {
        let all = region(&[1, 2, 0], &[5, 4, 3]);
        let hole = all.intersect(&region(&[2, 0, 1], &[3, 4, 9])).unwrap();
        let rest = all.clone().without(&hole);
        for x in 1..6 {
            for y in 2..6 {
                for z in 0..3 {
                    let point = region(&[x, y, z], &[1, 1, 1]);
                    let times = rest.iter().chain([&hole]).filter(|r| r.intersect(&point).is_some()).count();
                    assert_eq!(times, 1, "{x} {y} {z}");
                }
            }
        }
    }
}
