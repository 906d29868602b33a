"""What a run asks of a person: the form's fields, and the settings that they make."""
