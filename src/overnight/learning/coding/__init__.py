"""Exercises for coding agents: what they are asked for, and what their work is judged by."""
