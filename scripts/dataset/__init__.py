"""The parts of make_dataset.py: WordNet's files and the embedding model."""
