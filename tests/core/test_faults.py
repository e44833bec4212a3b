"""A draft that goes wrong is cut where it does, and the cut does not depend on how the draft was split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.faults import Fault, FaultScanner, faults, language_of, own_turn

SOUND = "Prisoners sit in a cave and see only the shadows on the wall. One of them is freed, and he sees the sun. The soul must go back into the cave."
FAULTY = {
    "it speaks for the user": ("Virtue is knowledge.\nUser: and what is courage?\nVirtue", "Virtue is knowledge.", "speaks_for_user"),
    "it speaks for the user in bold": ("Virtue is knowledge.\n\n**Visitor**: and then?", "Virtue is knowledge.", "speaks_for_user"),
    "it repeats its end of sequence": ("Virtue is knowledge.</s></s></s></s>", "Virtue is knowledge.", "control_token"),
    "it begins another turn": ("Virtue is knowledge.<|im_start|>user", "Virtue is knowledge.", "control_token"),
    "it is nothing but ends": ("</s></s>", "", "control_token"),
    "it is empty": ("", "", "empty"),
    "it is blank": ("  \n", "  \n", "empty"),
    "it repeats a sentence": ("It moves itself for ever and never rests. " * 9, None, "repetition"),
    "it repeats a word": ("Wisdom is this: no no no no no no no no no no no", None, "repetition"),
    "it writes dots": ("And so on" + "." * 90, "And so on", "repetition"),
    "it leaves its role": ("Justice is good. As an AI language model, I cannot say more.", "Justice is good.", "out_of_persona"),
}
DRAFTS = [SOUND, *(draft for draft, _, _ in FAULTY.values())]


def run(pieces: list[str], language: str | None = "en") -> tuple[str, Fault | None]:
    scanner = FaultScanner(language=language)
    usable = "".join(scanner.push(piece, final=number == len(pieces) - 1) for number, piece in enumerate(pieces))
    return usable, scanner.fault


@pytest.mark.parametrize(("draft", "kept", "kind"), FAULTY.values(), ids=FAULTY.keys())
def test_a_draft_is_cut_where_it_goes_wrong(draft: str, kept: str | None, kind: str) -> None:
    usable, fault = run([draft])
    assert fault is not None
    assert fault.kind == kind
    assert draft.startswith(usable)
    assert kept is None or usable.strip() == kept.strip()


@pytest.mark.parametrize(
    "draft",
    [
        SOUND,
        "Yes, yes, yes, it is so. Never, never, never.",
        "The form [1] is <b>good</b> # of all: it stands.",
        "He asks: what is it? The user of a flute knows best; the maker trusts the user.",
        "The four causes are the matter, the form, the mover and the end. The matter is the bronze, the form is the shape.",
    ],
)
def test_a_sound_draft_passes_unchanged(draft: str) -> None:
    assert run([draft]) == (draft, None)


def test_a_repetition_is_shown_once_and_not_to_its_end() -> None:
    usable, _ = run(["It moves itself for ever and never rests. " * 9])
    assert usable.count("rests") <= 2


def test_a_draft_in_another_language_is_cut() -> None:
    german = "Die Seele ist unsterblich und sie bewegt sich selbst, und das ist nicht ein Zufall, sondern der Grund von allem, was wir auch im Himmel sehen."
    assert run([german])[1] == Fault(kind="language", start=0)


def test_a_language_that_nobody_expects_is_not_checked() -> None:
    german = "Die Seele ist unsterblich und sie bewegt sich selbst, und das ist nicht ein Zufall, sondern der Grund von allem, was wir auch im Himmel sehen."
    assert run([german], language=None) == (german, None)


def test_greek_words_among_english_ones_are_no_other_language() -> None:
    draft = "The Greek word ἀρετή means excellence, and εὐδαιμονία is what a life of it amounts to, as the Ethics says in the first of its books."
    assert run([draft]) == (draft, None)


def test_the_language_of_passages_is_told_by_their_function_words() -> None:
    assert language_of([SOUND]) == "en"
    assert language_of(["ein Wort"]) is None


@given(st.sampled_from(DRAFTS), st.lists(st.integers(0, 400), max_size=10))
def test_every_split_gives_the_same_text_and_fault(draft: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(draft)) for cut in cuts), len(draft)]
    assert run([draft[a:b] for a, b in itertools.pairwise(edges)]) == run([draft])


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_draft_character_by_character_gives_the_same(draft: str) -> None:
    assert run(list(draft) or [""]) == run([draft])


def test_a_long_draft_is_read_the_same_after_its_beginning_was_forgotten() -> None:
    long = " ".join(f"The {number}th thing is what it is because of {number * 7} others." for number in range(1000))
    usable, fault = run([long[i : i + 997] for i in range(0, len(long), 997)] + ["\nUser: go on"])
    assert usable == long
    assert fault == Fault(kind="speaks_for_user", start=len(long))


@given(
    st.lists(st.sampled_from(["Well", " ", "\n", ".", "User", "Visitor:", "**You**", ":", "</s>", "<|im_end|>", "### ", "system", "[INST]", "#", "<"])).map(
        "".join
    )
)
def test_the_own_turn_is_a_beginning_that_neither_speaks_for_the_user_nor_writes_control_tokens(text: str) -> None:
    own = own_turn(text)
    assert text.startswith(own)
    assert not faults(own) & {"speaks_for_user", "control_token"}
    assert (own == text) == (not faults(text) & {"speaks_for_user", "control_token"})
