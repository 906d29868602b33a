"""One iteration's trees grown by several workers: their runs, and what they share."""
