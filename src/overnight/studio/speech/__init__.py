"""Speech: engines behind one protocol, and the narration that they speak."""
