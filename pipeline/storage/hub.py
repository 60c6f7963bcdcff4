"""Repositories of a hub of models: the files of a codec come from one, and go to one.

The client is huggingface_hub, which takes a while to import and is imported at the first use. Its
environment variables hold here too: HF_ENDPOINT (another hub), HF_TOKEN, HF_HOME (its cache) and
HF_HUB_OFFLINE (the cache alone).
"""

import contextlib
import dataclasses
import glob
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.core import progress
from pipeline.core.errors import ConfigError, one_line, shortened

Token = str | bool | None
_PATIENCE = 10.0  # seconds until a hub does not answer
_PART = r"[A-Za-z0-9_](?:[\w.-]*\w)?"
_NAME = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[\w.-]+))?(?P<folder>(?:/[\w.-]+)*)/?", re.ASCII
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder of a repository, at a branch, tag or commit; None is the main branch."""

    repo: str
    revision: str | None = None
    folder: str = ""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}{self.folder and '/'}{self.folder}"

    def within(self, name: str) -> str:
        """Return the name in the repository of a file of this folder."""
        return f"{self.folder}/{name}" if self.folder else name


def parse(text: str) -> Place | None:
    """Return the place that OWNER/NAME[@REVISION][/FOLDER...] names, or None for other texts."""
    found = _NAME.fullmatch(text)
    if found is None or len(found["repo"]) > 96:  # the hub's own limit
        return None
    folder = found["folder"].strip("/")
    return None if ".." in folder.split("/") else Place(found["repo"], found["revision"], folder)


def repository(name: str) -> Place:
    """Return the place OWNER/NAME. Raises ConfigError for a name of another form."""
    place = parse(name)
    if place is None or place != Place(place.repo):
        raise ConfigError(f"{shortened(name)!r} is no OWNER/NAME of a repository on a hub")
    return place


def files(place: Place, *, token: Token = None) -> dict[str, int] | None:
    """Return the bytes of each file of a place, without subfolders; None if the hub is not reached.

    What `download` has fetched before may then still be in the cache.

    Raises:
      ConfigError: there is no such place, or no permission; or a name in the listing is none of a
        file inside the repository.
    """
    from huggingface_hub.hf_api import RepoFile

    try:
        with _failures(place), _quiet():
            client = _client(token)
            # The client asks for a listing again for half a minute, and for this only once.
            client.repo_info(place.repo, revision=place.revision, timeout=_PATIENCE)
            listed = list(
                client.list_repo_tree(place.repo, place.folder or None, revision=place.revision)
            )
    except _Unreachable:
        return None
    odd = [entry.path for entry in listed if not _is_inside(place, entry.path)]
    if odd:
        raise ConfigError(
            f"codec {place}: the hub lists {shortened(odd[0])!r}, which is no name inside of it"
        )
    return {
        entry.path.rpartition("/")[2]: entry.size for entry in listed if isinstance(entry, RepoFile)
    }


def download(
    place: Place, names: Iterable[str], *, size: int = 0, token: Token = None
) -> pathlib.Path:
    """Return a local folder with these files of a place, from the client's cache or the hub.

    Files that the cache has are not fetched again; without the hub, they are taken as they are.

    Args:
      names: names of files of the folder; nothing else is fetched.
      size: their bytes, if known.

    Raises:
      ConfigError: there is no such place, no permission, or no room on the disk; or the hub is not
        reached, and the cache lacks a file.
    """
    from huggingface_hub import constants, snapshot_download

    _check_room(place, size, pathlib.Path(constants.HF_HUB_CACHE))
    patterns = [glob.escape(place.within(name)) for name in names]
    try:
        with _failures(place), _quiet(), progress.task(f"downloading {place}"):
            root = snapshot_download(
                place.repo,
                revision=place.revision,
                allow_patterns=patterns,
                token=token,
                endpoint=_endpoint(),
                library_name="strata",
            )
    except _Unreachable as error:
        raise ConfigError(str(error)) from None
    return pathlib.Path(root) / place.folder


def upload(
    folder: pathlib.Path,
    repo: str,
    *,
    private: bool = False,
    token: Token = None,
    message: str = "Upload a codec with strata",
) -> str:
    """Upload the files of a folder as one commit, and return the address of the repository.

    The repository is made if it does not exist; `private` holds for a new one.

    Raises:
      ConfigError: `repo` is no OWNER/NAME, there is no token or no permission, or the hub is not
        reached.
    """
    from huggingface_hub import CommitOperationAdd

    place = repository(repo)
    client = _client(token)
    try:
        with _failures(place), _quiet(), progress.task(f"uploading to {repo}"):
            client.create_repo(repo, private=private, exist_ok=True)
            files = sorted(each for each in folder.iterdir() if each.is_file())
            additions = [CommitOperationAdd(each.name, each) for each in files]
            client.create_commit(repo, additions, commit_message=message)
    except _Unreachable as error:
        raise ConfigError(str(error)) from None
    return f"{_address()}/{repo}"


class _Unreachable(Exception):
    """The hub does not answer, or may not be asked."""


@contextlib.contextmanager
def _failures(place: Place) -> Iterator[None]:
    """Turn the client's errors into one line with a remedy."""
    from huggingface_hub import errors

    unreachable: Any = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
    login = "log in with `hf auth login`, or set HF_TOKEN"
    page = f"{_address()}/{place.repo}"
    try:
        yield
    except errors.GatedRepoError:
        text = f"its owner asks for consent: accept the conditions on {page}, then {login}"
    except errors.RepositoryNotFoundError:
        text = (
            "there is no such folder here, and no such repository on "
            f"{_address()}, or it is private: check the name, or {login}"
        )
    except errors.RevisionNotFoundError:
        text = f"{page} has no revision {place.revision!r}: give a branch, a tag or a commit"
    except unreachable:
        raise _Unreachable(_without_hub(place)) from None
    except errors.EntryNotFoundError:
        text = f"{page} has no folder {place.folder!r}"
    except errors.HFValidationError as error:
        text = one_line(error)
    except errors.LocalTokenNotFoundError:
        text = f"there is no token: {login}"
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        if code >= 500:
            raise _Unreachable(_without_hub(place)) from None
        about = " ".join((error.server_message or "").split()) or f"HTTP status {code}"
        refused = "a token with permission is needed" if code in (401, 403) else "refused"
        text = f"{_address()}: {refused} ({shortened(about, 200)}): {login}"
    except (errors.HTTPError, ConnectionError):
        raise _Unreachable(_without_hub(place)) from None
    except ValueError as error:  # of the large file storage, such as a full one
        text = f"{_address()}: {shortened(one_line(error), 200)}"
    except OSError as error:
        text = f"{error.filename or 'the download'}: {error.strerror or one_line(error)}"
    else:
        return
    raise ConfigError(f"codec {place}: {text}")


