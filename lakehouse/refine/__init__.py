"""Bronze to silver: typed, deduplicated, pseudonymous."""
