//! For tests/fuzz only: what is read from manifests and safetensors headers that nobody wrote.

use super::load::plan_sizes;
use super::manifest::Manifest;
use super::safetensors;
use super::tensor::bytes_of;
use crate::base::checksum::Crc32c;

/// A manifest with a right checksum, so that what comes after the checksum is reached.
pub fn manifest(data: &[u8]) {
    let _ = Manifest::from_bytes(data);
    let mut sealed = data.to_vec();
    sealed.extend_from_slice(format!(",\"crc32c\":\"{:08x}\"}}\n", Crc32c::of(data).value()).as_bytes());
    let Ok(manifest) = Manifest::from_bytes(&sealed) else { return };
    let again = manifest.to_bytes().and_then(|bytes| Manifest::from_bytes(&bytes));
    assert_eq!(again.ok().as_ref(), Some(&manifest), "it does not come back");
    for (at, entry) in manifest.entries.iter().enumerate() {
        let Some(bytes) = bytes_of(entry.dtype, &entry.shape).filter(|bytes| *bytes <= 1 << 16) else {
            continue;
        };
        // What a load would read lies within the shards, and fills the memory.
        let Some(reads) = plan_sizes(&manifest, at) else { continue };
        let mut filled = 0;
        for (shard, begin, end, pieces) in reads {
            let shard = &manifest.shards[shard];
            assert!(begin >= shard.data_start && begin < end && end <= shard.size);
            filled += pieces;
        }
        assert_eq!(filled, bytes, "entry {:?}", entry.name);
    }
}

/// The header of a file whose data would have so many bytes as the first two say.
pub fn safetensors(data: &[u8]) {
    let Some((first, data)) = data.split_first_chunk::<2>() else { return };
    let size = data.len() as u64 + u64::from(u16::from_le_bytes(*first));
    if let Ok((members, metadata)) = safetensors::parse(data, size) {
        let all: u64 = members.iter().map(|member| member.end - member.begin).sum();
        assert!(all <= size, "more data than there is");
        let Ok(head) = safetensors::header(&members, &metadata) else { return };
        let again = safetensors::parse(&head, head.len() as u64 + all);
        assert_eq!(again.ok(), Some((members, metadata)), "it does not come back");
    }
    // The JSON by itself, with the length that it has.
    let mut whole = (data.len() as u64).to_le_bytes().to_vec();
    whole.extend_from_slice(data);
    if let Ok((members, metadata)) = safetensors::parse(&whole, whole.len() as u64) {
        let nothing = |member: &safetensors::Member| member.begin == 0 && member.end == 0;
        assert!(members.iter().all(nothing), "tensors without data: {members:?} {metadata:?}");
    }
}
