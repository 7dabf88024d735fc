"""The command that lists the instances."""

import argparse

from reference.instances.catalogue import ONLINE, select


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--instances", nargs="+", default=["small", "medium", "large"], help="sizes, names or patterns")


def run(arguments: argparse.Namespace) -> str:
    """List instances: name, size, version."""
    chosen = select(arguments.instances)
    lines = [f"{each.name:<52} {each.size:<7} version {each.version}" for each in chosen]
    return "\n".join([*lines, f"{len(chosen)} instances; {len(ONLINE)} more, with data to download: 'openml*'"])
