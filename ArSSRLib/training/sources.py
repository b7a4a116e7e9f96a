"""Strict separation of training and validation subjects.

Files are compared by name and by subject before anything is read, and volumes by their voxels afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ArSSRLib.errors import InputError
from ArSSRLib.io.sources import Source


def refuse_shared_subjects(training: Sequence[Source], validation: Sequence[Source]) -> None:
    """Refuse validation on training subjects, by file, by file name and by subject.

    Raises:
        InputError: If a subject is in both.
    """
    files = {source.path.resolve() for source in training}
    subjects = {source.subject for source in training}
    names = {source.path.name for source in training if not source.named}
    for source in validation:
        found = None
        if source.path.resolve() in files or (not source.named and source.path.name in names):
            found = f"{source.path.name} is"
        elif source.subject in subjects:
            found = f"{source.subject} ({source.path.name}) is"
        if found:
            msg = f"{found} in both the training and the validation data; keep it in one of them."
            raise InputError(msg)


def refuse_shared_voxels(training: Mapping[str, str], validation: Mapping[str, str]) -> None:
    """Refuse a validation volume that is a copy of a training volume under another name.

    Both map the hash of the voxels to a file name; see `ArSSRLib.volume.hash_of`.

    Raises:
        InputError: If a hash is in both.
    """
    for key in training.keys() & validation.keys():
        msg = (
            f"The validation volume {validation[key]} has the same voxels as the training volume {training[key]}; "
            "keep it in one of them."
        )
        raise InputError(msg)
