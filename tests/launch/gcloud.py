"""A stand-in for `gcloud`: notes each call as a line of JSON and answers as a script says.

STAND_IN names a folder with `answers.json`: for each kind of call a list of [exit code, stdout,
stderr], of which the last one stays. A call without an answer succeeds in silence. With `home` in
that folder, the command of an ssh without an answer is run there by bash, as sshd would.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path


def kind(call):
    """Such as `queued-resources create`, `tpu-vm scp`, `ssh run`."""
    words = [word for word in call[2:] if not word.startswith("-")]
    if words[:2] != ["tpu-vm", "ssh"]:
        return " ".join(words[:2])
    remote = shlex.split(remote_of(call))
    return f"ssh {remote[2] if remote[1] == 'host.sh' else remote[1]}"


def remote_of(call):
    """What an ssh runs on the hosts."""
    (command,) = [word for word in call if word.startswith("--command=")]
    return command.removeprefix("--command=")


def main(call):
    """Answers one call; the exit code."""
    folder = Path(os.environ["STAND_IN"])
    with (folder / "calls.jsonl").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(call, ensure_ascii=False) + "\n")
    answers = json.loads((folder / "answers.json").read_text("utf-8"))
    script = answers.get(kind(call), [])
    if not script:
        home = folder / "home"
        if kind(call).startswith("ssh") and home.is_dir():
            environment = {**os.environ, "HOME": str(home)}
            return subprocess.run(
                ["bash", "-c", remote_of(call)], cwd=home, env=environment, check=False
            ).returncode
        return 0
    code, out, err = script[0]
    if len(script) > 1:
        del script[0]
        (folder / "answers.json").write_text(json.dumps(answers), "utf-8")
    print(out, end="")
    print(err, end="", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
