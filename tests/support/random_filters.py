"""Metadata and filters by the throw of dice, made to meet each other often."""

import random
from typing import Any

_VALUES = ["a", "ab", "b", "", "true", "1", 0, 1, 2, 1.0, 1.5, -1, 2**64, True, False, None]
_KEYS = ["a", "b", "a.b", "a.a", "b.a.b"]
_TAKE_ONE = ["$eq", "$ne", "$contains", "$not_contains"]


def random_metadata(dice: random.Random) -> dict[str, Any]:
    """Mixed types under the same few keys, with dots in some, nested and not."""
    return {key: _stored(dice, 2) for key in dice.sample(_KEYS, dice.randint(0, 4))}


def _stored(dice: random.Random, depth: int) -> Any:
    match dice.randint(0, 5 if depth else 3):
        case 4:
            return [_stored(dice, depth - 1) for _ in range(dice.randint(0, 3))]
        case 5:
            return {key: _stored(dice, depth - 1) for key in dice.sample("ab", dice.randint(0, 2))}
        case _:
            return dice.choice(_VALUES)


def random_filter(dice: random.Random, depth: int = 3) -> dict[str, Any]:
    """A filter of all operators about the keys and values of ``random_metadata``, and the ids d0 to d6."""
    match dice.randint(0, 5 if depth else 2):
        case 3 | 4:
            parts = [random_filter(dice, depth - 1) for _ in range(dice.randint(1, 3))]
            return {dice.choice(["$and", "$or"]): parts}
        case 5:
            return {"$not": random_filter(dice, depth - 1)}
        case _:
            chosen = dice.sample([*_KEYS, "document_id"], dice.randint(0, 2))
            return {key: _condition(dice) for key in chosen}


def _condition(dice: random.Random) -> dict[str, Any]:
    ordered = [value for value in _VALUES if not isinstance(value, bool | None)]
    match dice.randint(0, 3):
        case 0:
            return {dice.choice(_TAKE_ONE): dice.choice(["d1", *_VALUES])}
        case 1:
            return {dice.choice(["$in", "$nin"]): dice.sample(_VALUES, dice.randint(0, 4))}
        case 2:
            return {name: dice.choice(ordered) for name in dice.sample(["$gt", "$gte", "$lt", "$lte"], 2)}
        case _:
            return {"$exists": dice.random() < 0.5}
