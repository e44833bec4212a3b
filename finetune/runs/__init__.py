"""A recipe at work in a folder: planned, run, stopped, gone on with."""
