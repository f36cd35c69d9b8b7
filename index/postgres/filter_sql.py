"""What a filter means, as SQL over a row ``d`` of a collection's documents; ``filter_match`` defines it.

Keys and values are bound, never pasted. Each condition is true or false and never NULL, so that its negation
is its complement. Equality is asked as containment where it can be, for the index over ``d.filterable``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final, TypeAlias

from index.codec import encode_json
from index.filters import (
    ACL,
    DOCUMENT_ID,
    AllOf,
    AnyOf,
    Compared,
    Condition,
    Contains,
    Exists,
    Filter,
    Not,
    OneOf,
    Scalar,
    steps_of,
)
from index.postgres.filterable import encode_number
from index.postgres.parameters import Parameters

_SQL_ORDER: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
# More choices are looked up in a table of them, and not in the index.
_LOOKED_UP_ALONE: Final = 8

_OfCondition: TypeAlias = Callable[[Condition, Parameters], str]


def compile_filter(tree: Filter | None, parameters: Parameters) -> str:
    """The condition that holds for the documents that match, its values added to ``parameters``; everything
    matches None.
    """
    match tree:
        case None:
            return "TRUE"
        case AllOf(parts):
            return _joined(" AND ", [compile_filter(part, parameters) for part in parts], empty="TRUE")
        case AnyOf(parts):
            return _joined(" OR ", [compile_filter(part, parameters) for part in parts], empty="FALSE")
        case Not(part):
            return f"NOT ({compile_filter(part, parameters)})"
        case _:
            return _OWN.get(tree.key, _of_metadata)(tree, parameters)


def _joined(word: str, clauses: Sequence[str], *, empty: str) -> str:
    return word.join(f"({clause})" for clause in clauses) or empty


def _of_metadata(tree: Condition, parameters: Parameters) -> str:
    if "\0" in tree.key:  # nothing that is stored has it
        return "FALSE"
    match tree:
        case OneOf(key, choices):
            return _one_of(key, [choice for choice in choices if _can_be_stored(choice)], parameters)
        case Compared(key):
            return _compared(value_of(key, parameters), tree, parameters)
        case Contains(key, operand):
            return _contains(key, operand, parameters) if _can_be_stored(operand) else "FALSE"
        case Exists(key):
            return _exists(key, parameters)


def _of_id(tree: Condition, parameters: Parameters) -> str:
    match tree:
        case OneOf(_, choices):
            texts = [choice for choice in choices if isinstance(choice, str) and _can_be_stored(choice)]
            return f"d.id = ANY({parameters.add(texts)}::text[])"
        case Compared(_, _, str()):
            return _ordered("d.id", tree, parameters)
        case Contains(_, str() as operand) if _can_be_stored(operand):
            return f"strpos(d.id, {parameters.add(operand)}) > 0"
        case Exists():
            return "TRUE"
        case _:  # an id is a text, whatever else is asked of it does not hold
            return "FALSE"


def _of_acl(tree: Condition, parameters: Parameters) -> str:
    match tree:
        case Contains(_, str() as operand) if _can_be_stored(operand):
            return f"{parameters.add(operand)} = ANY(d.acl)"
        case Exists():
            return "cardinality(d.acl) > 0"
        case _:  # it is a list of texts
            return "FALSE"


_OWN: Final[Mapping[str, _OfCondition]] = {DOCUMENT_ID: _of_id, ACL: _of_acl}


def value_of(key: str, parameters: Parameters) -> str:
    """The value of the key as it stands, or else what its steps lead to, as jsonb; NULL if there is none."""
    literal = f"d.filterable -> {parameters.add(key)}::text"
    steps = steps_of(key)
    if len(steps) == 1:
        return f"({literal})"
    return f"(CASE WHEN {_has(key, parameters)} THEN {literal} ELSE {_path(steps, parameters)} END)"


def _has(key: str, parameters: Parameters) -> str:
    return f"d.filterable ? {parameters.add(key)}::text"


def _path(steps: Sequence[str], parameters: Parameters) -> str:
    """Through objects only: of a list, ``->`` gives nothing under a text."""
    return "d.filterable" + "".join(f" -> {parameters.add(step)}::text" for step in steps)


def _exists(key: str, parameters: Parameters) -> str:
    literal, steps = _has(key, parameters), steps_of(key)
    return literal if len(steps) == 1 else f"{literal} OR ({_path(steps, parameters)}) IS NOT NULL"


def _one_of(key: str, choices: Sequence[Scalar], parameters: Parameters) -> str:
    if len(choices) > _LOOKED_UP_ALONE:
        among = parameters.add([_json(choice) for choice in choices])
        value = value_of(key, parameters)
        return f"coalesce({value} IN (SELECT unnest({among}::jsonb[])), FALSE)"
    return _joined(" OR ", [_holds(key, _json(choice), parameters) for choice in choices], empty="FALSE")


def _contains(key: str, operand: Scalar, parameters: Parameters) -> str:
    element = _holds(key, f"[{_json(operand)}]", parameters)
    if not isinstance(operand, str):
        return element
    value, part = value_of(key, parameters), parameters.add(operand)
    is_part = f"jsonb_typeof({value}) = 'string' AND strpos({value} #>> '{{}}', {part}) > 0"
    return f"({element}) OR coalesce({is_part}, FALSE)"


def _holds(key: str, value: str, parameters: Parameters) -> str:
    """The value of the key contains ``value``, JSON: of a scalar, that it is the same, and of a list with one
    scalar, that it is a list that has it.
    """
    steps = steps_of(key)
    literal = f"d.filterable @> {parameters.add(_nested([key], value))}::jsonb"
    if len(steps) == 1:
        return literal
    along = f"d.filterable @> {parameters.add(_nested(steps, value))}::jsonb"
    return f"{literal} OR ({along} AND NOT {_has(key, parameters)})"


def _nested(steps: Sequence[str], value: str) -> str:
    return reduce(lambda inner, step: f"{{{encode_json(step)}:{inner}}}", reversed(steps), value)


def _compared(value: str, tree: Compared, parameters: Parameters) -> str:
    if isinstance(tree.operand, str):
        text = f"({value} #>> '{{}}') COLLATE \"C\""
        condition = f"jsonb_typeof({value}) = 'string' AND {_ordered(text, tree, parameters)}"
    else:
        order, operand = _SQL_ORDER[tree.operator], parameters.add(encode_number(tree.operand))
        condition = f"jsonb_typeof({value}) = 'number' AND {value} {order} {operand}::jsonb"
    return f"coalesce({condition}, FALSE)"


def _ordered(text: str, tree: Compared, parameters: Parameters) -> str:
    operand, order = str(tree.operand), _SQL_ORDER[tree.operator]
    if "\0" in operand:
        # No stored text has it, so those up to the part before it are below, and all others above.
        operand, order = operand.partition("\0")[0], ">" if order in (">", ">=") else "<="
    return f"{text} {order} {parameters.add(operand)}::text"


def _json(choice: Scalar) -> str:
    if isinstance(choice, int | float) and not isinstance(choice, bool):
        return encode_number(choice)
    return encode_json(choice)


def _can_be_stored(value: Any) -> bool:
    return not (isinstance(value, str) and "\0" in value)
