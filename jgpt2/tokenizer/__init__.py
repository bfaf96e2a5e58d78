"""Text to ids and back: bytes or SentencePiece behind one Protocol, both exact for any text."""
