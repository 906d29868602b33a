"""Dataset versions: written, read, compared, merged, converted, executed again."""
