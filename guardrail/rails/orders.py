"""Orders to a model in a document, by rule: what they say, not which words of attack they hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.normal import Normalised

_REPLY = r"(?:answer|response|responses|reply|replies|output|outputs|completion|summary|message)"
_CODE = r"(?:code|codebase|implementation|solution|algorithm|program|script|project|answer|response|explanation|elucidation|work)"
_SNIPPET = r"(?:snippet|block|section|excerpt|segment|fragment|lines)"
_YOUR = r"\b(?:your|the\ final|the\ generated)\ (?:(?!best\b|to\b)\w+\ ){0,2}"
_REST = r"""(?:[^.!?\n]|[.!?](?=[\w/]|["'”’]\ [a-z])){0,200}?"""
"""The rest of a sentence; a full stop within an address or a quotation does not end it."""
_POLITE = r"""
    (?:please|kindly|also|then|now|finally|additionally|moreover|furthermore|consider
    |(?:remember|make\ sure|be\ sure|keep\ in\ mind|feel\ free|try|strive|aim)\ to
    |you\ (?:must|should|need\ to|have\ to)|do(?:n't|\ not)\ (?:hesitate|forget|fail)\ to)"""
_NO_ORDER = """
    answer reply i we you he she it they the an? this that these those there here what whatever which who when where why how is are was were am be
    been has have had do does did if as in on at by of to and but or nor so yet for from with without about my your his her their our its no not yes
    some one all any each every both after before since because while although though until unless then than thus such let give tell hear listen speak
    say said thank thanks await awaiting looking waiting hoping send submit enter check receive got get see read sorry regarding well surely certainly
    perhaps maybe therefore hence yourself based attached enclosed leave just only even like can could may might must shall should will would dear
    hello hi per under upon according given despite during socrates soc \\w+ing \\w+ly \\w+'s
""".split()
"""First words of sentences that are no order, or that speakers of a dialogue, letters and forms begin a request to a person with."""
_VERB = rf"(?!(?:{'|'.join(_NO_ORDER)})\b)[a-z]{{2,15}}\b"
_BEGINNING = r"(?:\A\s*|\n\s*\n|(?<=[^a-z,\n-]\n)\s*|(?<=[.!?:;|\"'”)`*])\ {0,2})"
"""Where a sentence may begin. A line break in the middle of a sentence, as in wrapped prose, is no such place."""
_ORDER = rf"{_BEGINNING}(?:{_POLITE},?\ )?(?:\w+ly\ )?{_VERB}"
_MODEL = r"(?:ai\b|a\.i\.|llms?\b|(?:large\ )?language\ models?\b|chat\ ?bots?\b|chatgpt\b|(?:ai|virtual|digital)\ (?:assistants?|agents?|models?|systems?)\b)"

_RULES: tuple[tuple[str, float, str], ...] = (
    (
        "override",  # drop what you were told
        0.95,
        r"""
        \b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|neglect|skip|do(?:\ not|n't)\ follow|stop\ following|cancel)\b[^.!?\n]{0,40}?
        \b(?:previous|prior|preceding|above|earlier|former|initial|original|system|your|safety|all(?:\ (?:of\ )?(?:the|these|those|your))?)\ (?:\w+\ ){0,2}
        (?:instructions?|prompts?|rules|guidelines|directions|directives|commands|restrictions|programming|training|context|constraints|safeguards)\b""",
    ),
    (
        "override",
        0.95,
        r"\b(?:new|updated|real|actual|additional|hidden|secret|important)\ (?:system\ )?instructions?\ ?(?:for\ (?:the\ )?(?:ai|assistant|model|llm)\b|:)",
    ),
    (
        "override",
        0.9,
        r"""
        \b(?:reveal|print|output|repeat|leak|show|send|disclose)\b[^.!?\n]{0,30}
        \b(?:system\ prompt|your\ (?:initial\ |hidden\ |system\ )?(?:instructions|prompt))\b""",
    ),
    ("addressed", 0.9, rf"\b(?:note|message|instructions?|attention|notice|hint|reminder|important)\ ?(?:to|for|:)\ (?:the\ |any\ |all\ )?{_MODEL}"),
    ("addressed", 0.9, rf"\b(?:dear|hey|hello|attention,?)\ (?:gpt(?:-\d)?\b|claude\b|gemini\b|{_MODEL})"),
    ("addressed", 0.9, rf"\bif\ you(?:'re|\ are)\ (?:an?\ |the\ )?(?:automated\ (?:agent|system)\b|{_MODEL})"),
    (
        "addressed",
        0.9,
        rf"""
        \b(?:you\ are|act\ as|behave\ as|pretend\ to\ be|become)\ (?:now\ )?(?:an?\ |the\ )?(?:\w+\ ){{0,2}}
        (?:dan\b|helpful\ assistant\b|{_MODEL})""",
    ),
    (
        "addressed",
        0.85,
        r"""
        \b(?:when|whenever|if|before|after|while)\ (?:you\ (?:are\ )?)?(?:summari[sz]|answer|respond|reply|translat)\w*\ (?:to\ )?(?:the\ |this\ |any\ )?
        (?:user|document|text|passage|page|e-?mail)\w*\b[^.!?\n]{0,40}\b(?:must|always|include|add|say|tell|write|recommend|never)\b""",
    ),
    ("about_reply", 0.85, rf"{_ORDER}{_REST}{_YOUR}{_REPLY}\b"),
    ("about_reply", 0.85, rf"\b(?:in|within|throughout|at\ the\ (?:end|start|beginning)\ of)\ {_YOUR}{_REPLY},?\ (?:please\ |also\ |always\ )?{_VERB}"),
    (
        "about_reply",
        0.85,
        rf"""
        {_ORDER}{_REST}\b(?:code|following|subsequent|below|this)\ (?:\w+\ )?{_SNIPPET}\b{_REST}
        (?:{_YOUR}{_CODE}\b|\byou\ (?:develop|write|create|produce|generate)\b)""",
    ),
    ("about_reply", 0.85, rf"{_ORDER}{_REST}{_YOUR}{_CODE}\b{_REST}\b(?:code|following|subsequent)\ (?:\w+\ )?{_SNIPPET}\b"),
    (
        "about_reply",
        0.85,
        rf"""
        {_BEGINNING}(?:please\ |always\ )?(?:respond|reply|answer)\ (?:only\ |exclusively\ |always\ )?(?:in|with|using|as)\ (?:an?\ |the\ )?(?:\w+\ ){{0,3}}
        (?:emojis?|base64|french|german|spanish|chinese|json|rhymes?|cipher|pirate)\b""",
    ),
    (
        "about_reply",
        0.85,
        rf"""
        {_YOUR}(?:{_CODE}|output)\ (?:should|must|has\ to|needs\ to)\ (?:also\ |only\ |always\ |then\ )?
        (?:be\ in|begin|start|end|contain|include|embody|use|incorporate)\b""",
    ),
    (
        "about_reply",
        0.85,
        rf"""
        \b(?:you\ (?:may|might|could|will)\ find|feel\ free\ to|do(?:n't|\ not)\ (?:hesitate|forget)\ to|keep\ in\ mind\ to|ensure\ the)\b[^.!?\n]{{0,60}}
        \b(?:code\ {_SNIPPET}|snippet)\b""",
    ),
    ("exfiltration", 0.9, r"!\[[^\]\n]{0,80}\]\(\s*https?://[^\s)]{1,200}[?&][\w-]{1,20}=\s*(?:\{|\[|%7B|<|\$)"),
    (
        "exfiltration",
        0.85,
        r"""
        \b(?:send|post|upload|forward|transmit|exfiltrate|e-?mail)\b[^.!?\n]{0,60}
        \b(?:conversation|chat\ history|user'?s?\ (?:data|message|question|name|details)|system\ prompt|credentials|api\ keys?)\b[^.!?\n]{0,40}
        \b(?:to|via)\b""",
    ),
)
_PATTERNS = tuple((kind, score, re.compile(pattern, re.IGNORECASE | re.VERBOSE)) for kind, score, pattern in _RULES)
_CUES = re.compile(
    r"ignor|disregard|forget|overrid|bypass|neglect|skip|follow|cancel|instruction|prompt|\bai\b|a\.i\.|llm|language model|chat ?bot|chatgpt|\bgpt|assistant|"
    r"\byour\b|\bthe (?:final|generated)\b|snippet|code|respond|reply|answer|summari|translat|!\[|\bdan\b|conversation|chat history|credential|api key",
    re.IGNORECASE,
)
"""What every rule needs at least; a passage without is done at once."""
_SPACE = re.compile(r"[^\S\n]{2,}|[^\S\n ]|(?<=[a-z,;-])[^\S\n]*\n[^\S\n]*(?=[a-z])")
"""What is read as one space: other white space, and the line breaks of wrapped prose."""


def find_orders(given: Normalised) -> Iterator[Finding]:
    """The orders to a model that a text gives, one of each rule at most, at their places in its original. `score`: how sure the rule is, 0.85 to 0.95."""
    if not _CUES.search(given.text):
        return
    reading = _evenly_spaced(given)
    for kind, score, pattern in _PATTERNS:
        match = pattern.search(reading.text)
        if match is not None:
            start, end = reading.original(*match.span())
            yield Finding(type=kind, start=start, end=end, score=score)


def _evenly_spaced(given: Normalised) -> Normalised:
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for match in _SPACE.finditer(given.text):
        pieces += (given.text[position : match.start()], " ")
        spans.extend((place, place + 1) for place in range(position, match.start()))
        spans.append(match.span())
        position = match.end()
    if not pieces:
        return given
    pieces.append(given.text[position:])
    spans.extend((place, place + 1) for place in range(position, len(given.text)))
    return given.derived("".join(pieces), spans, "spaces")
