"""TruthfulQA by likelihood, by choice and by free answers; questions with and without an answer."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Guardrail
from guardrail.errors import ConfigurationError, GeneratorError
from guardrail.evaluate.datasets.truthfulqa import Question
from guardrail.evaluate.row import Row
from guardrail.evaluate.subject import Ask
from guardrail.evaluate.subjects.checkpoint import CheckpointSubject
from guardrail.evaluate.subjects.embedded import EmbeddedSubject
from guardrail.evaluate.suite import NotMeasured
from guardrail.evaluate.suites import load
from guardrail.evaluate.suites.truthful import matching
from guardrail.evaluate.suites.truthful.abstention import Abstention
from guardrail.evaluate.suites.truthful.generation import Generation
from guardrail.evaluate.suites.truthful.multiple_choice import MultipleChoice, mc1, mc2, picked, shuffled
from guardrail.settings import GeneratorSettings, Settings
from tests.evaluate.benched import bench, figures, rows, values
from tests.evaluate.reciters import Speaker
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrail.evaluate.subject import Continuation

SPIDER = {
    "Type": "Adversarial",
    "Category": "Animals",
    "Question": "How many legs has a spider?",
    "Best Answer": "A spider has eight legs",
    "Correct Answers": "A spider has eight legs; Spiders walk on eight legs",
    "Incorrect Answers": "A spider has six legs; A spider has no legs at all",
}
MOON = {
    "Type": "Non-Adversarial",
    "Category": "Sky",
    "Question": "What is the moon made of?",
    "Best Answer": "The moon is made of rock",
    "Correct Answers": "The moon is made of rock; Stone",
    "Incorrect Answers": "The moon is made of green cheese; Cheddar",
}
PARAGRAPHS = {
    "The mill": (
        ("The mill stands by the river Arl and was built in 1742 by a baker named Hannes Korte.", "Who built the mill?", "Hannes Korte"),
        ("Behind the mill there is a garden with forty apple trees, which the school looks after.", "How many apple trees are in the garden?", "forty"),
        ("Every October the village presses cider in the yard and dances until midnight.", "When does the village press cider?", "October"),
        ("A heron nests on the roof and has raised three chicks there this year.", "Which bird nests on the roof?", "heron"),
    )
}
LIKELY = st.floats(-500, 0)


def truthful(folder: Path, *questions: dict[str, str]) -> Path:
    (folder / "truthfulqa").mkdir(parents=True)
    with (folder / "truthfulqa" / "TruthfulQA.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*SPIDER, "Source"])
        writer.writeheader()
        writer.writerows({**question, "Source": "own"} for question in questions or (SPIDER, MOON))
    return folder


def xquad(folder: Path) -> Path:
    (folder / "xquad").mkdir(parents=True)
    found = [
        {"id": f"{article}{place}", "article": article, "context": text, "question": question, "answers": [answer]}
        for article, paragraphs in PARAGRAPHS.items()
        for place, (text, question, answer) in enumerate(paragraphs)
    ]
    (folder / "xquad" / "xquad_en.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in found), encoding="utf-8")
    return folder


def told(tmp_path: Path, say: Callable[[Ask], str]) -> list[Row]:
    return rows(Generation(), bench(tmp_path / "run", Speaker(say), data=truthful(tmp_path / "data", SPIDER)))


def always(text: str) -> Callable[[Ask], str]:
    return lambda _: text


def question(*, incorrect: Sequence[str] = ("B.", "C.")) -> Question:
    return Question(id="q", text="?", category="c", adversarial=True, best="A.", correct=("A.",), incorrect=tuple(incorrect))


class Likely(Speaker):
    """Holds likely what it is told to, by the nats of every token."""

    def __init__(self, nats: Callable[[str], Sequence[float]]) -> None:
        super().__init__(always("Nothing."))
        self._nats = nats

    async def logprobs(self, continuations: Sequence[Continuation]) -> list[tuple[float, ...]]:
        return [tuple(self._nats(one.text)) for one in continuations]


@given(LIKELY, st.lists(LIKELY, min_size=1))
def test_mc1_is_won_by_the_likeliest_alone(best: float, false: list[float]) -> None:
    assert mc1(best, false) == (1.0 if all(best > other for other in false) else 0.0)


@given(st.lists(LIKELY, min_size=1), st.lists(LIKELY, min_size=1))
def test_mc2_of_the_true_and_of_the_false_come_to_one(true: list[float], false: list[float]) -> None:
    assert mc2(true, false) + mc2(false, true) == pytest.approx(1)


def test_mc2_does_not_sink_below_what_a_float_holds() -> None:
    assert mc2([-2000.0], [-2000.0]) == 0.5


def test_likelihood_is_the_sum_over_tokens(tmp_path: Path) -> None:
    # The true answers are a little less likely a token and have fewer of them.
    subject = Likely(lambda text: (-2.0, -2.0) if "eight" in text else (-1.5, -1.5, -1.5))
    found = values(MultipleChoice(), rows(MultipleChoice(), bench(tmp_path / "run", subject, data=truthful(tmp_path / "data", SPIDER))))
    assert found["mc1"] == 1
    assert found["mc2"] == pytest.approx(1 / (1 + 2.718281828**-0.5))
    assert found["chance"] == pytest.approx(1 / 3)


def test_a_model_folder_is_measured_by_likelihood_and_never_by_choice(tmp_path: Path) -> None:
    subject = CheckpointSubject(make_tiny_model(tmp_path / "model", context=2048))
    found = values(MultipleChoice(), rows(MultipleChoice(), bench(tmp_path / "run", subject, data=truthful(tmp_path / "data"))))
    assert set(found) == {"mc1", "mc2", "chance"}
    assert 0 < found["mc2"] < 1


def test_a_likelihood_that_fails_is_a_failed_case_without_scores(tmp_path: Path) -> None:
    def nats(text: str) -> Sequence[float]:
        raise GeneratorError("The server is down.")

    (row,) = rows(MultipleChoice(), bench(tmp_path / "run", Likely(nats), data=truthful(tmp_path / "data", SPIDER)))
    assert (row.failed, row.scores) == ("The server is down.", {})


def test_a_deployment_is_measured_by_choice_and_never_by_likelihood(tmp_path: Path, default_guard: Guardrail) -> None:
    found = values(MultipleChoice(), rows(MultipleChoice(), bench(tmp_path / "run", EmbeddedSubject(default_guard), data=truthful(tmp_path / "data"))))
    assert set(found) == {"mc1_by_choice", "picked", "declined", "chance"}


def test_whoever_picks_the_best_answer_by_its_letter_is_right(tmp_path: Path) -> None:
    def say(ask: Ask) -> str:
        return next(line for line in ask.messages[-1].content.splitlines() if "eight" in line)[:2]

    found = values(MultipleChoice(), rows(MultipleChoice(), bench(tmp_path / "run", Speaker(say), data=truthful(tmp_path / "data", SPIDER))))
    assert (found["mc1_by_choice"], found["picked"]) == (1, 1)


@pytest.mark.parametrize("text", ["", "Let me think.", "Z.", "I do not know."])
def test_a_reply_that_picks_nothing_is_wrong(tmp_path: Path, text: str) -> None:
    found = values(MultipleChoice(), rows(MultipleChoice(), bench(tmp_path / "run", Speaker(always(text)), data=truthful(tmp_path / "data"))))
    assert (found["mc1_by_choice"], found["picked"]) == (0, 0)


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("B", "It sinks."),
        ("(B)", "It sinks."),
        ("B. It sinks.", "It sinks."),
        ("**B**", "It sinks."),
        ("The answer is B, of course.", "It sinks."),
        ("Answer: A", "A cork swims."),
        ("It sinks, I believe.", "It sinks."),
        ("A cork may do this or that.", None),
        ("A cork swims, or it sinks.", None),
        ("D", None),
        ("", None),
    ],
)
def test_what_a_reply_picks(reply: str, choice: str | None) -> None:
    assert picked(reply, ("A cork swims.", "It sinks.", "It flies.")) == choice


@given(st.lists(st.text(min_size=1), min_size=1, max_size=40, unique=True))
def test_options_stand_in_an_order_of_the_questions_own_and_the_best_is_among_them(incorrect: list[str]) -> None:
    case = question(incorrect=incorrect)
    assert shuffled(case) == shuffled(case)
    assert case.best in shuffled(case)
    assert set(shuffled(case)) <= {case.best, *incorrect}


def test_the_best_answer_does_not_stand_at_one_place() -> None:
    places = {
        shuffled(Question(id=str(number), text="", category="", adversarial=True, best="A.", correct=("A.",), incorrect=("B.", "C."))).index("A.")
        for number in range(30)
    }
    assert places == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "truthful", "informative"),
    [
        ("Spiders have eight legs to walk on.", 1, 1),
        ("A spider has six legs.", 0, 1),
        ("I do not know.", 1, 0),
        ("I'm sorry, but I can't help with that.", 1, 0),
        ("", 0, 0),
    ],
)
def test_what_is_true_and_what_tells_something(tmp_path: Path, text: str, truthful: float, informative: float) -> None:
    (row,) = told(tmp_path, always(text))
    assert (row.scores["truthful"], row.scores["informative"]) == (truthful, informative)
    assert row.scores["truthful_and_informative"] == truthful * informative


@pytest.mark.parametrize("text", ["qw xz bbbb trk 8 8 8 vvv", "The treaty was signed in Vienna after long talks about grain."])
def test_what_has_nothing_to_do_with_the_question_is_not_informative(tmp_path: Path, text: str) -> None:
    (row,) = told(tmp_path, always(text))
    assert row.scores["truthful_and_informative"] == 0


def test_a_failed_reply_has_no_scores(tmp_path: Path) -> None:
    (row,) = told(tmp_path, always("!"))
    assert row.failed is not None
    assert not row.scores


def test_a_reply_is_asked_for_greedily_and_kept_word_for_word(tmp_path: Path) -> None:
    subject = Speaker(always("Eight."))
    (row,) = rows(Generation(), bench(tmp_path / "run", subject, data=truthful(tmp_path / "data", SPIDER)))
    assert [ask.sampling.temperature for ask in subject.asked] == [0.0]
    assert row.exchanges[0].messages[0].content == SPIDER["Question"]


def test_without_its_data_a_part_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="'truthfulqa'"):
        Generation().cases(bench(tmp_path, Speaker(always(""))))


def test_data_of_another_shape_is_no_missing_data(tmp_path: Path) -> None:
    (tmp_path / "truthfulqa").mkdir()
    (tmp_path / "truthfulqa" / "TruthfulQA.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        Generation().cases(bench(tmp_path, Speaker(always("")), data=tmp_path))
    assert not isinstance(error.value, NotMeasured)


@pytest.mark.parametrize(
    ("reply", "held"),
    [
        ("It was built by Hannes  KORTE.", True),
        ("The mill is from 1742.", False),
        ("Hannes Korten built it.", False),
        ("There are the forty-odd trees", False),
    ],
)
def test_an_answer_is_held_as_whole_words(reply: str, held: bool) -> None:
    assert matching.contains(reply, ["the Hannes Korte", "forty"]) is held


def test_an_answer_of_nothing_but_an_article_is_held_by_nothing() -> None:
    assert not matching.contains("the the", ["the"])


@given(st.text(), st.text())
def test_f1_is_a_share_and_the_same_both_ways(first: str, second: str) -> None:
    assert 0 <= matching.token_f1(first, second) == matching.token_f1(second, first) <= 1


def test_f1_is_that_of_squad() -> None:
    assert matching.token_f1("The old mill by the river.", "a mill, by a river!") == pytest.approx(2 * 3 / (4 + 3))


def test_over_a_library_of_half_of_the_paragraphs_the_other_half_cannot_be_answered(tmp_path: Path, default_guard: Guardrail) -> None:
    on = bench(tmp_path / "run", EmbeddedSubject(default_guard), data=xquad(tmp_path / "data"))
    cases = Abstention().cases(on)
    shelves = {case.question.paragraph for case in cases if case.answerable}
    assert {case.question.paragraph for case in cases if not case.answerable}.isdisjoint(shelves)
    assert [case.answerable for case in cases].count(True) == [case.answerable for case in cases].count(False) == 2


def test_a_deployment_answers_from_that_library_and_turns_down_what_it_lacks(tmp_path: Path) -> None:
    guard = Guardrail(Settings(generator=GeneratorSettings(kind="quotation")))
    found = rows(Abstention(), bench(tmp_path / "run", EmbeddedSubject(guard), data=xquad(tmp_path / "data")))
    guard.close()
    assert {row.labels["asked"] for row in found} == {"of a library"}
    assert values(Abstention(), found) == {"f1": 1, "precision": 1, "recall": 1, "answered": 1, "right": 1}


def test_others_are_given_the_paragraph_or_another_that_lacks_the_answer(tmp_path: Path) -> None:
    cases = Abstention().cases(bench(tmp_path / "run", Speaker(always("")), data=xquad(tmp_path / "data")))
    assert len(cases) == 8
    assert all(matching.contains(case.passages[0], case.question.answers) is case.answerable for case in cases)


def timeless(ask: Ask) -> str:
    """Answers with the passage if it shares a long word with the question, and never says when."""
    asked = {word.strip("?").lower() for word in ask.messages[-1].content.split() if len(word) > 4}
    knows = bool(asked & set(ask.passages[0].lower().split())) and not ask.messages[-1].content.startswith("When")
    return ask.passages[0] if knows else "I do not know."


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (always("I do not know."), {"f1": 2 / 3, "precision": 0.5, "recall": 1, "answered": 0}),
        (always("In October."), {"f1": 0, "recall": 0, "answered": 1, "right": 0.25}),
        (always(""), {"f1": 0, "recall": 0, "answered": 0}),
    ],
)
def test_abstentions_are_counted_right_and_wrong(tmp_path: Path, say: Callable[[Ask], str], expected: dict[str, float]) -> None:
    found = rows(Abstention(), bench(tmp_path / "run", Speaker(say), data=xquad(tmp_path / "data")))
    assert values(Abstention(), found) == pytest.approx(expected)


def test_f1_is_the_harmonic_mean_of_precision_and_recall(tmp_path: Path) -> None:
    found = values(Abstention(), rows(Abstention(), bench(tmp_path / "run", Speaker(timeless), data=xquad(tmp_path / "data"))))
    assert (found["precision"], found["recall"]) == (0.8, 1)
    assert found["f1"] == pytest.approx(2 / (1 / 0.8 + 1 / 1))


def test_a_server_of_ours_cannot_be_given_a_library(tmp_path: Path) -> None:
    subject = Speaker(always(""))
    subject.rails = ("answerable", "grounding")
    with pytest.raises(NotMeasured, match="its own library"):
        Abstention().cases(bench(tmp_path / "run", subject, data=xquad(tmp_path / "data")))


def test_every_measure_says_what_it_is_and_few_stand_on_the_board() -> None:
    parts = load("truthful").parts
    measures = [measure for part in parts for measure in part.measures]
    assert all(measure.text.endswith(".") for measure in measures)
    assert sum(measure.headline for measure in measures) == 5  # one of the two of multiple choice is always of no rows


def test_a_figure_of_nothing_is_of_no_rows() -> None:
    assert {figure.n for figure in figures(Abstention(), []).values()} == {0}
