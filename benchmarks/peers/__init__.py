"""Programs of other projects, run by an interpreter that has them: nothing of soundlake is imported here."""
