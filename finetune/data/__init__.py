"""Rows on their way from files to tokens."""
