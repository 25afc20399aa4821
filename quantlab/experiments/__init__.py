"""The paper's experiments and ours: each a function from settings to a table (rows)."""
