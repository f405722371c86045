"""The composition root: builds the parts, joins them, and is what the surfaces call."""
