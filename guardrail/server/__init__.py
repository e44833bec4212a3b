"""The HTTP server: OpenAI's shape, the rails alone, and the web chat."""

from guardrail.server.app import create_app

__all__ = ["create_app"]
