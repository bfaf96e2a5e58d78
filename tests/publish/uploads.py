"""What the tests of the upload share: the repository, and both sides of it."""

from jgpt2 import storage
from jgpt2.publish import hub

REPO = "me/tiny-ja"
TOKEN = "hf_right"
LARGER = "model-00001-of-00002.safetensors"


def contents(folder):
    return {name: (folder / name).read_bytes() for name in storage.files(folder)}


def there(server, revision="main"):
    """What is visible at the revision, but for the hub's own file."""
    files = dict(server.files(REPO, revision))
    del files[".gitattributes"]
    return files


def publish(folder, **more):
    return hub.publish(hub.prepare(folder, REPO, **more), TOKEN)
