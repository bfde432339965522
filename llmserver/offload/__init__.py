"""Decide how much of a model lies on the graphics card, and prove that it fits."""
