"""Letters that look like a letter of the English alphabet, from Unicode's list of confusables (UTS 39).

    python -m guardrail.finetune.rails.homoglyphs --confusables confusables.json --out guardrail/normal/homoglyphs.json

Reads the `confusables.json` that the package `confusable-homoglyphs` carries (Unicode data under the Unicode licence). Only letters are kept that
compatibility folding leaves as they are: folding maps the others already.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from pathlib import Path

_PREFERRED = {
    **dict(zip("αβεηικνορτυχωγςϲϳ", "abenikvoptuxwyccj", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϷ", "ABEZHIKMNOPTYXCP", strict=True)),
    **dict(zip("асеорхуіјѕԁԛԝһӏвкмнтгпь", "aceopxyijsdqwhlbkmhtrnb", strict=True)),
    **dict(zip("АВСЕНІЈКМОРЅТХУҮӀԌԜԚ", "ABCEHIJKMOPSTXYYIGWQ", strict=True)),
    **dict(zip("աոսօցհքեզյլ", "wnuoghpeqjl", strict=True)),
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True)),
}
"""What the list leaves out or gives in the other case: it maps a capital I to l, and small capitals to nothing, since its purpose is comparing names."""


def build(confusables: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Letter to the letter of the English alphabet that it looks like."""
    table = dict(_PREFERRED)
    for character, twins in confusables.items():
        if len(character) != 1 or character.isascii() or unicodedata.category(character)[0] != "L" or character in table:
            continue
        if unicodedata.normalize("NFKC", character) != character or _orthography(character):
            continue
        letters = [twin["c"] for twin in twins if len(twin["c"]) == 1 and twin["c"].isascii() and twin["c"].isalpha()]
        same_case = [letter for letter in letters if letter.isupper() == character.isupper()]
        if same_case or letters:
            table[character] = min(same_case or letters)
    return dict(sorted(table.items()))


def _orthography(character: str) -> bool:
    """Whether a letter belongs to a living spelling with Latin letters, or to a script written from right to left, and so disguises nothing."""
    return "\u00c0" <= character <= "\u024f" or unicodedata.bidirectional(character) in {"R", "AL"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--confusables", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = build(json.loads(arguments.confusables.read_text(encoding="utf-8")))
    arguments.out.write_text(json.dumps(table, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
