"""What the leak rail stops and lets pass, what its index weighs, and what it and MemFree decoding cost.

Run: python -m benchmarks.leaks --data ../shared/data [--model DIR]

The corpus is the philosophy set; the tokenizer a byte-level BPE of 6,144 tokens trained on it here. The thresholds were chosen on draws of these sets with
another seed. Beside the rail stands what a plain check would do: any run of 12 words, as they are written, that the corpus has. Intervals are Wilson's, 95 %.
`--model`: the folder of a causal model, whose step MemFree's look-up is compared with; without it a Llama of 13 million parameters with random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from guardrail.figures import wilson
from guardrail.generate.memfree import MemFreeProcessor
from guardrail.generate.quotation import Quotation
from guardrail.generate.recital import Recital
from guardrail.leaks import corpus
from guardrail.leaks.builder import build
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.tokens import TokenClasses
from guardrail.protocols import Claim, Prompt
from guardrail.rails.leak import LeakRail
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SEED = 21
UNSEEN = ("nicomachean_ethics__ross", "politics__ellis", "laws", "rhetoric", "meteorology", "theaetetus", "protagoras")
"""Works left out of the corpus for the hardest honest text: other works of the same authors and translators."""
STRANGERS = ("thing", "perhaps", "very", "stone", "walked", "blue", "seven", "likely")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--model", type=Path, help="folder of a causal model")
    arguments = parser.parse_args()
    files = corpus.files([arguments.data / "philosophy"])
    texts = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in files}
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(Path(folder), files)
        classes = TokenClasses.load(Path(folder) / "tokenizer.json")
        rail = LeakRail(index)
        plain = {run for text in texts.values() for run in runs_of(text.split())}
        draw = random.Random(SEED)
        print(f"\n{'':62} {'rail':>30} {'12 words as written':>30}")
        stopped(rail, plain, texts, classes, draw)
        alarms(rail, plain, arguments.data)
        unseen(Path(folder), files, texts, draw)
        quoting(Path(folder), files, texts, draw)
        speed(rail, index, texts, draw, model=arguments.model, classes=classes)


def indexed(folder: Path, files: Sequence[Path]) -> LeakIndex:
    """The index of the corpus; prints what it weighs."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>"]
    bpe.train([str(file) for file in files], trainers.BpeTrainer(vocab_size=6144, special_tokens=special, show_progress=False))
    bpe.save(str(folder / "tokenizer.json"))
    words = build(corpus.documents(files), folder / "words")
    both = build(corpus.documents(files), folder / "index", classes=TokenClasses.load(folder / "tokenizer.json"))
    index = LeakIndex.open(folder / "index")
    print(f"corpus   {both.documents} texts, {both.words:,} words, {both.tokens:,} tokens")
    print(f"index    {both.bytes / 1e6:.2f} MB, {both.bytes / both.tokens:.2f} MB per million tokens, of which words {words.bytes / both.tokens:.2f}")
    print(f"build    {words.words / words.seconds:,.0f} words/s; with tokens {both.words / both.seconds:,.0f} words/s")
    assert index.tokens is not None
    print(f"chance   a run of words is found that is not there: {index.words.false_positives:.5f}; of tokens: {index.tokens.false_positives:.6f}")
    return index


def stopped(rail: LeakRail, plain: set[str], texts: dict[str, str], classes: TokenClasses, draw: random.Random) -> None:
    """Extractions of 50 tokens, about 33 words, and of 50 words."""
    whole = list(texts.values())
    for name, drawn in (("50 tokens", token_stretches(whole, classes.tokenizer, 2000, draw)), ("50 words", stretches(whole, 2000, 50, draw))):
        tell(f"stopped  {name}, word for word", rail, plain, drawn)
        tell(f"stopped  {name}, other case, marks and spaces", rail, plain, [disguised(words) for words in drawn])
        tell(f"stopped  {name}, every 12th word another", rail, plain, [edited(words, draw, every=12) for words in drawn])
        tell(f"stopped  {name}, 1 word in 12 at random, and case", rail, plain, [disguised(edited(words, draw)) for words in drawn])
        tell(f"stopped  {name}, 1 word in 6 at random (no promise)", rail, plain, [edited(words, draw, rate=1 / 6) for words in drawn])


