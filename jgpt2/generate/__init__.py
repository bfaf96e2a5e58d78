"""Third layer: text out of a model, with a static KV cache and one random stream per row."""
