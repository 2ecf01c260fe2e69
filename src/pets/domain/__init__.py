"""What a pet is and what can be asked of a store of pets. Imports the standard library alone."""
