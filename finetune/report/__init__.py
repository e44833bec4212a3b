"""What a run found, as Markdown, as one HTML page and as JSON."""
