"""Bytes in and out: matrices and codebooks of files that nobody has checked."""
