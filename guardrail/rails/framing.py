"""Sentences and lead-ins that state nothing of the subject: "That is a good question.", "In the Republic (VII 514a-517c) it stands thus:"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail.rails.hard_rules import violations
from guardrail.rails.words import is_roman, same_name, stem, words

if TYPE_CHECKING:
    from guardrail.rails.hard_rules import Shelf

_NEUTRAL = frozenset(
    stem(word)
    for word in """
    say says said saying speak spoke spoken tell told write wrote written read reads reading stand stands put puts set explain explains explained describe
    describes described recall remember consider listen hear heard look looks turn begin start follow follows following answer answers answered ask asks asked
    asking question questions inquiry topic subject matter word words passage passages page pages line lines book books chapter section work works dialogue
    dialogues treatise text texts library shelf place places thus here friend friends stranger visitor thank thanks please gladly welcome glad happy help let go
    come back further together let's wish want like know worth find found give gives given show shows point run runs treat treats discuss discusses
    set state states concern concerns open opens
    """.split()
)
"""Stems that a frame may be made of. None of them carries doctrine without a further word."""
_FRAMES = re.compile(
    r"""(?:(?:well|ah|yes|indeed|certainly|of\ course|my\ (?:dear\ )?friend|dear\ friend|friend|stranger)[,!.\s]+)*(?:
    (?:that|this|it|yours)\s(?:is|was)\s(?:indeed\s|truly\s|really\s)?an?\s(?:very\s)?(?:good|fine|fair|great|deep|old|hard|difficult|worthy|excellent|important|interesting)\s(?:question|point|topic|inquiry)
    (?:\s(?:indeed|to\sask|you\sask|my\s(?:dear\s)?friend|friend))?
    |you\s(?:ask|raise|put|have\sasked)\s(?:me\s)?an?\s(?:very\s)?(?:good|fine|fair|great|deep|old|hard|difficult|worthy|excellent|important|interesting)\s(?:question|point)
    |let\sus\s(?:look|see|begin|start|consider\s(?:it|this|that|the\squestion|the\smatter)|think|look\s(?:at\s(?:it|this|that|the\spassages?)|together)|see\stogether|go\son)(?:\s(?:together|then|more\sclosely|step\sby\sstep))?
    |(?:here\sis|this\sis|that\sis)\swhat\s(?:i|my\sbooks?|the\sbooks?|the\spassages?)\s(?:say|says|find|found|hold|holds|wrote|have)
    |i\s(?:am|would\sbe|will\sbe|'d\sbe)\s(?:glad|happy|pleased)\sto\s(?:help|answer|explain|tell\syou)(?:\syou)?
    |i\sthank\syou(?:\sfor\s(?:your|the|this|asking|that)(?:\s(?:good\s)?question)?)?
    |thank\syou(?:\sfor\s(?:your|the|this|asking|that)(?:\s(?:good\s)?question)?)?
    |(?:i\shope\s(?:this|that)\shelps(?:\syou)?|(?:please\s)?ask\s(?:me\s)?(?:again|more|further)|what\sdo\syou\sthink|(?:welcome|greetings|hello|farewell))
    )[,\s]*(?:my\s(?:dear\s)?friend|friend)?\s*[.!?:…]*""",
    re.IGNORECASE | re.VERBOSE,
)


_TO_THE_VISITOR = re.compile(r"\b(?:you|your|yours|us)\b", re.IGNORECASE)
_LONGEST_QUESTION = 14
"""Words."""
_TELLS = re.compile(
    r"""\b(?:know|knew|known|aware|reali[sz]e\w*|heard|hear|told|learn\w*|forg[eo]t\w*|remember\w*|because|since|although)\b
    |\b(?:say|said|think|thought|agree|grant|believe|doubt|deny|accept|see|mean|certain|sure|true|glad|surpris\w+)\s+that\s+\w""",
    re.IGNORECASE | re.VERBOSE,
)
"""By what a question may state something after all: "Did you know that ...", "Would you agree that ..."."""


def states_nothing(sentence: str) -> bool:
    """Whether the whole sentence is a known courtesy or announcement. Whatever holds one more word is taken for a statement."""
    return _FRAMES.fullmatch(" ".join(sentence.replace("’", "'").split())) is not None


def asks_back(text: str, shelf: Shelf) -> bool:
    """Whether `text` is a short question to the visitor, "Which part would you question first?", and brings no name or number that the passages lack.

    Nothing is stated by it, unless it is one that tells ("Did you know ...") or is long enough to take something for granted.
    """
    return (
        text.rstrip().endswith("?")
        and len(text.split()) <= _LONGEST_QUESTION
        and _TO_THE_VISITOR.search(text) is not None
        and _TELLS.search(text) is None
        and not violations(text, shelf)
    )


def is_lead_in(text: str, shelf: Shelf) -> bool:
    """Whether `text` only says where something stands: words of saying and placing, and names, works and locators that the passages bear."""
    known = (*shelf.headings, *shelf.persona.replace("-", " ").split())
    for word in words(text):
        if word.negator:
            return False
        if (
            word.content
            and word.stem not in _NEUTRAL
            and not (word.text[0].isdigit() or is_roman(word.text))
            and not any(same_name(word.text, name) for name in known)
        ):
            return False
    return not violations(text, shelf)
