//! Superblock 0, one group of old style (symbol table, B-tree, local heap), one header and one run of bytes for each
//! dataset. Everything the reader needs first stands at the front.

use super::super::invalid;
use super::*;
use crate::error::Result;

/// A dataset to be written; `data` is row-major and little-endian.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    pub name: &'a str,
    pub descr: Descr,
    pub shape: &'a [u64],
    pub data: &'a [u8],
}

const SUPERBLOCK: u64 = 96;
const GROUP_HEADER: u64 = 16 + 8 + 16;
/// Children of a B-tree's node, as HDF5 has it by default: twice 16.
const CHILDREN: usize = 32;
const TREE: u64 = 24 + (2 * CHILDREN as u64 + 1) * 8;
const HEAP: u64 = 32;
const SYMBOL: u64 = 40;
/// HDF5's own number of axes.
const MOST_AXES: usize = 32;
/// Data starts at multiples of this.
const ALIGNMENT: u64 = 64;

/// A file with these datasets in its root group.
pub fn write(arrays: &[Array]) -> Result<Vec<u8>> {
    let mut order: Vec<&Array> = arrays.iter().collect();
    order.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    if let Some(pair) = order.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(invalid(format!(
            "the dataset {:?} is given twice; expected names of their own",
            pair[0].name
        )));
    }
    let headers: Vec<Vec<u8>> = order.iter().map(|array| dataset(array, 0)).collect::<Result<_>>()?;
    // Symbols per node: as few as HDF5's default of 8, and so many that one B-tree's node is enough.
    let per_node = order.len().div_ceil(CHILDREN).next_multiple_of(2).max(8);
    if per_node / 2 > usize::from(u16::MAX) {
        return Err(invalid(format!("{} datasets are too many for one group", order.len())));
    }
    let (names, heap) = heap(&order);
    let tree_at = SUPERBLOCK + GROUP_HEADER;
    let heap_at = tree_at + TREE;
    let nodes_at = heap_at + HEAP + heap.len() as u64;
    let node = 8 + per_node as u64 * SYMBOL;
    let nodes = order.len().div_ceil(per_node);
    let headers_at = nodes_at + node * nodes as u64;
    let mut at = headers_at + headers.iter().map(|header| header.len() as u64).sum::<u64>();
    let mut places = Vec::new();
    for array in &order {
        if !array.data.is_empty() {
            at = at.next_multiple_of(ALIGNMENT);
        }
        places.push(at);
        at += array.data.len() as u64;
    }
    let mut out = Out(Vec::new());
    let room = usize::try_from(at).map_err(|_| invalid("the datasets do not fit into memory"))?;
    out.0
        .try_reserve_exact(room)
        .map_err(|_| invalid(format!("datasets of {room} bytes do not fit into memory")))?;

    out.bytes(SIGNATURE).bytes(&[0, 0, 0, 0, 0, 8, 8, 0]);
    out.u16(per_node as u16 / 2).u16(CHILDREN as u16 / 2).u32(0);
    out.u64(0).u64(UNDEFINED).u64(at).u64(UNDEFINED);
    // The root group, and again where its parts are.
    out.u64(0).u64(SUPERBLOCK).u32(1).u32(0).u64(tree_at).u64(heap_at);
    out.bytes(&[1, 0]).u16(1).u32(1).u32(24).u32(0);
    out.u16(SYMBOLS).u16(16).u32(0).u64(tree_at).u64(heap_at);

    out.bytes(b"TREE\0\0").u16(nodes as u16).u64(UNDEFINED).u64(UNDEFINED).u64(0);
    for (number, group) in names.chunks(per_node).enumerate() {
        out.u64(nodes_at + node * number as u64).u64(group.last().copied().unwrap_or_default());
    }
    out.fill_to(heap_at);
    // No free room in the heap.
    out.bytes(b"HEAP\0\0\0\0").u64(heap.len() as u64).u64(1).u64(heap_at + HEAP).bytes(&heap);

    let mut header = headers_at;
    let symbols: Vec<(u64, u64)> = std::iter::zip(&names, &headers)
        .map(|(name, bytes)| {
            header += bytes.len() as u64;
            (*name, header - bytes.len() as u64)
        })
        .collect();
    for (number, group) in symbols.chunks(per_node).enumerate() {
        out.bytes(b"SNOD\x01\0").u16(group.len() as u16);
        for (name, header) in group {
            out.u64(*name).u64(*header).bytes(&[0; 24]);
        }
        out.fill_to(nodes_at + node * (number as u64 + 1));
    }
    for (array, place) in std::iter::zip(&order, &places) {
        out.bytes(&dataset(array, *place)?);
    }
    for (array, place) in std::iter::zip(&order, &places) {
        out.fill_to(*place).bytes(array.data);
    }
    Ok(out.0)
}

/// The names with where each starts; the first is the empty one.
fn heap(order: &[&Array]) -> (Vec<u64>, Vec<u8>) {
    let (mut names, mut heap) = (Vec::new(), vec![0; 8]);
    for array in order {
        names.push(heap.len() as u64);
        heap.extend_from_slice(array.name.as_bytes());
        heap.resize((heap.len() + 1).next_multiple_of(8), 0);
    }
    (names, heap)
}

/// The header of one dataset, whose bytes are at `place`.
fn dataset(array: &Array, place: u64) -> Result<Vec<u8>> {
    let Array { name, descr, shape, data } = array;
    if name.is_empty() || name.len() > 4096 || *name == "." || name.contains(['/', '\0']) {
        return Err(invalid(format!(
            "{name:?} cannot be the name of a dataset; expected no slash and no NUL"
        )));
    }
    let Some(datatype) = datatype(descr) else {
        let expected = "expected integers and floats, little-endian, of 8 to 64 bits";
        return Err(invalid(format!("{:?} is not written to HDF5 files; {expected}", descr.text())));
    };
    let bytes = super::super::npy::Header::new(descr.clone(), shape).data_len();
    if bytes != Some(data.len() as u64) || shape.len() > MOST_AXES {
        let message =
            format!("dataset {name:?} of {} {shape:?} does not have {} bytes", descr.text(), data.len());
        return Err(invalid(format!("{message} and at most {MOST_AXES} axes")));
    }
    let mut space = Out(vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0]);
    for axis in *shape {
        space.u64(*axis);
    }
    let mut layout = Out(vec![3, 1]);
    layout.u64(if data.is_empty() { UNDEFINED } else { place }).u64(data.len() as u64);
    // Of the default value, written where it was set.
    let fill = vec![2, 2, 2, 1, 0, 0, 0, 0];
    let mut messages = Out(Vec::new());
    for (kind, mut body) in [(DATASPACE, space.0), (DATATYPE, datatype), (FILL, fill), (LAYOUT, layout.0)] {
        body.resize(body.len().next_multiple_of(8), 0);
        messages.u16(kind).u16(body.len() as u16).u32(0).bytes(&body);
    }
    let mut out = Out(vec![1, 0]);
    out.u16(4).u32(1).u32(messages.0.len() as u32).u32(0).bytes(&messages.0);
    Ok(out.0)
}

struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Out {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, number: u16) -> &mut Out {
        self.bytes(&number.to_le_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Out {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Out {
        self.bytes(&number.to_le_bytes())
    }

    fn fill_to(&mut self, end: u64) -> &mut Out {
        self.0.resize(end as usize, 0);
        self
    }
}
