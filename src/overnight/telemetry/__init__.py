"""What the program measures about itself: write-only for those who work, read by `app` alone."""
