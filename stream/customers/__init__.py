"""The customers stage: who did what, each event once, under a pseudonym."""
