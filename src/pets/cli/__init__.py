"""The command `pets`."""
