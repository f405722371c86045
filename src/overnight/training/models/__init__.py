"""The built-in trainers of jobs, one file per model_type."""
