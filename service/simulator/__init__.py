"""The other side of the line: plays the platform, and the model, for tests, load and demos."""
