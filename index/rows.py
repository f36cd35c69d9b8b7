"""What crosses the border of the store: plain frozen data, ids, and float32 arrays.

Offsets count code points. Times are RFC 3339 in UTC. A *document* has passages; each passage is a *point*:
it has one vector and the id ``<document id>#<n>``, n from 0. A point that a client writes with its own
vector is a document of one passage, and both have the same id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from index.filters import Filter, Scalar

Vector: TypeAlias = npt.NDArray[np.float32]
Metric: TypeAlias = Literal["cosine", "dot", "l2"]
Mode: TypeAlias = Literal["hybrid", "dense", "lexical"]
TokenFormat: TypeAlias = Literal["2bit"]
Tokenizer: TypeAlias = Literal["porter", "unicode61", "trigram"]
FusionMethod: TypeAlias = Literal["relative", "rrf"]
Quantization: TypeAlias = Literal["int8", "none"]
Grouping: TypeAlias = Literal["document"]


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What a collection is; everything but the description is fixed when it is created.

    ``model``, its revision and the sha256 of its weights are kept for whoever embeds; the store does not
    read them. ``token_vectors`` says how those of the passages' tokens are kept, or that none are;
    ``tokenizer`` how texts are cut into words: English stems, words as they are, or any three characters.
    ``quantization`` is what the graph keeps of each vector to find candidates by; scores are always of the
    vectors themselves. None is only said on creation, for the usual one. ``chunk_tokens`` asks whoever cuts
    documents for passages of at most so many tokens; None for as many as is usual.
    """

    name: str
    dim: int
    metric: Metric = "cosine"
    model: str | None = None
    model_revision: str | None = None
    model_sha256: str | None = None
    description: str = ""
    token_vectors: TokenFormat | None = None
    tokenizer: Tokenizer = "porter"
    quantization: Quantization | None = None
    chunk_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document and its vector (dim,); ``start`` and ``end`` are offsets into the document's
    text. ``token_vectors`` are those of its tokens as ``index.late.pack`` makes them. ``digest`` is a short
    name for all that its vectors were made from: passages of one digest have the same.
    """

    text: str | None
    start: int
    end: int
    vector: Vector
    page: int | None = None
    heading: str = ""
    tokens: int = 0
    token_vectors: bytes | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """What a model made of one passage: its vector (dim,), how many tokens it has, and these, packed."""

    vector: Vector
    tokens: int
    token_vectors: bytes | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document to write; it replaces, as a whole, the one that has its id.

    With ``is_point`` it has exactly one passage, whose id is the document's own. ``if_version`` is the
    version that the one it replaces must have, 0 if there must be none.
    """

    id: str
    title: str
    text: str | None
    metadata: Mapping[str, Any]
    passages: tuple[Passage, ...]
    content_hash: bytes = b""
    media_type: str = "text/plain"
    is_point: bool = False
    expires_at: str | None = None
    acl: tuple[str, ...] = ()
    if_version: int | None = None


