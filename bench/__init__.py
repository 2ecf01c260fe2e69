"""Measures the service beside three others over the same rows: see README.md."""

from typing import Final

ROWS: Final = 100_000
"""How many pets there are where nothing else is said."""
