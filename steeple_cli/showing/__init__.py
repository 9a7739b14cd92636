"""What is shown: columns, tables, lines, files."""
