"""What a server or its model turned out to want of a request: found out once a run, said once."""
