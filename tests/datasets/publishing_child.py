"""A process that publishes and fetches for others, each time in a process of its own that may be killed.

It reads a line of JSON, `[what, arguments, options]`, forks, and says the number of the child; when the child
is done, and a second line has come, it says how it ended.
"""

import json
import os
import sys

import huggingface_hub  # noqa: F401 - imported once for all
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.vault import Vault  # noqa: F401

print("ready", flush=True)
while line := sys.stdin.readline():
    what, arguments, options = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            {"publish": publish, "fetch": fetch}[what](*arguments, **options)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    sys.stdin.readline()  # until then the child's number stays its own, whether it has ended or not
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
