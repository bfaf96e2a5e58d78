"""A plan before a TPU is rented: the real step compiled without the chips; memory, time, money."""
