"""The words and small tools that every other room uses; standard library only, but for settings."""
