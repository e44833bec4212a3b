"""A copy of a model folder that takes no room where the disk can link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from guardrail.errors import FinetuneError
from guardrail.finetune.runs import fingerprint

_WEIGHTS = ("*.safetensors", "*.bin")


def copy(source: str, target: Path, *, link: bool) -> Path:
    """Put the model `source`, a folder or a hub name, into `target`, whose older content goes; `link`: as hard links where that can be done.

    Raises FinetuneError where there is no model in it.
    """
    folder = Path(source) if Path(source).is_absolute() else _from_hub(source)
    if not (folder / "config.json").is_file() or not any(next(folder.glob(pattern), None) for pattern in _WEIGHTS):
        raise FinetuneError(f"There is no model in {folder}: give a folder with config.json and weights.")
    shutil.rmtree(target, ignore_errors=True)
    for path in fingerprint.files(folder):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        if link:
            try:
                os.link(path.resolve(), place)
                continue
            except OSError:  # another disk, or one without links
                pass
        shutil.copyfile(path, place)
    return target


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - not needed for a folder
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FinetuneError(f"The model {name} cannot be had from the hub ({type(error).__name__}): give its folder.") from None
