"""Where records come from, which of them are usable, and the immutable sets of them that trainings read."""
