"""Stores of pets, named after their technology, and `batching`, which wraps a store."""
