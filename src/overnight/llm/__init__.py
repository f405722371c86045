"""One client for any language model behind an OpenAI-compatible endpoint: budgets, pacing, and nothing paid twice."""
