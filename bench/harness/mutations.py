"""Files spoiled the way disks, networks and attackers spoil them, from a seed.

In archives the parts are spoiled too, before they are packed again: what lies in them would otherwise only be
reached by damage that the check sums find first.
"""

import io
import zipfile
from collections.abc import Callable
from random import Random
from typing import TypeAlias

Mutation: TypeAlias = Callable[[bytes, Random], bytes]

MOST_FLIPS = 64
LONGEST_STRETCH = 4_096


def flip(data: bytes, random: Random) -> bytes:
    """Some bytes are others."""
    spoiled = bytearray(data)
    for _ in range(random.randint(1, MOST_FLIPS)):
        spoiled[random.randrange(len(spoiled))] = random.randrange(256)
    return bytes(spoiled)


def cut(data: bytes, random: Random) -> bytes:
    """The end is missing."""
    return data[: random.randrange(len(data))]


def blank(data: bytes, random: Random) -> bytes:
    """A stretch is zeros, as after a crash of the disk."""
    start, length = _stretch(data, random)
    return data[:start] + bytes(length) + data[start + length :]


def repeat(data: bytes, random: Random) -> bytes:
    """A stretch comes several times."""
    start, length = _stretch(data, random)
    end = start + length
    return data[:end] + data[start:end] * random.randint(1, 8) + data[end:]


def drop(data: bytes, random: Random) -> bytes:
    """A stretch is missing."""
    start, length = _stretch(data, random)
    return data[:start] + data[start + length :]


def _stretch(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, random.randint(1, min(LONGEST_STRETCH, len(data) - start))


PLAIN: tuple[Mutation, ...] = (flip, cut, blank, repeat, drop)


def spoil_member(data: bytes, random: Random) -> bytes:
    """An archive in which one part is spoiled or missing; what is no archive is spoiled as a whole."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return random.choice(PLAIN)(data, random)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    filled = [name for name, content in members.items() if content]
    name = random.choice(filled)
    if random.random() < 1 / len(PLAIN):
        del members[name]
    else:
        members[name] = random.choice(PLAIN)(members[name], random)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return packed.getvalue()


MUTATIONS: tuple[Mutation, ...] = (*PLAIN, spoil_member, spoil_member)
"""Of what they give, a third has its damage inside of an archive's parts, where the file is an archive."""


def mutate(data: bytes, random: Random) -> bytes:
    """A spoiled copy of ``data``, which is not empty."""
    return random.choice(MUTATIONS)(data, random)
