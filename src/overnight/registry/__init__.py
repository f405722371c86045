"""Model versions: what was trained from what, how good it was measured to be, and which one serves."""
