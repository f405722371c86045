"""What people and other programs read: results and reports, made from what was measured, changing nothing."""
