"""What a model gives away, makes up and turns down: measures that take a model and give figures."""
