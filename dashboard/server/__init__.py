"""One server for many visitors."""
