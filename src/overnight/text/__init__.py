"""What texts have in common: normal forms, shingles, clusters of near duplicates, shared passages and code. Pure."""