def _without_hub(place: Place) -> str:
    return (
        f"codec {place}: there is no such folder here, {_address()} is not reached, and the cache "
        f"lacks a file of it: connect, or download it elsewhere (`hf download {place.repo} "
        "--local-dir codec`) and give that folder"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the client's progress bars; ours shows what is going on."""
    from huggingface_hub import utils

    if utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


def _client(token: Token) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), token=token, library_name="strata")


def _endpoint() -> str | None:
    # The client reads the variable when it is imported.
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _address() -> str:
    from huggingface_hub import constants

    return _endpoint() or constants.ENDPOINT


def _is_inside(place: Place, path: Any) -> bool:
    """Return whether a path of a listing is one level below the place's folder."""
    prefix = place.within("")
    if not isinstance(path, str) or not path.startswith(prefix):
        return False
    name = path[len(prefix) :]
    return name not in ("", ".", "..") and not set(name) & set("/\\\0:")


def _check_room(place: Place, size: int, cache: pathlib.Path) -> None:
    there = next((each for each in (cache, *cache.parents) if each.exists()), None)
    free = size if there is None else shutil.disk_usage(there).free
    if size > free:
        raise ConfigError(
            f"codec {place}: {size / 1e9:.1f} GB do not fit {cache}, which has {free / 1e9:.1f} GB "
            "free: set HF_HOME to a folder on a larger disk"
        )