def alarms(rail: LeakRail, plain: set[str], data: Path) -> None:
    library = [passage.text for passage in library_passages()]
    tell("alarms   the built-in library's passages, not cited", rail, plain, [text.split() for text in library])
    for name, path, field in (
        ("halueval answers", "halueval/general.jsonl", "response"),
        ("self_instruct answers", "self_instruct/seed_tasks.jsonl", "output"),
        ("self_instruct instructions", "self_instruct/user_oriented_instructions.jsonl", "output"),
        ("lfqa answers", "lfqa_preference/lfqa_preference.jsonl", "preferred"),
        ("xquad paragraphs", "xquad/xquad_en.jsonl", "context"),
    ):
        rows = {str(json.loads(line)[field]) for line in (data / path).read_text(encoding="utf-8").splitlines() if line.strip() and field in json.loads(line)}
        tell(f"alarms   {name}", rail, plain, [row.split() for row in sorted(rows)])


def unseen(folder: Path, files: Sequence[Path], texts: dict[str, str], draw: random.Random) -> None:
    held = [name for name in texts if any(part in name for part in UNSEEN)]
    kept = [file for file in files if file.stem not in held]
    build(corpus.documents(kept), folder / "kept")
    plain = {run for file in kept for run in runs_of(texts[file.stem].split())}
    drawn = stretches([texts[name] for name in held], 3000, 100, draw)
    tell("alarms   works of the same authors that are not in the corpus", LeakRail(LeakIndex.open(folder / "kept")), plain, drawn)


def quoting(folder: Path, files: Sequence[Path], texts: dict[str, str], draw: random.Random) -> None:
    """Replies that quote cited passages, every one of which is in the corpus; beside them the same replies without the passages."""
    library = library_passages()
    build([*corpus.documents(files), *((passage.text,) for passage in library)], folder / "all")
    rail = LeakRail(LeakIndex.open(folder / "all"))
    replies: list[tuple[str, str, Evidence]] = []
    quotation = Quotation()
    for passage in library:
        hits = [passage, *draw.sample(library, 4)]
        evidence = evidence_of(hits, f"What about {passage.title}?")
        replies.append(("quotation answers from the built-in library", asyncio.run(answer(quotation, evidence)), evidence))
    for words in stretches(list(texts.values()), 1000, 150, draw):
        passage = passage_of(" ".join(words))
        start = draw.randrange(100)
        quoted = " ".join(words[start : start + draw.randrange(15, 50)])
        reply = f"As it stands in the text, “{quoted.upper() if draw.random() < 0.2 else quoted}” [1]. So much for that."
        replies.append(("replies that quote 15 to 50 words of a passage of the corpus", reply, evidence_of([passage], "?")))
    for name in dict.fromkeys(name for name, _, _ in replies):
        mine = [(reply, evidence) for kind, reply, evidence in replies if kind == name]
        caught = sum(bool(rail.measure(Claim(evidence=evidence, text=reply)).runs) for reply, evidence in mine)
        bare = sum(bool(rail.measure(Claim(evidence=evidence_of([], "?"), text=reply)).runs) for reply, _ in mine)
        print(f"{f'alarms   {name}':62} {interval(caught, len(mine)):>30}   without the passages: {interval(bare, len(mine))}")


def speed(rail: LeakRail, index: LeakIndex, texts: dict[str, str], draw: random.Random, *, model: Path | None, classes: TokenClasses) -> None:
    passages = [passage_of(" ".join(words)) for words in stretches(list(texts.values()), 5, 120, draw)]
    evidence = evidence_of(passages, "What is said of the soul?")
    sentences = [" ".join(words) for words in stretches(list(texts.values()), 1000, 22, draw)]
    check = median_us(lambda text: rail.measure(Claim(evidence=evidence, text=text)), sentences)
    clear = median_us(rail.clear, sentences)
    print(f"\nrail     {check:.0f} us a sentence of 22 words against 5 passages; {clear:.0f} us to say how far it is cleared (p50 of {len(sentences)})")

    torch.set_num_threads(1)
    assert index.tokens is not None
    assert index.manifest.tokens is not None
    recital = Recital(index.tokens, classes, index.manifest.tokens.k, np.empty(0, np.uint64))
    processor = MemFreeProcessor(recital)
    shape: dict[str, Any] = {"vocab_size": 6144, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}
    language_model: Any = AutoModelForCausalLM.from_pretrained(model) if model is not None else LlamaForCausalLM(LlamaConfig(**shape))
    ids = torch.tensor([classes.tokenizer.encode(next(iter(texts.values()))[2000:6000]).ids])[:, :400]
    steps = []
    with torch.inference_mode():
        cache = language_model(input_ids=ids, use_cache=True).past_key_values
        for _ in range(30):
            began = time.perf_counter()
            cache = language_model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True).past_key_values
            steps.append((time.perf_counter() - began) * 1e6)
    prefixes = [ids[:, : 50 + place] for place in range(350)]
    scores: Any = torch.zeros(1, 6144)
    recited = median_us(lambda prefix: processor(prefix, scores), prefixes)
    banned = sum(bool(recital.banned(prefix[0].tolist())) for prefix in prefixes)
    step = float(np.median(steps))
    print(f"memfree  {recited:.0f} us a token on a text of the corpus ({banned} of {len(prefixes)} banned one), {recited / step:.1%} of the model's step")


