"""What the projects of one machine share, and who has it."""
