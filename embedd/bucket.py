"""One prefix of a bucket of any S3: what is there, pieces of it, and writing to it.

The only place that knows boto3, which comes with the extra ``s3`` and is imported when a bucket is named.
Credentials come from boto3's own chain (environment, files, the machine's role) and are seen nowhere here.
Everything blocks: call it from threads.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from embedd.errors import ModelLoadError
from embedd.manifest import Entry

_CHUNK_BYTES: Final = 1 << 20
_MISSING: Final = ("404", "NoSuchKey", "NotFound")


@dataclass(frozen=True, slots=True)
class BucketLimits:
    """How long the other side may say nothing, how often a request is tried, how many run at once."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    attempts: int = 4
    parallel: int = 4


class Changed(ModelLoadError):
    """A file is not the one that was listed any more."""


class Bucket:
    """What lies under ``uri``, ``s3://bucket/prefix``; made by ``open_bucket``."""

    def __init__(self, uri: str, client: Any) -> None:
        parts = urlsplit(uri)
        self.uri = uri.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._client = client

    def entries(self) -> list[Entry]:
        """All files, with the names and the sizes that the bucket tells.

        Raises:
            ModelLoadError: there is no such bucket, or it cannot be read.
        """
        found = []
        prefix = self._key("")
        with _in_words(self.uri):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for one in page.get("Contents", ()):
                    path = one["Key"].removeprefix(prefix)
                    if path and not path.endswith("/"):
                        found.append(Entry(path, one["Size"], etag=one["ETag"].strip('"')))
        return found

    def read(self, path: str, most_bytes: int) -> bytes | None:
        """A small file; None if it is not there.

        Raises:
            ModelLoadError: it is larger than that, or cannot be read.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see the module

        with _in_words(f"{self.uri}/{path}"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
            if answer["ContentLength"] > most_bytes:
                raise ModelLoadError(f"{self.uri}/{path} has {answer['ContentLength']} bytes")
            content: bytes = answer["Body"].read()
            return content

    def pieces(self, entry: Entry, first: int, last: int) -> Iterator[bytes]:
        """The bytes ``first`` up to and without ``last`` of ``entry``, as they come; perhaps fewer, if the
        other side breaks off without a word.

        Raises:
            Changed: it is another file by now.
            ModelLoadError: it cannot be read, or its end did not come.
        """
        where = f"{self.uri}/{entry.path}"
        condition = {"IfMatch": f'"{entry.etag}"'} if entry.etag else {}
        with _in_words(where):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._key(entry.path), Range=f"bytes={first}-{last - 1}", **condition
            )
            if not _is_asked_for(answer, first, last):
                answer["Body"].close()
                raise ModelLoadError(f"{where} is not sent in parts: what serves the bucket ignores ranges")
            yield from answer["Body"].iter_chunks(_CHUNK_BYTES)

    def upload(self, path: str, file: Path, sent: Callable[[int], None]) -> None:
        """Write a file, in parts where it is large; ``sent`` is told the bytes of each.

        Raises:
            ModelLoadError: it was not written.
        """
        with _in_words(f"{self.uri}/{path}"):
            self._client.upload_file(str(file), self._bucket, self._key(path), Callback=sent)

    def write(self, path: str, content: bytes) -> None:
        """Write a small file.

        Raises:
            ModelLoadError: it was not written.
        """
        with _in_words(f"{self.uri}/{path}"):
            self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=content)

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


def open_bucket(uri: str, endpoint: str | None, limits: BucketLimits) -> Bucket:
    """Raises ``ModelLoadError`` without boto3; asks nobody yet."""
    try:
        import boto3  # noqa: PLC0415 - an extra, for who names a bucket
        from botocore.config import Config  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModelLoadError(f"{uri} needs boto3: install embedd with its extra, 'embedd[s3]'") from error
    config = Config(
        connect_timeout=limits.connect_s,
        read_timeout=limits.silence_s,
        retries={"total_max_attempts": limits.attempts, "mode": "standard"},
        max_pool_connections=limits.parallel + 1,
    )
    with _in_words(uri):
        return Bucket(uri, boto3.session.Session().client("s3", endpoint_url=endpoint, config=config))


def _is_asked_for(answer: Mapping[str, Any], first: int, last: int) -> bool:
    """Whether these are the bytes that were asked for, and not the file from its beginning."""
    told = str(answer.get("ContentRange", ""))
    is_all = not told and first == 0 and answer["ContentLength"] == last
    return is_all or told.startswith(f"bytes {first}-{last - 1}/")


@contextmanager
def _in_words(where: str) -> Iterator[None]:
    """Whatever boto3 and its transport raise, as one error that says where."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            raise Changed(f"{where} was changed while it was fetched") from error
        raise ModelLoadError(f"{where} cannot be read or written: {error}") from error
    except (BotoCoreError, HTTPClientError, HTTPError) as error:
        raise ModelLoadError(f"{where} cannot be read or written: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith(("boto3", "s3transfer")):
            raise ModelLoadError(f"{where} cannot be written: {error}") from error
        raise
