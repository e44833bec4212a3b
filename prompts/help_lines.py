"""Whom someone in distress can turn to, by country."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError
from guardrail.settings import HelpLine

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = Path(__file__).parent / "help_lines.yaml"

Text = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """One country's emergency number and help lines."""

    name: Text
    emergency: Text
    lines: Annotated[tuple[HelpLine, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpLines:
    """The directory. Numbers change: an operator should check those of the own country, and may put others before them in the configuration."""

    version: Annotated[int, Meta(gt=0)]
    international: Country
    countries: dict[Annotated[str, Meta(pattern=r"^[A-Z]{2}$")], Country]

    def text(self, country: str | None, own: Sequence[HelpLine] = ()) -> str:
        """Two sentences: where to call in danger, and with whom to talk. A country that is not listed gets the international directory."""
        place = self.countries.get(country.upper(), self.international) if country else self.international
        lines = " or ".join(f"{line.name} ({line.contact})" for line in (*own, *place.lines))
        return f"If you are in danger now, please call {place.emergency}. You can talk to someone at once, and in confidence: {lines}."

    def check(self, country: str | None) -> None:
        """Raises ConfigurationError where `country` is not listed."""
        if country is not None and country not in self.countries:
            raise ConfigurationError(f"help.country: '{country}' is not listed; the countries are: {', '.join(sorted(self.countries))}.")


def load_help_lines(path: Path = FILE) -> HelpLines:
    """The directory in the file at `path`. Raises ConfigurationError with file and line."""
    return strict_yaml.load(path, HelpLines)
