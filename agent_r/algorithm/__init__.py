"""Agent-R itself: search, critique, revision, and the rows that come of them."""
