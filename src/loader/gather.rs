//! One field of every sample, without gaps.

use super::batch::Batch;
use crate::error::{Code, Error, Result};

impl Batch {
    /// Copies field number `field` of all samples to `dst`, one after the other, and gives where each begins and,
    /// last, where they end. `BufferTooSmall` (detail `required`) leaves `dst` as it was.
    pub fn gather(&self, field: usize, dst: &mut [u8]) -> Result<Vec<u64>> {
        let mut parts = Vec::with_capacity(self.samples.len());
        for (number, sample) in self.samples.iter().enumerate() {
            let part = sample.fields.get(field).ok_or_else(|| {
                let text =
                    format!("field is {field}; sample {number} of the batch has {}", sample.fields.len());
                Error::new(Code::InvalidArgument, text).with_context("gather", &sample.uri)
            })?;
            parts.push(&part.data);
        }
        let required: usize = parts.iter().map(|part| part.len()).sum();
        let room = dst.len();
        let Some(mut left) = dst.get_mut(..required) else {
            let text = format!("the destination has room for {room} bytes; the batch has {required}");
            let error = Error::new(Code::BufferTooSmall, text).with_operation("gather");
            return Err(error.with_detail("required", required));
        };
        let mut offsets = Vec::with_capacity(parts.len() + 1);
        let mut end = 0;
        for part in parts {
            let (to, rest) = left.split_at_mut(part.len());
            to.copy_from_slice(part);
            left = rest;
            offsets.push(end);
            end += part.len() as u64;
        }
        offsets.push(end);
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Field, Sample};
    use super::*;

    fn batch(samples: &[&[&'static str]]) -> Batch {
        let field = |text: &&'static str| Field {
            name: String::new(),
            data: bytes::Bytes::from_static(text.as_bytes()),
        };
        let sample = |fields: &&[&'static str]| Sample {
            fields: fields.iter().map(field).collect(),
            ..Sample::default()
        };
        Batch { samples: samples.iter().map(sample).collect() }
    }

    #[test]
    fn fields_come_together_in_order() {
        let batch = batch(&[&["abc", "1"], &["", "22"], &["de", "333"]]);
        let mut room = *b"........";
        assert_eq!(batch.gather(0, &mut room).unwrap(), [0, 3, 3, 5]);
        assert_eq!(&room, b"abcde...");
        assert_eq!(batch.gather(1, &mut room[..6]).unwrap(), [0, 1, 3, 6]);
        assert_eq!(&room, b"122333..");
        assert_eq!(Batch::default().gather(5, &mut []).unwrap(), [0]);
    }

    #[test]
    fn what_does_not_fit_or_is_not_there_is_refused() {
        let batch = batch(&[&["abc", "1"], &["de"]]);
        let mut room = *b"....";
        let error = batch.gather(0, &mut room).unwrap_err();
        assert_eq!(error.code(), Code::BufferTooSmall);
        assert!(error.details().iter().any(|(key, value)| *key == "required" && value == "5"), "{error}");
        assert_eq!(batch.gather(1, &mut room).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(&room, b"....");
    }
}
