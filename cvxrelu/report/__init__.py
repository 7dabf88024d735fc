"""What the command line shows of its results: tables, sentences, and records for machines."""
