"""What a model gives away, makes up, and turns down: one measure a file, each giving figures with their intervals."""
