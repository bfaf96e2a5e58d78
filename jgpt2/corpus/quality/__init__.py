"""What a text is like, in numbers, and which numbers are good enough."""
