"""What makes versions serve, one file each; see `serving.ports`."""
