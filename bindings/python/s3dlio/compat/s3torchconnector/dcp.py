"""`torch.distributed.checkpoint` in the files of torch's own writer, as the connector stores them.

Checkpoints of either are read by both. `s3dlio.torch.S3dlioStorageWriter` is the one to take for new ones: it
commits at once, checks every byte, and resumes with other world sizes from plain safetensors files.
"""

import contextlib
import dataclasses
import io
import os
from abc import ABC, abstractmethod
from typing import Any, Generator, List, Optional, Union

import torch.distributed as dist
from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.planner import LoadPlan, SavePlan

from ._client import S3Client, S3ClientConfig, parse_s3_uri
from ._files import DCPOptimizedConstructor, S3ReaderConstructor

__all__ = [
    "BinaryPrefixStrategy", "DefaultPrefixStrategy", "HexPrefixStrategy", "NumericPrefixStrategy",
    "RoundRobinPrefixStrategy", "S3FileSystem", "S3PrefixStrategyBase", "S3StorageReader", "S3StorageWriter",
]

Path = Union[str, "os.PathLike[str]"]


class S3FileSystem(FileSystemBase):
    """The operations that torch's reader and writer need."""

    def __init__(
        self, region: Optional[str] = None, s3_client: Optional[S3Client] = None,
        s3client_config: Optional[S3ClientConfig] = None, reader_constructor: Any = None,
    ):
        self._client = s3_client or S3Client(region, s3client_config=s3client_config)
        self._reader_constructor = reader_constructor or S3ReaderConstructor.default()

    @contextlib.contextmanager
    def create_stream(self, path: Path, mode: str) -> Generator[io.IOBase, None, None]:
        where = parse_s3_uri(os.fspath(path))
        if mode == "wb":
            with self._client.put_object(*where) as writer:
                yield writer
        elif mode == "rb":
            with self._client.get_object(*where, reader_constructor=self._reader_constructor) as reader:
                yield reader
        else:
            raise ValueError(f"mode is {mode!r}; expected rb or wb")

    def concat_path(self, path: Path, suffix: str) -> str:
        return f"{os.fspath(path).rstrip('/')}/{suffix}"

    def init_path(self, path: Path) -> Path:
        return path

    def rename(self, path: Path, new_path: Path) -> None:
        (bucket, key), (target, name) = parse_s3_uri(os.fspath(path)), parse_s3_uri(os.fspath(new_path))
        if bucket == target:
            self._client.store(bucket).rename(key, name)
            return
        self._client.copy_object(bucket, key, target, name)
        self._client.delete_object(bucket, key)

    def mkdir(self, path: Path) -> None:
        """Nothing: folders are there as soon as they hold something."""

    def exists(self, path: Path) -> bool:
        return self._client.exists(*parse_s3_uri(os.fspath(path)))

    def rm_file(self, path: Path) -> None:
        self._client.delete_object(*parse_s3_uri(os.fspath(path)))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        try:
            return bool(parse_s3_uri(os.fspath(checkpoint_id)))
        except ValueError:
            return False


class S3PrefixStrategyBase(ABC):
    """What stands before the files of a rank."""

    def __call__(self, rank: int) -> str:
        return self.generate_prefix(rank)

    @abstractmethod
    def generate_prefix(self, rank: int) -> str: ...


def _of_rank(prefix: str, epoch: Optional[int], rank: int) -> str:
    return f"{prefix}/" + (f"epoch_{epoch}/" if epoch is not None else "") + f"__{rank}_"


class DefaultPrefixStrategy(S3PrefixStrategyBase):
    """No prefix."""

    def generate_prefix(self, rank: int) -> str:
        return f"__{rank}_"


class RoundRobinPrefixStrategy(S3PrefixStrategyBase):
    """The given prefixes in turn."""

    def __init__(self, user_prefixes: List[str], epoch_num: Optional[int] = None):
        if not user_prefixes:
            raise ValueError("user_prefixes must not be empty")
        self.user_prefixes, self.epoch_num = user_prefixes, epoch_num

    def generate_prefix(self, rank: int) -> str:
        return _of_rank(self.user_prefixes[rank % len(self.user_prefixes)], self.epoch_num, rank)


