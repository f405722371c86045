"""Where a run executes: in this thread, in a thread, in a warm child process, or as a command; one file each."""
