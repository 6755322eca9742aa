"""Several real processes behind a real proxy."""
