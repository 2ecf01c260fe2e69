"""A store of pets in PostgreSQL or SQLite, with SQLAlchemy."""
