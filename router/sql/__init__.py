"""What every SQL database of the project has in common: columns, migrations, SQLite files."""