class NumericPrefixStrategy(S3PrefixStrategyBase):
    """Numbers, least digit first, so that the ranks' files lie far from each other."""

    def __init__(
        self, base: int, epoch_num: Optional[int] = None, min_prefix_length: int = 10, prefix_count: Optional[int] = None
    ):
        if min_prefix_length < 1:
            raise ValueError(f"min_prefix_length is {min_prefix_length}; expected 1 or more")
        if epoch_num is not None and not isinstance(epoch_num, int):
            raise ValueError(f"epoch_num is {epoch_num!r}; expected a whole number or None")
        if prefix_count is not None and (not isinstance(prefix_count, int) or prefix_count < 1):
            raise ValueError(f"prefix_count is {prefix_count!r}; expected 1 or more")
        world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.base, self.epoch_num, self.prefix_count = base, epoch_num, prefix_count or world
        self.min_prefix_len = min_prefix_length
        self.prefix_map = [self._digits(number) for number in range(self.prefix_count)]

    def _digits(self, number: int) -> str:
        digits = ""
        while number or not digits:
            number, digit = divmod(number, self.base)
            digits += format(digit, "x")
        longest = 1
        while self.base**longest < self.prefix_count:
            longest += 1
        return digits.ljust(max(longest, self.min_prefix_len), "0")

    def generate_prefix(self, rank: int) -> str:
        return _of_rank(self.prefix_map[rank % self.prefix_count], self.epoch_num, rank)


class BinaryPrefixStrategy(NumericPrefixStrategy):
    """Of zeros and ones."""

    def __init__(self, epoch_num: Optional[int] = None, min_prefix_length: int = 10, prefix_count: Optional[int] = None):
        super().__init__(2, epoch_num, min_prefix_length, prefix_count)


class HexPrefixStrategy(NumericPrefixStrategy):
    """Of hexadecimal digits."""

    def __init__(self, epoch_num: Optional[int] = None, min_prefix_length: int = 10, prefix_count: Optional[int] = None):
        super().__init__(16, epoch_num, min_prefix_length, prefix_count)


@dataclasses.dataclass
class StorageMetadata:
    """What torch's writer puts before the names of a rank's files."""

    prefix: str


class S3StorageWriter(FileSystemWriter):
    """Writes shards as torch's `FileSystemWriter` does; `.metadata` comes last."""

    def __init__(
        self,
        region: Optional[str],
        path: str,
        s3client_config: Optional[S3ClientConfig] = None,
        prefix_strategy: Optional[S3PrefixStrategyBase] = None,
        thread_count: int = 1,
        **kwargs: Any,
    ):
        super().__init__(path=path, sync_files=False, thread_count=thread_count, **kwargs)
        self.fs = S3FileSystem(region, s3client_config=s3client_config)  # type: ignore[assignment]
        self.path = self.fs.init_path(path)
        self.prefix_strategy = prefix_strategy or DefaultPrefixStrategy()

    def prepare_global_plan(self, plans: List[SavePlan]) -> List[SavePlan]:
        return [
            dataclasses.replace(plan, storage_data=StorageMetadata(self.prefix_strategy(rank)))
            for rank, plan in enumerate(plans)
        ]

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        return S3FileSystem.validate_checkpoint_id(checkpoint_id)


class S3StorageReader(FileSystemReader):
    """Reads what it, the connector or torch's `FileSystemWriter` wrote."""

    def __init__(
        self,
        region: Optional[str],
        path: Path,
        s3client_config: Optional[S3ClientConfig] = None,
        reader_constructor: Any = None,
    ):
        super().__init__(path)
        self._reader_constructor = reader_constructor or S3ReaderConstructor.dcp_optimized()
        self.fs = S3FileSystem(  # type: ignore[assignment]
            region, s3client_config=s3client_config, reader_constructor=self._reader_constructor
        )
        self.path = self.fs.init_path(path)
        self.sync_files = False

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        plan.items.sort(key=lambda item: self.storage_data[item.storage_index].offset)
        if isinstance(self._reader_constructor, DCPOptimizedConstructor):
            self._reader_constructor.set_item_ranges_by_file(plan.items, self.storage_data, self.path)
        return plan

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        return S3FileSystem.validate_checkpoint_id(checkpoint_id)
