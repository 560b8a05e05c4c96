"""Named jobs: which assets run together."""
