"""Offline: what fits the weights that the rails, the retriever and the normaliser read. Each module opens with the command that runs it."""
