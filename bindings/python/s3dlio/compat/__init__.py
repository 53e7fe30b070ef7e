"""The Python API of the predecessor (s3dlio 0.9 and 0.10), over this library.

Code written for it runs with `import s3dlio` unchanged: every name below is also one of the package's, found
when it is first used. What is different, and why, is in docs/migration.md. `s3dlio.compat.s3torchconnector` has
the classes of the Amazon S3 connector for PyTorch.

Importing this imports nothing else; NumPy, pyarrow and torch only where a call needs them.
"""

from importlib import import_module
from typing import Any, List

_MODULES = {
    "_calls": """
        create_bucket delete_bucket download exists_async get_async get_by_key get_into_async get_many get_many_async
        get_many_stats get_many_stats_async get_object get_range get_range_async head_async list list_containers
        list_full_uris list_keys mkdir mkdir_async object_capabilities parse_s3_uri_full put_bytes put_bytes_async
        put_many put_many_async stat_async stat_key stat_many_async stat_object upload
        BytesView ExportStillReferencedError LengthMismatchError ObjectMetadata ObjectNotFoundError
        UnsupportedOperationError""",
    "_writers": """
        MultipartUploadWriter PyObjectWriter PyWriterOptions create_azure_writer create_direct_filesystem_writer
        create_filesystem_writer create_s3_writer""",
    "_endpoints": """
        MultiEndpointStore create_multi_endpoint_store create_multi_endpoint_store_from_env
        create_multi_endpoint_store_from_file create_multi_endpoint_store_from_template""",
    "_loader": """
        PyAsyncDataLoader PyBytesAsyncDataLoader PyDataset PyLoaderOptions PyObjectItem PyS3AsyncDataLoader PyVecDataset
        create_async_loader create_dataset""",
    "_datasets": "ObjectStoreIterableDataset ObjectStoreMapDataset S3IterableDataset S3MapDataset",
    "_arrays": "JaxIterable S3JaxIterable make_tf_dataset",
    "_parquet": """
        PyParquetIndex PyParquetItem PyParquetStreamLoader generate_and_write_parquet generate_and_write_parquet_schema
        generate_and_write_parquet_schema_streaming generate_parquet_bytes generate_parquet_bytes_schema
        parquet_cache_clear parquet_cache_invalidate parquet_cache_len parquet_get_rg parquet_rg_row_offsets""",
    "_generate": """
        Generator create_tfrecord_index generate_data generate_data_with_threads generate_into_buffer
        generate_npz_bytes get_tfrecord_index_entries index_tfrecord_bytes put_async read_npz read_tfrecord_index""",
    "_checkpoints": """
        PyCheckpointStore finalize_distributed_checkpoint load_checkpoint load_checkpoint_with_validation
        save_checkpoint save_distributed_shard""",
    "_process": """
        configure_s3 configure_tokio_threads finalize_op_log init_logging init_op_log is_op_log_active op_log_stats
        py_default_data_gen_threads py_total_cpus""",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
