"""Slides: what stands on one, how it is laid out within the frame, and how it is drawn."""
