"""A page to look at what a run makes: trees, judgements, splices, and the rows cut from them."""
