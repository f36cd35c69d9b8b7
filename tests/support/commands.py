"""The command line in this process, which is a second quicker than one of its own."""

from click.testing import CliRunner, Result

from api.cli.root import root


def embedd(*words: str, **variables: str) -> Result:
    return CliRunner().invoke(root, words, env=variables)
