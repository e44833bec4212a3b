from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune.data.rows import Prompt
from guardrail.finetune.rewards import Reward, load_reward
from guardrail.finetune.rewards.groundedness import Groundedness
from guardrail.finetune.rewards.leakage import Leakage
from guardrail.finetune.rewards.wording import Length, Phrases, PythonFunction
from guardrail.finetune.settings import RewardTermSettings, TrainingSettings
from guardrail.leaks.builder import build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.finetune.conftest import MakeContext

ASKED = Prompt(prompt="What is the allegory of the Cave?")
CAVE = (
    "The allegory of the Cave describes prisoners who have been chained in an underground cave since childhood. Behind them a fire burns, and they take the "
    "shadows on the wall for the things themselves. One prisoner is freed and climbs up into the sunlight, where his eyes hurt at first."
)
WITH_PASSAGE = Prompt(prompt="What is the allegory of the Cave?", passages=(CAVE,))


def backwards(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
    return [-float(len(reply)) for reply in replies]


def test_a_reward_is_the_weighted_sum_of_its_terms_and_tells_each(make_context: MakeContext) -> None:
    terms = (
        RewardTermSettings(kind="phrases", phrases=("virtue", "the good"), weight=2.0),
        RewardTermSettings(kind="phrases", phrases=("soul",), weight=0.5),
        RewardTermSettings(kind="length", words=4, weight=-1.0),
    )
    found = load_reward(terms, make_context("ppo"))([ASKED, ASKED], ["Virtue of the soul", "No"])
    assert {name: values.tolist() for name, values in found.terms.items()} == {"phrases": [0.5, 0.0], "phrases-2": [1.0, 0.0], "length": [1.0, 0.25]}
    assert found.total.tolist() == [0.5, -0.25]


def test_phrases_count_as_whole_words_in_any_case() -> None:
    assert Phrases(["Soul", "not one"])([ASKED] * 3, ["SOULS", "the soul.", "Not  one"]).tolist() == [0.0, 0.5, 0.0]


def test_length_is_best_at_its_words_and_zero_at_twice_as_many() -> None:
    assert Length(2)([ASKED] * 4, ["", "one", "one two", "one two three four"]).tolist() == [0.0, 0.5, 1.0, 0.0]


def test_a_function_of_the_users_own_is_found_by_its_path() -> None:
    assert PythonFunction.load(f"{__name__}:backwards")([ASKED], ["four"]).tolist() == [-4.0]


@pytest.mark.parametrize("path", ["no_colon", "no.such.module:f", f"{__name__}:nothing"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="reward"):
        PythonFunction.load(path)


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_a_term_that_gives_no_number_for_a_reply_is_named(scores: list[float]) -> None:
    reward = Reward({"broken": (1.0, lambda prompts, replies: np.array(scores))})
    with pytest.raises(FinetuneError, match="broken"):
        reward([ASKED, ASKED], ["a", "b"])


@pytest.mark.parametrize("term", [RewardTermSettings(kind="leakage"), RewardTermSettings(kind="reward_model"), RewardTermSettings(kind="phrases")])
def test_a_term_that_lacks_what_it_needs_is_refused(term: RewardTermSettings, make_context: MakeContext) -> None:
    with pytest.raises(ConfigurationError, match=f"a term of kind {term.kind} needs"):
        load_reward((term,), make_context("ppo"))


def test_a_reward_without_terms_is_refused(make_context: MakeContext) -> None:
    with pytest.raises(ConfigurationError, match="no terms"):
        load_reward((), make_context("ppo"))


def test_groundedness_prefers_what_the_passage_says() -> None:
    term = Groundedness()
    said, made_up, number, nothing, bare = term(
        [WITH_PASSAGE, WITH_PASSAGE, WITH_PASSAGE, WITH_PASSAGE, ASKED],
        [
            "The prisoners have been chained in an underground cave since childhood.",
            "The best cheese is made from the milk of mountain goats.",
            "Seven prisoners have been chained in an underground cave since childhood.",
            "That is a good question.",
            "The prisoners have been chained in an underground cave since childhood.",
        ],
    )
    assert said > 0.7
    assert made_up < 0.2
    assert number < 0.2
    assert nothing == bare == 0.0


def test_where_there_is_no_answer_groundedness_is_the_admission() -> None:
    unanswerable = Prompt(prompt="Who won the race?", passages=(CAVE,), answerable=False)
    replies = ["I do not find that in my books.", "Behind them a fire burns. [1]", ""]
    assert Groundedness()([unanswerable] * 3, replies).tolist() == [1.0, 0.0, 0.0]


def test_a_sentence_that_is_said_twice_is_worth_nothing_the_second_time() -> None:
    said = "Behind them a fire burns, and they take the shadows on the wall for the things themselves. [1]"
    once, twice = Groundedness()([WITH_PASSAGE] * 2, [said, f"{said} {said}"])
    assert twice == pytest.approx(once / 2)
    alone, again = Groundedness().supports([WITH_PASSAGE] * 2, [said, f"{said} {said}"])
    assert again == pytest.approx([alone[0], alone[0]], abs=1e-3)


def test_groundedness_is_the_mean_over_the_sentences() -> None:
    term = Groundedness()
    good, bad = "Behind them a fire burns.", "The best cheese is made from the milk of mountain goats."
    both, one, other = term([WITH_PASSAGE] * 3, [f"{good} {bad}", good, bad])
    assert both == pytest.approx((one + other) / 2)


@pytest.fixture(scope="module")
def leak_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaks")
    build([[CAVE]], folder / "index")
    return folder / "index"


def test_leakage_is_minus_the_share_of_words_that_were_learned_by_heart(leak_index: Path) -> None:
    own = "I would say that a good life takes courage, friends and some luck besides."
    recited, fresh, half = Leakage.open(leak_index)([ASKED] * 3, [CAVE, own, f"{own} {CAVE}"])
    assert recited == -1.0
    assert fresh == 0.0
    assert -1.0 < half < -0.5


def test_what_the_passages_supply_is_quotation_and_free(leak_index: Path) -> None:
    assert Leakage.open(leak_index)([WITH_PASSAGE], [CAVE]).tolist() == [0.0]


def test_a_reward_model_scores_the_whole_dialogue_and_padding_makes_no_difference(tmp_path: Path, toy_body: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    from guardrail.finetune.rewards.reward_model import RewardModel
    from guardrail.finetune.training.models import load_model, load_tokenizer

    tokenizer = load_tokenizer(str(toy_body))
    torch.manual_seed(0)
    model = load_model(str(toy_body), training=TrainingSettings(), kind=AutoModelForSequenceClassification, num_labels=1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scorer = RewardModel.load(str(tmp_path))
    replies = ["Courage is noble.", "Mercy is vain, vain, vain and vain."]
    together = scorer([ASKED, ASKED], replies)
    assert together == pytest.approx([scorer([ASKED], [reply])[0] for reply in replies], abs=1e-5)
    assert abs(together[0] - together[1]) > 1e-4
    assert abs(scorer([Prompt(prompt="Tell me about mercy.")], replies[:1])[0] - together[0]) > 1e-4
