"""A model's folder into a bucket, its manifest last: who reads it finds all of the model or none of it."""

from collections.abc import Callable
from pathlib import Path

from embedd.bucket import BucketLimits, open_bucket
from embedd.errors import ModelLoadError
from embedd.manifest import MANIFEST, MOST_BYTES, Entry, is_wanted, read_manifest, sha256_of, write_manifest
from embedd.sources import refuse_pickles


def push(
    folder: Path,
    uri: str,
    *,
    endpoint: str | None,
    allow_pickle: bool = False,
    sent: Callable[[int], None] = lambda _: None,
) -> list[Entry]:
    """The files that were written, or were there with the same sum. ``sent`` is told the bytes that went.

    Raises:
        ModelLoadError: there is no model, or the bucket does not take it.
        OSError: the folder cannot be read.
    """
    entries = files_of(folder, allow_pickle=allow_pickle)
    bucket = open_bucket(uri, endpoint, BucketLimits())
    content = bucket.read(MANIFEST, MOST_BYTES)
    there = {} if content is None else {each.path: each for each in read_manifest(content, bucket.uri)}
    for entry in entries:
        if there.get(entry.path) == entry:
            sent(entry.size)
        else:
            bucket.upload(entry.path, folder / entry.path, sent)
    bucket.write(MANIFEST, write_manifest(entries))
    return entries


def files_of(folder: Path, *, allow_pickle: bool = False) -> list[Entry]:
    """What belongs to the model in ``folder``, with its sums.

    Raises:
        ModelLoadError: there is none, or its weights are pickles and that is not allowed.
    """
    if not allow_pickle:
        refuse_pickles(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    wanted = [name for name in names if is_wanted(name, allow_pickle=allow_pickle)]
    if not any(name.endswith(".safetensors") or allow_pickle for name in wanted):
        raise ModelLoadError(f"{folder} holds no weights (*.safetensors)")
    return [Entry(name, (folder / name).stat().st_size, sha256_of(folder / name)) for name in wanted]
