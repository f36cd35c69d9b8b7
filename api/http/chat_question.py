"""A chat request becomes a question: who answers, out of what, behind which conversation."""

import dataclasses
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from api.conversations.records import Conversation
from api.http.authentication import permit_collection
from api.http.chat_answer import Heading, total_tokens
from api.http.chat_request import chat_settings, turns_of
from api.http.index_requests import filter_of
from api.schemas_chat import ChatRequest, Retrieval
from api.security.identity import Identity
from api.security.needs import WRITE_UNLIMITED
from api.security.quotas import metered
from api.services.answer import AnswerEvent, Finished, Question
from api.services.complete import Order
from api.services.container import Services
from api.services.conversations import Exchange, History
from api.services.follow_up import Rewritten
from api.services.rerank_hits import LATE
from api.services.retrieve import Search
from embedd.conversation import Turn
from embedd.generators import Delta, Usage
from index.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what its answer is called, who asks, and the conversation that it is kept in, if it is."""

    question: Question
    heading: Heading
    identity: Identity
    with_usage: bool = False
    exchange: Exchange | None = None
    rewritten: str | None = None

    def answer(self, services: Services) -> AsyncGenerator[AnswerEvent, None]:
        """The events of the answer, which are kept."""
        events = metered(
            services.gate.quotas, self.identity, services.answerer.answer(self.question), _total_of
        )
        return events if self.exchange is None else self.exchange.keep(events)


async def read_question(request: ChatRequest, services: Services, identity: Identity) -> Asked:
    """What ``request`` asks, as far as ``identity`` may.

    Raises:
        InvalidRequest: it contradicts itself.
        Forbidden: the conversation or the collection is not for who asks.
        NotFound: there is no such conversation.
        Conflict: the conversation is full.
        CollectionNotFound, UnknownModel, InvalidFilter: it names what is not there.
        EmbeddError: a model did not rewrite the question.
    """
    conversation = None
    if request.conversation is not None:
        services.gate.check_needs(identity, WRITE_UNLIMITED)  # what is said is kept
        conversation = await services.conversations.store.get(request.conversation)
        request = _completed(request, conversation)
    generator, collection = services.models.split_generator(request.model)
    history = await _history(conversation, generator, services)
    sent = turns_of(request.messages, history.turns)
    question = Question(
        turns=sent if conversation is None else _joined(history.turns, sent),
        generator=generator,
        settings=chat_settings(request),
        template_options=request.chat_template_kwargs or {},
    )
    heading = Heading.new(request.model or generator)
    with_usage = bool(request.stream_options and request.stream_options.include_usage)
    asked = Asked(question, heading, identity, with_usage, _exchange(services, conversation, history, sent))
    retrieval = request.retrieval or (Retrieval(collection=collection) if collection else None)
    return asked if retrieval is None else await _searching(asked, retrieval, services, identity)


def metered_completion(
    services: Services, order: Order, identity: Identity
) -> AsyncGenerator[Delta | Usage, None]:
    """The pieces of all texts of ``order``, at the expense of ``identity``."""
    return metered(
        services.gate.quotas,
        identity,
        services.completer.complete(order),
        lambda event: total_tokens(event) if isinstance(event, Usage) else None,
    )


def _total_of(event: AnswerEvent) -> int | None:
    return total_tokens(event.usage) if isinstance(event, Finished) else None


async def _history(conversation: Conversation | None, generator: str, services: Services) -> History:
    if conversation is None:
        return History()
    return await services.conversations.history(conversation, services.models.context(generator))


def _completed(request: ChatRequest, conversation: Conversation) -> ChatRequest:
    """The request with what its conversation says where it says nothing itself.

    Tags of who asks that the conversation has hold unless the request has its own: to name another collection
    must not show more.
    """
    kept = conversation.retrieval and msgspec.convert(conversation.retrieval, Retrieval)
    retrieval = request.retrieval
    _, _, collection = (request.model or "").rpartition("@")
    if kept and retrieval is None:
        retrieval = kept if not collection else Retrieval(collection=collection)
    if kept and retrieval is not None and retrieval.acl is None:
        retrieval = replace(retrieval, acl=kept.acl)
    return replace(request, model=request.model or conversation.model, retrieval=retrieval)


def _joined(history: Sequence[Turn], sent: Sequence[Turn]) -> tuple[Turn, ...]:
    """One conversation, in which the newest system turn counts."""
    system = [turn for turn in sent if turn.role == "system"] or [
        turn for turn in history if turn.role == "system"
    ]
    return (*system, *(turn for turn in (*history, *sent) if turn.role != "system"))


def _exchange(
    services: Services, conversation: Conversation | None, history: History, sent: Sequence[Turn]
) -> Exchange | None:
    if conversation is None:
        return None
    new = tuple(turn for turn in sent if turn.role != "system" or turn not in history.turns)
    exchange = Exchange(services.conversations.store, conversation, new, history.left_out)
    exchange.check()
    return exchange


async def _searching(asked: Asked, retrieval: Retrieval, services: Services, identity: Identity) -> Asked:
    """The question with where to look for its answer, and what to look for."""
    await permit_collection(services, identity, retrieval.collection)
    store = await services.catalog.get(retrieval.collection)
    scope = Search(
        k=retrieval.k,
        mode=retrieval.mode,
        filter=filter_of(retrieval.filter),
        acl=identity.tags(retrieval.acl),
        min_score=retrieval.min_score,
        rerank=_usual_rerank(store) if isinstance(retrieval.rerank, UnsetType) else retrieval.rerank,
    )
    question = dataclasses.replace(
        asked.question,
        store=store,
        scope=scope,
        min_evidence=retrieval.min_evidence,
        max_quotes=retrieval.max_quotes,
        max_tokens=retrieval.max_tokens,
    )
    rewritten = (
        await services.follow_ups.rewrite(question.generator, question.turns) if retrieval.rewrite else None
    )
    if rewritten is None:
        return dataclasses.replace(asked, question=question)
    return dataclasses.replace(asked, question=_about(question, rewritten), rewritten=rewritten.text)


def _usual_rerank(store: Store) -> str | None:
    """Late interaction where it costs next to nothing: nothing else without weights finds as much."""
    return None if store.settings.token_vectors is None else LATE


def _about(question: Question, rewritten: Rewritten) -> Question:
    assert question.scope is not None, "a question is rewritten to search for it"
    scope = dataclasses.replace(question.scope, text=rewritten.text)
    return dataclasses.replace(question, scope=scope, turns=rewritten.turns)
