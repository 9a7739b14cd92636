"""What is shown: columns, tables, lines, pictures, files."""
