"""One set of objects behind several endpoints: every request goes to one of them."""

import asyncio
import contextlib
import itertools
import os
import re
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..buffer import Buffer
from ..errors import InvalidArgumentError, InvalidUriError, S3dlioError
from ..store import Store
from ._calls import _payload
from ._stores import place

_MAX = 32
_RANGE = re.compile(r"\{(\d+)\.\.\.?(\d+)\}")


class _Endpoint:
    """Where it is: `http://host:port`, `s3://host:port/bucket/prefix`, or the URI of any store's folder."""

    def __init__(self, uri: str):
        self.uri, self._options = uri, {}  # type: ignore[var-annotated]
        self.requests = self.read = self.written = self.errors = self.active = 0
        scheme, mark, rest = uri.partition("://")
        first, _, path = rest.partition("/")
        if scheme in ("http", "https"):
            self._options, self.folder = {"s3_endpoint": f"{scheme}://{first}"}, "s3://"
        elif scheme == "s3" and ":" in first:
            secure = os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", "")).startswith("https:")
            self._options = {"s3_endpoint": f"http{'s' if secure else ''}://{first}"}
            self.folder = f"s3://{path.rstrip('/')}/" if path else "s3://"
        elif mark:
            self.folder = f"{uri.rstrip('/')}/"
        else:
            raise InvalidUriError(f"{uri!r} is no endpoint; expected http://host:port, s3://host:port/bucket or a store's URI")
        if self.folder != "s3://":
            place(self.folder, **self._options)  # says now what is wrong with it

    def names(self, uri: str) -> Optional[str]:
        """What follows the endpoint's folder, where the URI is below it."""
        for folder in (self.folder, f"{self.uri.rstrip('/')}/"):
            if uri.startswith(folder):
                return uri[len(folder):]
        return None

    def place(self, name: str) -> Tuple[Store, str, str]:
        return place(self.folder + name, **self._options)

    def facts(self) -> Dict[str, Any]:
        return dict(
            uri=self.uri, total_requests=self.requests, bytes_read=self.read, bytes_written=self.written,
            error_count=self.errors, active_requests=self.active,
        )

    @contextlib.contextmanager
    def request(self) -> Iterator["_Endpoint"]:
        self.requests += 1
        self.active += 1
        try:
            yield self
        except S3dlioError:
            self.errors += 1
            raise
        finally:
            self.active -= 1


