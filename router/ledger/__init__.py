"""The database of instances, studies, revisions, candidates and deliveries."""
