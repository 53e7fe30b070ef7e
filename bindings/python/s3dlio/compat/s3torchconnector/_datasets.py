"""Datasets of objects and readers and writers of checkpoints."""

import itertools
from functools import partial
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, Union

import torch
import torch.utils.data

from ...s3checkpoint import S3Checkpoint as _Checkpoint
from ._client import Place, S3Client, S3ClientConfig, parse_s3_uri
from ._files import S3Reader, S3ReaderConstructor, S3Writer, SequentialS3Reader

#: Objects that are known to be at most this large are fetched together, at most so many at once.
_SMALL, _TOGETHER = 4 << 20, 32


def identity(obj: S3Reader) -> S3Reader:
    return obj


def _of_uris(object_uris: Union[str, Iterable[str]], client: S3Client) -> Iterator[Place]:
    uris = [object_uris] if isinstance(object_uris, str) else object_uris
    return iter([Place(*parse_s3_uri(uri)) for uri in uris])


def _of_prefix(s3_uri: str, client: S3Client) -> Iterator[Place]:
    bucket, prefix = parse_s3_uri(s3_uri)
    return (
        Place(bucket, info.key, info) for page in client.list_objects(bucket, prefix) for info in page.object_info
    )


class _Objects:
    """What both datasets are made of."""

    def __init__(
        self,
        region: Optional[str],
        get_dataset_objects: Callable[[S3Client], Iterable[Place]],
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ):
        self._get_dataset_objects, self._transform = get_dataset_objects, transform
        self._region, self._endpoint, self._s3client_config = region, endpoint, s3client_config
        self._reader_constructor = reader_constructor or S3ReaderConstructor.default()
        self._client: Optional[S3Client] = None

    @property
    def region(self) -> Optional[str]:
        return self._region

    @property
    def endpoint(self) -> Optional[str]:
        return self._endpoint

    def _get_client(self) -> S3Client:
        if self._client is None:
            self._client = S3Client(self.region, endpoint=self.endpoint, s3client_config=self._s3client_config)
        return self._client

    def _read(self, places: Sequence[Place]) -> Iterator[Any]:
        """The transformed objects in their order; small ones have been fetched together."""
        client, data = self._get_client(), [None] * len(places)
        small: "dict[str, List[int]]" = {}
        if len(places) > 1 and getattr(self._reader_constructor, "func", None) is SequentialS3Reader:
            for index, place in enumerate(places):
                if place.object_info is not None and place.object_info.size <= _SMALL:
                    small.setdefault(place.bucket, []).append(index)
        for bucket, indices in small.items():
            results = client.store(bucket).get_many([places[index].key for index in indices], return_exceptions=True)
            for index, result in zip(indices, results):
                # One that failed is read by its own reader, which says why.
                data[index] = None if isinstance(result, Exception) else result
        for place, fetched in zip(places, data):
            yield self._transform(client.get_object(
                place.bucket, place.key, object_info=place.object_info, reader_constructor=self._reader_constructor,
                data=fetched,
            ))


class S3MapDataset(_Objects, torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A map-style dataset of objects; made by `from_prefix` or `from_objects`. `DataLoader` fetches a batch at once."""

    _places: Optional[List[Place]] = None

    @classmethod
    def from_objects(
        cls,
        object_uris: Union[str, Iterable[str]],
        *,
        region: Optional[str] = None,
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ) -> "S3MapDataset":
        """Of objects by their URIs."""
        return cls(
            region, partial(_of_uris, object_uris), endpoint, transform=transform, s3client_config=s3client_config,
            reader_constructor=reader_constructor,
        )

    @classmethod
    def from_prefix(
        cls,
        s3_uri: str,
        *,
        region: Optional[str] = None,
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ) -> "S3MapDataset":
        """Of the objects whose URIs begin with `s3_uri`; they are listed at the first use."""
        return cls(
            region, partial(_of_prefix, s3_uri), endpoint, transform=transform, s3client_config=s3client_config,
            reader_constructor=reader_constructor,
        )

    @property
    def _dataset_bucket_key_pairs(self) -> List[Place]:
        if self._places is None:
            self._places = list(self._get_dataset_objects(self._get_client()))
        return self._places

    def __getitem__(self, i: int) -> Any:
        return next(self._read([self._dataset_bucket_key_pairs[i]]))

    def __getitems__(self, indices: Sequence[int]) -> List[Any]:
        return list(self._read([self._dataset_bucket_key_pairs[i] for i in indices]))

    def __len__(self) -> int:
        return len(self._dataset_bucket_key_pairs)


class S3IterableDataset(_Objects, torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """An iterable dataset of objects; made by `from_prefix` or `from_objects`. With `enable_sharding` the objects are
    dealt to the ranks, and those of a rank to its workers."""

    def __init__(
        self,
        region: Optional[str],
        get_dataset_objects: Callable[[S3Client], Iterable[Place]],
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        enable_sharding: bool = False,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ):
        super().__init__(region, get_dataset_objects, endpoint, transform, s3client_config, reader_constructor)
        self._enable_sharding, self._rank, self._world_size = enable_sharding, 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self._rank, self._world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    @classmethod
    def from_objects(
        cls,
        object_uris: Union[str, Iterable[str]],
        *,
        region: Optional[str] = None,
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        enable_sharding: bool = False,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ) -> "S3IterableDataset":
        """Of objects by their URIs."""
        return cls(
            region, partial(_of_uris, object_uris), endpoint, transform=transform, s3client_config=s3client_config,
            enable_sharding=enable_sharding, reader_constructor=reader_constructor,
        )

    @classmethod
    def from_prefix(
        cls,
        s3_uri: str,
        *,
        region: Optional[str] = None,
        endpoint: Optional[str] = None,
        transform: Callable[[S3Reader], Any] = identity,
        s3client_config: Optional[S3ClientConfig] = None,
        enable_sharding: bool = False,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
    ) -> "S3IterableDataset":
        """Of the objects whose URIs begin with `s3_uri`; they are listed while they are drawn."""
        return cls(
            region, partial(_of_prefix, s3_uri), endpoint, transform=transform, s3client_config=s3client_config,
            enable_sharding=enable_sharding, reader_constructor=reader_constructor,
        )

    def __iter__(self) -> Iterator[Any]:
        places = iter(self._get_dataset_objects(self._get_client()))
        if self._enable_sharding:
            places = itertools.islice(places, self._rank, None, self._world_size)
            worker = torch.utils.data.get_worker_info()
            if worker is not None:
                places = itertools.islice(places, worker.id, None, worker.num_workers)
        while some := list(itertools.islice(places, _TOGETHER)):
            yield from self._read(some)


class S3Checkpoint(_Checkpoint):
    """Readers and writers of checkpoints by URI, for `torch.load` and `torch.save`."""

    def __init__(
        self, region: Optional[str] = None, endpoint: Optional[str] = None,
        s3client_config: Optional[S3ClientConfig] = None,
    ):
        super().__init__(region or None, endpoint or None, (s3client_config or S3ClientConfig()).options())
        self._client = S3Client(region, endpoint=endpoint, s3client_config=s3client_config)

    def reader(self, s3_uri: str) -> S3Reader:  # type: ignore[override]
        """A seekable file over the object."""
        return self._client.get_object(*parse_s3_uri(s3_uri))

    def writer(self, s3_uri: str) -> S3Writer:  # type: ignore[override]
        """A file that streams into the object."""
        return self._client.put_object(*parse_s3_uri(s3_uri))