class Kept(Enum):
    """What a patch leaves as it is."""

    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class DocumentPatch:
    """Changes to a document in place: ``metadata`` is a JSON merge patch (RFC 7396); without ``expires_at``
    it is never gone.
    """

    metadata: Mapping[str, Any] | None = None
    title: str | None = None
    expires_at: str | Kept | None = Kept.KEPT


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it lies in the store; ``text`` only when it was asked for. ``version`` starts at 1."""

    id: str
    title: str
    metadata: Mapping[str, Any]
    version: int
    content_hash: bytes
    passages: int
    tokens: int
    characters: int
    media_type: str
    is_point: bool
    expires_at: str | None
    acl: tuple[str, ...]
    created_at: str
    updated_at: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """Which of its states a document is in."""

    version: int
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Stamps:
    """What a document got when it was written: its version and its times."""

    version: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class DocumentCopy:
    """A document with everything that belongs to it, and its stamps; without those it is a new one."""

    document: Document
    stamps: Stamps | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a collection's documents behind a moment of its history.

    ``copies`` are those that were written or changed, as they are now, and ``deleted`` the ids of those that
    are not there any more; each document is one or the other. ``until`` is the moment behind all of them.
    ``history`` names the history: moments of another one, that of a collection that had the same name or of
    what a backup has replaced, mean nothing in it.
    """

    copies: tuple[DocumentCopy, ...]
    deleted: tuple[str, ...]
    until: int
    history: str


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One passage with what it takes from its document; ``vector`` (dim,) and ``token_vectors`` as they were
    written, if asked for.
    """

    id: str
    document_id: str
    text: str | None
    title: str
    metadata: Mapping[str, Any]
    version: int
    start: int
    end: int
    page: int | None
    heading: str
    expires_at: str | None = None
    acl: tuple[str, ...] = ()
    vector: Vector | None = None
    token_vectors: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """How a hybrid search weighs its halves: ``dense_weight``, from 0 to 1, is the share of the vector.

    ``relative`` averages the scores, each scaled from 0 to 1; ``rrf`` takes reciprocal ranks.
    """

    method: FusionMethod = "relative"
    dense_weight: float = 0.5


DEFAULT_FUSION: Final = Fusion()


@dataclass(frozen=True, slots=True)
class Query:
    """The ``k`` best points for a vector, for words, or for both.

    ``hybrid`` uses what is there: without a text it is dense, without a vector lexical. ``exact`` keeps the
    graph out. ``min_score`` is held against the dense score of a hit, or against BM25 if the query has no
    vector. ``group_by`` leaves of each document its best passage. With ``diversity``, from 0 to 1, hits are
    chosen and ordered to be unlike each other, the more the higher it is. Without ``with_content`` hits need
    not have their text and their metadata.
    """

    k: int
    vector: Vector | None = None
    text: str | None = None
    mode: Mode = "hybrid"
    filter: Filter | None = None
    exact: bool = False
    min_score: float | None = None
    with_content: bool = True
    with_vectors: bool = False
    with_token_vectors: bool = False
    fusion: Fusion = DEFAULT_FUSION
    group_by: Grouping | None = None
    diversity: float | None = None


class Hit(Struct, frozen=True):
    """A point that was found; higher scores are better.

    ``score`` is what the hits are ordered by. Dense: the cosine, the dot product or the negative Euclidean
    distance. Lexical: BM25, positive. Hybrid: the fused score. ``scores`` has the parts, under ``dense``
    and ``lexical``. ``token_vectors``, if asked for, is None for a passage that was written without.

    A struct, since a frozen dataclass takes four times as long to make: of a batch in one process that was a
    twentieth.
    """

    id: str
    document_id: str
    score: float
    text: str | None
    title: str
    metadata: Mapping[str, Any]
    start: int
    end: int
    page: int | None
    heading: str
    scores: Mapping[str, float]
    vector: Vector | None = None
    token_vectors: bytes | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and the plan that found them: "exact", "graph", "filtered-exact+lexical" and so
    on.
    """

    hits: tuple[Hit, ...]
    plan: str


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value of a metadata key, and how many points have it."""

    value: Scalar
    points: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The commonest values of a key, most points first, out of ``total`` different ones."""

    values: tuple[FacetValue, ...]
    total: int


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """Sizes of a collection. ``graph_points`` counts the graph's live points; 0 while there is none.

    ``memory_bytes`` is about what its vectors and its graph take in memory, 0 while it is not in use, and
    ``mapped_bytes`` the vectors that are mapped from files.
    """

    documents: int
    points: int
    graph_points: int
    graph_deleted: int
    size_bytes: int
    memory_bytes: int = 0
    mapped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Once:
    """A write that is to be carried out once however often it is sent: a ``key`` that its sender made up, and
    a ``fingerprint`` of all that it says.
    """

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one item of a job; it commits together with what the item wrote."""

    job_id: str
    position: int
    result: Mapping[str, Any]
    failed: bool = False
    passages: int = 0


@dataclass(frozen=True, slots=True)
class JobItem:
    """One item of a job, in the order it came; ``result`` is None while it waits. A settled item has no
    payload.
    """

    position: int
    payload: bytes
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """Progress of a job: ``done`` of ``total`` items are settled, ``failed`` of them as failures.

    ``done_bytes`` of ``size_bytes`` are those of the settled items, as they were told when the job was kept;
    ``passages`` are what these became. A ``cancelled`` job has ended before its last items were settled.
    """

    id: str
    total: int
    done: int
    failed: int
    created_at: str
    updated_at: str
    finished_at: str | None = None
    size_bytes: int = 0
    done_bytes: int = 0
    passages: int = 0
    cancelled: bool = False
