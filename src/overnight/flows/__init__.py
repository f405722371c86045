"""The programs that join the parts, each one readable file."""
