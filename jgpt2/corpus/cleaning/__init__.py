"""From bytes to clean text: charset, markup, main text, normalisation, personal data."""
