"""Listing of the instances."""

import argparse

from reference.instances.catalogue import ONLINE, select


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "--instances", nargs="+", default=["small", "medium", "large"], help="sizes, names or glob patterns"
    )


def run(arguments: argparse.Namespace) -> str:
    """List the instances with size and version."""
    chosen = select(arguments.instances)
    lines = [f"{each.name:<52} {each.size:<7} version {each.version}" for each in chosen]
    return "\n".join([*lines, f"{len(chosen)} instances; {len(ONLINE)} more whose data are downloaded: 'openml*'"])