class MultiEndpointStore:
    """The same objects behind several endpoints; made by `create_multi_endpoint_store`. Its requests are awaited.

    An object may be named by its URI at any of the endpoints, or as `s3://bucket/key`.
    """

    def __init__(self, uris: Sequence[str], strategy: Optional[str] = None):
        chosen = (strategy or "round_robin").lower().replace("-", "_")
        if chosen not in ("round_robin", "roundrobin", "least_connections", "leastconnections"):
            raise InvalidArgumentError(f'strategy {strategy!r} is unknown; expected "round_robin" or "least_connections"')
        if not 1 <= len(uris) <= _MAX:
            raise InvalidArgumentError(f"{len(uris)} endpoints were given; expected 1 to {_MAX}")
        self._least = chosen.startswith("least")
        self._endpoints = [_Endpoint(uri) for uri in uris]
        self._turn = itertools.count()

    def _next(self) -> _Endpoint:
        turn = next(self._turn)
        if self._least:
            return min(self._endpoints, key=lambda endpoint: endpoint.active)
        return self._endpoints[turn % len(self._endpoints)]

    def _at(self, index: int) -> _Endpoint:
        if not 0 <= index < len(self._endpoints):
            raise InvalidArgumentError(f"endpoint {index} is unknown; expected 0 to {len(self._endpoints) - 1}")
        return self._endpoints[index]

    def _name(self, uri: str) -> str:
        if "://" not in uri:
            return uri
        for endpoint in self._endpoints:
            name = endpoint.names(uri)
            if name is not None:
                return name
        raise InvalidUriError(f"{uri!r} is below none of the endpoints: {', '.join(one.uri for one in self._endpoints)}")

    # ---- requests

    async def get(self, uri: str) -> Buffer:
        return await self._get(self._next(), uri)

    async def get_from_endpoint(self, index: int, uri: str) -> Buffer:
        return await self._get(self._at(index), uri)

    async def _get(self, endpoint: _Endpoint, uri: str) -> Buffer:
        store, key, _ = endpoint.place(self._name(uri))
        with endpoint.request():
            data = await store.aget(key)
        endpoint.read += len(data)  # type: ignore[arg-type]
        return data

    async def get_range(self, uri: str, offset: int, length: Optional[int] = None) -> Buffer:
        endpoint = self._next()
        store, key, _ = endpoint.place(self._name(uri))
        with endpoint.request():
            data = await store.aget_range(key, offset, length)
        endpoint.read += len(data)  # type: ignore[arg-type]
        return data

    async def put(self, uri: str, data: Any, *, borrow: bool = True) -> None:
        await self._put(self._next(), uri, _payload(data) if borrow else bytes(_payload(data)))

    async def put_to_endpoint(self, index: int, uri: str, data: Any, *, borrow: bool = True) -> None:
        await self._put(self._at(index), uri, _payload(data) if borrow else bytes(_payload(data)))

    async def put_all_endpoints(self, uri: str, data: Any, *, borrow: bool = True) -> None:
        """To every endpoint; the first failure is raised when all have ended."""
        given = _payload(data) if borrow else bytes(_payload(data))
        await self._all(lambda endpoint: self._put(endpoint, uri, given))

    async def _put(self, endpoint: _Endpoint, uri: str, data: Any) -> None:
        store, key, _ = endpoint.place(self._name(uri))
        with endpoint.request():
            stats = await store.aput(key, data)
        endpoint.written += stats.bytes

    async def delete(self, uri: str) -> None:
        await self._delete(self._next(), uri)

    async def delete_from_endpoint(self, index: int, uri: str) -> None:
        await self._delete(self._at(index), uri)

    async def _delete(self, endpoint: _Endpoint, uri: str) -> None:
        store, key, _ = endpoint.place(self._name(uri))
        with endpoint.request():
            await store.adelete(key)

    async def list(self, prefix: str, recursive: bool = True) -> List[str]:
        """URIs at the endpoint that was asked."""
        return await self._list(self._next(), prefix, recursive)

    async def list_all_endpoints(self, prefix: str, recursive: bool = True) -> List[str]:
        """What any of the endpoints has, each name once."""
        found: Dict[str, str] = {}
        for uris in await self._all(lambda endpoint: self._list(endpoint, prefix, recursive)):
            for uri in uris:
                found.setdefault(self._name(uri), uri)
        return [found[name] for name in sorted(found)]

    async def _list(self, endpoint: _Endpoint, prefix: str, recursive: bool) -> List[str]:
        store, key, before = endpoint.place(self._name(prefix))
        with endpoint.request():
            return [before + entry.key async for entry in store.alist(key, recursive)]

    async def _all(self, work: Callable[[_Endpoint], Awaitable[Any]]) -> "List[Any]":
        results = await asyncio.gather(*map(work, self._endpoints), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    # ---- facts

    def endpoint_count(self) -> int:
        return len(self._endpoints)

    def strategy(self) -> str:
        return "least_connections" if self._least else "round_robin"

    def get_endpoint_stats(self) -> "List[Dict[str, Any]]":
        """A dict per endpoint: uri, total_requests, bytes_read, bytes_written, error_count, active_requests."""
        return [endpoint.facts() for endpoint in self._endpoints]

    def get_total_stats(self) -> Dict[str, Any]:
        """Their sums."""
        facts = self.get_endpoint_stats()
        return {name: sum(one[name] for one in facts) for name in facts[0] if name != "uri"}

    def get_stats(self) -> Dict[str, Any]:
        """Their sums, and under "endpoints" those of each."""
        return {**self.get_total_stats(), "endpoints": self.get_endpoint_stats()}


def create_multi_endpoint_store(uris: Sequence[str], strategy: Optional[str] = None) -> MultiEndpointStore:
    """`strategy` is "round_robin" or "least_connections"."""
    return MultiEndpointStore(uris, strategy)


def create_multi_endpoint_store_from_template(uri_template: str, strategy: Optional[str] = None) -> MultiEndpointStore:
    """`http://host{1...4}:9000`: one endpoint per number."""
    return MultiEndpointStore(_expand(uri_template), strategy)


def create_multi_endpoint_store_from_file(file_path: str, strategy: Optional[str] = None) -> MultiEndpointStore:
    """One endpoint per line; empty lines and those that start with # count for nothing."""
    with open(file_path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return MultiEndpointStore([uri for line in lines if line and line[0] != "#" for uri in _expand(line)], strategy)


def create_multi_endpoint_store_from_env(strategy: Optional[str] = None) -> MultiEndpointStore:
    """From S3_ENDPOINT_URIS (with commas between), S3_ENDPOINT_TEMPLATE or S3_ENDPOINT_FILE; S3_LOAD_BALANCE_STRATEGY."""
    strategy = strategy or os.environ.get("S3_LOAD_BALANCE_STRATEGY")
    if os.environ.get("S3_ENDPOINT_URIS"):
        return MultiEndpointStore([uri.strip() for uri in os.environ["S3_ENDPOINT_URIS"].split(",") if uri.strip()], strategy)
    if os.environ.get("S3_ENDPOINT_TEMPLATE"):
        return create_multi_endpoint_store_from_template(os.environ["S3_ENDPOINT_TEMPLATE"], strategy)
    if os.environ.get("S3_ENDPOINT_FILE"):
        return create_multi_endpoint_store_from_file(os.environ["S3_ENDPOINT_FILE"], strategy)
    raise InvalidArgumentError("no endpoints: set S3_ENDPOINT_URIS, S3_ENDPOINT_TEMPLATE or S3_ENDPOINT_FILE")


def _expand(template: str) -> "List[str]":
    found = _RANGE.search(template)
    if found is None:
        return [template]
    numbers = range(int(found[1]), int(found[2]) + 1)
    if len(numbers) > _MAX:
        raise InvalidArgumentError(f"{template} stands for {len(numbers)} endpoints; expected 1 to {_MAX}")
    return [uri for number in numbers for uri in _expand(template[: found.start()] + str(number) + template[found.end():])]
