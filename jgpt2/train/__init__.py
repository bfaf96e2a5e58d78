"""Training: optimizer, step, loop, logs; stops when asked and goes on bit for bit."""
