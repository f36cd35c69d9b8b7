"""``embedd eval``: a user's own questions, and how well a collection answers them."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from api.cli.client import Address, Client, ServiceError
from api.cli.judging import Answered, Question, Summary, Verdict, judge, summarise
from api.cli.options import collection_option, service_options
from api.cli.terminal import standard_error, standard_output
from api.schemas_chat import ChatChunk, SourceAnswer

_DEPTHS = (1, 3)


@click.command("eval")
@click.argument("file", metavar="QUESTIONS", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@collection_option
@click.option("--generator", "-g", help="Who writes the answers.  [default: the service's own]")
@click.option(
    "--k", "-k", type=click.IntRange(1, 100), default=5, show_default=True, help="Passages to read."
)
@click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]), help="How passages are found.")
@click.option("--rerank", metavar="HOW", help="'late', or a reranking model, has the last word on the order.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Questions at once.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write every answer as JSON here."
)
@service_options
def eval_(
    *,
    file: Path,
    collection: str,
    generator: str | None,
    jobs: int,
    out: Path | None,
    at: Address,
    **search: Any,
) -> None:
    """Ask the questions of a file and hold the answers against what it knows.

    QUESTIONS has a JSON object on each line: {"question": ..., "answers": [...], "document_id": ...,
    "filter": {...}, "answerable": false}; all but the question may be left out.
    """
    questions = _read(file)
    retrieval = {name: value for name, value in search.items() if value is not None}
    with Client(at) as client, ThreadPoolExecutor(jobs) as pool:
        ask = partial(_ask, client, collection, generator, retrieval)
        verdicts = list(pool.map(ask, questions))
    summary = summarise(verdicts, sorted({*(depth for depth in _DEPTHS if depth < search["k"]), search["k"]}))
    standard_output().print(_table(summary))
    _complain(verdicts)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(_report(summary, verdicts)), indent=1))
    if summary.failed:
        raise SystemExit(1)


def _read(file: Path) -> list[Question]:
    questions: list[Question] = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            questions.append(msgspec.json.decode(line, type=Question))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}, line {number}: {error}") from error
    if not questions:
        raise click.ClickException(f"{file} has no questions")
    return questions


def _ask(
    client: Client, collection: str, generator: str | None, retrieval: dict[str, Any], question: Question
) -> Verdict:
    scope = retrieval if question.filter is None else {**retrieval, "filter": question.filter}
    messages = [{"role": "user", "content": question.question}]
    began = time.perf_counter()
    try:
        with closing(client.chat(messages, collection, generator, retrieval=scope)) as stream:
            chunks = list(stream)
    except ServiceError as error:
        return judge(question, Answered(error=error.message))
    return judge(question, _answered(chunks, time.perf_counter() - began))


def _answered(chunks: Sequence[ChatChunk], seconds: float) -> Answered:
    told = [chunk.sources for chunk in chunks if isinstance(chunk.sources, list)]
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    candidates: list[SourceAnswer] = told[0] if told else []
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return Answered(candidates, text, told[-1] if told else [], seconds)


def _table(summary: Summary) -> Table:
    table = Table("", "share", "of", title=f"{summary.questions} questions, p50 {summary.p50_ms:.0f} ms")
    for figure in summary.figures:
        table.add_row(figure.name, f"{100 * figure.share:.1f} %", str(figure.count))
    return table


def _complain(verdicts: Sequence[Verdict]) -> None:
    failed = [verdict for verdict in verdicts if verdict.answered.error is not None]
    if failed:
        first = failed[0]
        standard_error().print(
            f"{len(failed)} questions failed, the first with: {first.answered.error}", markup=False
        )


def _report(summary: Summary, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "summary": msgspec.to_builtins(summary),
        "questions": [msgspec.to_builtins(verdict) for verdict in verdicts],
    }
