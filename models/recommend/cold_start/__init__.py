"""Answers where plays are few: tracks nobody has played, and listeners who have played next to nothing."""
