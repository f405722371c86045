"""Who may say "better" or "worse": held-out items, paired comparison, the gate, naive baselines. Pure."""
