"""Where finished videos go: a folder with feeds and a page, or YouTube."""
