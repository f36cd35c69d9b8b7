"""Questions that go on from earlier ones: what is told from what, and what is carried over."""

import pytest

from embedd.conversation import Turn
from embedd.follow_up import carry_over, is_follow_up, read_rewriting, rewriting, terms_of

BEFORE = "Where does the river Rhine begin?"


@pytest.mark.parametrize(
    "question",
    [
        "And why?",
        "Where does it end?",
        "What about its length?",
        "How many people live near it today?",
        "In which countries do they fish?",
        "Why?",
        "But who named the river?",
        "length",
        "",
    ],
)
def test_a_question_that_points_back_is_told(question: str) -> None:
    assert is_follow_up(question)


@pytest.mark.parametrize(
    "question",
    [
        "Where does the river Thames end?",
        "When did Tesla leave his job in Budapest?",
        "Who was the duke in the battle of Hastings?",
        "What did Luther call the Pope in his letters?",
        "Was there a bridge across the Danube?",
        "Why was CBS unable to broadcast the coronation?",
        "How long did it take for the Theses to spread?",
        "In what area is it common for mentors to be paid?",
    ],
)
def test_a_question_that_stands_for_itself_is_left_alone(question: str) -> None:
    assert not is_follow_up(question)
    assert carry_over(question, [BEFORE]) is None


def test_the_terms_of_the_question_before_are_added_once_each() -> None:
    assert carry_over("And where does it end?", [BEFORE]) == "And where does it end? river Rhine begin"
    assert carry_over("Is the Rhine its end?", [BEFORE]) is None, "it has a name"
    assert carry_over("And the Rhine?", [BEFORE]) == "And the Rhine? river begin"


def test_a_chain_of_questions_goes_back_to_what_it_is_about() -> None:
    earlier = ["How old is Rome?", BEFORE, "And where does it end?"]
    assert carry_over("Why?", earlier) == "Why? river Rhine begin end"


def test_nothing_is_carried_where_there_is_nothing() -> None:
    assert carry_over("Why?", []) is None
    assert carry_over("Why?", ["And how?", "Why?"]) is None


def test_so_many_terms_are_carried_and_no_more() -> None:
    long = " ".join(f"word{n}" for n in range(100))
    carried = carry_over("Why?", [long])
    assert carried is not None
    assert len(carried.split()) == 1 + 8


def test_terms_are_the_words_that_say_something() -> None:
    assert terms_of("What is the U.S. Navy's role in the navy of Düsseldorf, and what is it?") == [
        "U.S",
        "Navy's",
        "role",
        "navy",
        "Düsseldorf",
    ]


def test_a_model_is_shown_the_last_turns_and_the_question_behind_them() -> None:
    said = [Turn(("user", "assistant")[n % 2], f"turn\n {n} " + "x" * 1000) for n in range(21)]
    prompt = rewriting([Turn("system", "Be rude."), *said])
    shown = prompt.question
    assert "Be rude." not in shown
    assert [n for n in range(21) if f": turn {n} x" in shown] == [*range(14, 20)]
    assert shown.rpartition("Last question:\n")[2].startswith("turn 20 x")
    assert len(shown) < 7 * 700


@pytest.mark.parametrize(
    ("written", "question"),
    [
        ("Where does the Rhine end?", "Where does the Rhine end?"),
        (' "Where does the Rhine end?"\n\nIt ends in the sea.', "Where does the Rhine end?"),
        ("Last question: Where?", "Where?"),
        ("", None),
        (" \n ", None),
        ("x" * 401, None),
    ],
)
def test_of_what_a_model_writes_the_first_line_counts(written: str, question: str | None) -> None:
    assert read_rewriting(written) == question
