"""Questions about networks and families of problems."""