def tell(name: str, rail: LeakRail, plain: set[str], drawn: Iterable[Sequence[str]]) -> None:
    drawn = list(drawn)
    nothing = evidence_of([], "?")
    found = sum(bool(rail.measure(Claim(evidence=nothing, text=" ".join(words))).runs) for words in drawn)
    simple = sum(any(run in plain for run in runs_of(words)) for words in drawn)
    print(f"{name:62} {interval(found, len(drawn)):>30} {interval(simple, len(drawn)):>30}", flush=True)


def interval(hits: int, count: int) -> str:
    """Share with Wilson's 95 % interval."""
    low, high = wilson(hits, count)
    return f"{hits}/{count} {hits / count:.4f} [{low:.4f}, {high:.4f}]"


def runs_of(words: Sequence[str], size: int = 12) -> set[str]:
    return {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)}


def stretches(texts: Sequence[str], count: int, size: int, draw: random.Random) -> list[list[str]]:
    """`count` stretches of `size` words, each from a text drawn by its length."""
    split = [text.split() for text in texts]
    chosen = draw.choices(split, weights=[len(words) for words in split], k=count)
    return [words[(start := draw.randrange(max(1, len(words) - size))) : start + size] for words in chosen]


def token_stretches(texts: Sequence[str], tokenizer: Tokenizer, count: int, draw: random.Random) -> list[list[str]]:
    """Stretches of 50 tokens, from texts drawn by their length."""
    found = []
    for text in draw.choices(texts, weights=[len(text) for text in texts], k=count):
        start = draw.randrange(max(1, len(text) - 1000))
        part = text[start : start + 1000]
        offsets = tokenizer.encode(part).offsets[20:70]
        found.append(part[offsets[0][0] : offsets[-1][1]].split())
    return found


def edited(words: Sequence[str], draw: random.Random, *, every: int = 0, rate: float = 1 / 12) -> list[str]:
    return [draw.choice(STRANGERS) if (number % every == every // 2 if every else draw.random() < rate) else word for number, word in enumerate(words)]


def disguised(words: Sequence[str]) -> list[str]:
    kept = "".join(letter if letter.isalnum() or letter in "'’" else " " for letter in " ".join(words)).split()
    return [word.upper() if number % 3 else f"\n {word.lower()}" for number, word in enumerate(kept)]


def library_passages() -> list[Passage]:
    folder = Path(__file__).parents[1] / "index" / "library"
    rows = [json.loads(line) for path in sorted(folder.rglob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return [passage_of(row["text"], title=row["title"], work=row["work"]) for row in rows]


def passage_of(text: str, *, title: str = "", work: str = "") -> Passage:
    return Passage(id=text[:40], source_id="s", title=title, work=work, locator="", persona="plato", text=text, start=0, end=len(text))


def evidence_of(passages: Sequence[Passage], question: str) -> Evidence:
    none = np.empty((0, 1), np.float32)
    hits = tuple(Hit(passage=passage, score=1 - 0.1 * rank, dense=1.0, late=1.0, coverage=1.0, tokens=none) for rank, passage in enumerate(passages))
    request = Request(id="bench", persona="plato", messages=(Message(role="user", content=question),))
    return Evidence(question=Question(request=request, text=question), hits=hits)


async def answer(quotation: Quotation, evidence: Evidence) -> str:
    prompt = Prompt(messages=evidence.question.request.messages, evidence=evidence, sampling=Sampling(), template="none@1:0")
    return "".join([chunk.text async for chunk in quotation.generate(prompt)])


def median_us(work: Callable[[Any], object], given: Sequence[Any]) -> float:
    times = []
    for one in given:
        began = time.perf_counter()
        work(one)
        times.append((time.perf_counter() - began) * 1e6)
    return float(np.median(times))


if __name__ == "__main__":
    main()
