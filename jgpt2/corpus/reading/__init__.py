"""Files and what is in them: every kind that a crawl leaves becomes records."""
