"""What came in, what went where and why: counts, samples, and the page that shows them."""
