"""Bytes in and out: what people upload and take with them."""
