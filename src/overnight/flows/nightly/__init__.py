"""The nightly training of the fleet: the flow, and a module for what its phases do."""
