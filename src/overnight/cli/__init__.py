"""The command line: parse, one call, print; a module for each group of commands."""
