"""One file a tab; the first is made of three: overview, density and error."""
