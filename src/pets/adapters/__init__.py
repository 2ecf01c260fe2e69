"""Stores of pets: each file implements the port with one technology, and is named after it."""
