"""How well and how fast the library finds: a benchmark on real documents that anyone can run."""
