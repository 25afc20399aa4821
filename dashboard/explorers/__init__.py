"""Figures that live without a server: for notebooks and the site."""
