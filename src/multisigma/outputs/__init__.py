"""What people look at: sample pictures, tables, curves and the report."""
