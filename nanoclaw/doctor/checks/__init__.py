"""What the doctor looks at, one module per area; each has a table of checks."""
