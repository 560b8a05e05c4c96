"""What learns: recommenders, evaluation, export, registry."""
