//! The targets as C functions, for the fuzzer's main program.

macro_rules! targets {
    ($($name:ident => $target:ident;)+) => {$(
        /// # Safety
        /// `data` has `length` bytes.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(data: *const u8, length: usize) {
            let data = match length {
                0 => &[],
                // SAFETY: not empty, so the caller's promise holds.
                _ => unsafe { std::slice::from_raw_parts(data, length) },
            };
            super::$target(data);
        }
    )+};
}

targets! {
    s3dlio_fuzz_head => head;
    s3dlio_fuzz_chunked => chunked;
    s3dlio_fuzz_range => range;
    s3dlio_fuzz_xml => xml;
    s3dlio_fuzz_uri => uri;
    s3dlio_fuzz_options => options;
    s3dlio_fuzz_manifest => manifest;
    s3dlio_fuzz_safetensors => safetensors;
    s3dlio_fuzz_tfrecord => tfrecord;
    s3dlio_fuzz_tar => tar;
    s3dlio_fuzz_npy => npy;
    s3dlio_fuzz_npz => npz;
    s3dlio_fuzz_hdf5 => hdf5;
    s3dlio_fuzz_loader_state => loader_state;
    s3dlio_fuzz_loader_manifest => loader_manifest;
    s3dlio_fuzz_oplog => oplog;
    s3dlio_fuzz_pattern => pattern;
    s3dlio_fuzz_planted => planted;
}
