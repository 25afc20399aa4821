"""Slow work behind a page, without any GUI."""
