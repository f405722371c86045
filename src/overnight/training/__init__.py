"""Calling a learner safely, and what learners share; what a training may read is handed in, never looked up."""
