"""Offline: raw text, demonstrations and preferences in; a persona model, a reward model, the leak index and a measured report out."""
