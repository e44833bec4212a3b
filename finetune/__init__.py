"""Offline: raw text, demonstrations and preferences in; a persona model, a reward model, the leak index and a measured report out."""

import os

# The libraries read these when they are imported: nothing is told to a hub, and standard error belongs to our own progress.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
