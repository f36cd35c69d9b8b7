"""``embedd chat``: an answer out of a collection, with the places it rests on."""

import readline  # noqa: F401 - input() edits lines and remembers them once this is imported
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import click
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

from api.cli.client import Address, Client, ServiceError
from api.cli.options import collection_option, service_options
from api.cli.terminal import in_one_line, printable, standard_output
from api.schemas_chat import ChatChunk, SourceAnswer

_TURNS_KEPT = 20
_NEW = "new"
_TICK_S = 0.2
Message = dict[str, str]


@click.command()
@click.argument("question", required=False)
@collection_option
@click.option("--generator", "-g", help="Who writes the answer.  [default: the service's own]")
@click.option(
    "--conversation",
    metavar="ID",
    help="Go on with a conversation that the service keeps, out of its own collection unless one is named; "
    "'new' begins one and tells its id.",
)
@service_options
@click.pass_context
def chat(
    context: click.Context,
    *,
    question: str | None,
    collection: str,
    generator: str | None,
    conversation: str | None,
    at: Address,
) -> None:
    """Answer QUESTION from a collection, with sources.

    Without QUESTION it is read from standard input; on a terminal this is a conversation that Ctrl-D ends.
    """
    with Client(at) as client:
        kept = _begun(client, collection) if conversation == _NEW else conversation
        is_named = context.get_parameter_source("collection") is not ParameterSource.DEFAULT
        asked = collection if kept is None or is_named else None
        talk = Conversation(client, asked, generator, standard_output(), kept=kept)
        if question is None and sys.stdin.isatty():
            _converse(talk)
        else:
            talk.ask(_question(question))


class Conversation:
    """What was asked and answered so far, unless the service has it under the id ``kept``; every answer is
    printed while it comes in.
    """

    def __init__(
        self,
        client: Client,
        collection: str | None,
        generator: str | None,
        console: Console,
        *,
        kept: str | None = None,
    ) -> None:
        self._client = client
        self._kept = kept
        self._collection = collection
        self._generator = generator
        self._console = console
        self._turns: list[Message] = []

    def ask(self, question: str) -> None:
        """Print the answer to ``question`` and its sources, and remember both.

        Raises:
            ServiceError: there is no answer, or it broke off; the conversation stays as it was.
        """
        asked = [*self._turns, {"role": "user", "content": question}]
        pieces: list[str] = []
        sources: list[SourceAnswer] = []
        stream = self._client.chat(asked, self._collection, self._generator, conversation=self._kept)
        with closing(stream) as chunks:
            for chunk in chunks:
                self._say(chunk, pieces)
                sources = chunk.sources if isinstance(chunk.sources, list) else sources
        click.echo()
        _print_sources(self._console, sources)
        if self._kept is None:
            self._turns = [*asked, {"role": "assistant", "content": "".join(pieces)}][-_TURNS_KEPT:]

    def _say(self, chunk: ChatChunk, pieces: list[str]) -> None:
        for choice in chunk.choices:
            if isinstance(choice.delta.content, str):
                pieces.append(choice.delta.content)
                click.echo(printable(choice.delta.content), nl=False)


def _begun(client: Client, collection: str) -> str:
    """The id of a new conversation with ``collection``, which is told apart from the answers."""
    id = client.begin_conversation({"retrieval": {"collection": collection}}).id
    click.echo(f"conversation {id}", err=True)
    return id


def _converse(conversation: Conversation) -> None:
    click.echo("Ask away; Ctrl-C stops an answer, Ctrl-D leaves.")
    while True:
        try:
            question = input("\n> ").strip()
            if question:
                with _ticking():
                    conversation.ask(question)
        except ServiceError as error:
            error.show()
        except KeyboardInterrupt:
            click.echo()
        except EOFError:
            click.echo()
            return


@contextmanager
def _ticking() -> Iterator[None]:
    """Lets no Ctrl-C get lost for longer than a tick.

    Python acts on a signal between two of its own steps. One that comes just before a read that waits is
    noticed only behind it, and an answer may never come; a timer's signal ends the read.
    """
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _question(question: str | None) -> str:
    text = sys.stdin.read() if question in (None, "-") else question
    if not text or not text.strip():
        raise click.UsageError("there is no question: name one, or pipe it in")
    return text.strip()


def _print_sources(console: Console, sources: Sequence[SourceAnswer]) -> None:
    """What an answer rests on: [n], the document and the quoted words, in the order of the answer."""
    if sources:
        console.print("\nSources", style="bold")
    for source in sources:
        console.print(Text(f" [{source.index}] {_place(source)}"), soft_wrap=True)
        console.print(Text(f"     \u201c{in_one_line(source.quote)}\u201d", style="dim"), soft_wrap=True)


def _place(source: SourceAnswer) -> str:
    title, id_ = in_one_line(source.title), in_one_line(source.document_id)
    page = f", page {source.page}" if isinstance(source.page, int) else ""
    return f"{id_}{page}" if title in ("", id_) else f"{title} ({id_}{page})"
