"""GPT-2 in Japanese with interchangeable vocabularies, from a text to a published checkpoint."""

__version__ = "0.1.0"
